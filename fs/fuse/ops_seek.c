/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SEEK_DATA and SEEK_HOLE. The kernel does not write back what it holds of a file before it asks for its holes, so what
 * a program wrote and nobody synced would be taken for a hole, and a copy would lose it. Hence, while a file is open
 * for writing, the kernel is first told to drop its pages, which makes it write them. That takes requests, so it is
 * waited for on a thread of its own, never on one that serves.
 */
#include "fs/fuse/internal.h"

#include <stdlib.h>

#define BUCKETS 256u

/* A file that is open for writing. */
struct writer {
	struct writer *next;
	uint64_t ino;
	uint64_t n;
};

struct seek {
	struct seek *next;
	fuse_req_t req;
	uint64_t ino, off;
	int whence;
};

struct fuse_cl_seeker {
	struct fuse_cl *cl;
	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t more;
	struct writer *writers[BUCKETS];
	struct seek *first, **last;
	bool running, stop;
	pthread_t thread;
};

static struct writer **find(struct fuse_cl_seeker *k, uint64_t ino)
{
	struct writer **at = &k->writers[ino % BUCKETS];
	while (*at && (*at)->ino != ino)
		at = &(*at)->next;
	return at;
}

int fuse_cl_writer_add(struct fuse_cl *cl, uint64_t ino)
{
	struct fuse_cl_seeker *k = cl->seeker;
	int r = 0;
	pthread_mutex_lock(&k->lock);
	struct writer **at = find(k, ino);
	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (*at)
			(*at)->ino = ino;
	}
	if (*at)
		(*at)->n++;
	else
		r = -ENOMEM;
	pthread_mutex_unlock(&k->lock);
	return r;
}

void fuse_cl_writer_drop(struct fuse_cl *cl, uint64_t ino)
{
	struct fuse_cl_seeker *k = cl->seeker;
	pthread_mutex_lock(&k->lock);
	struct writer **at = find(k, ino), *w = *at;
	if (w && !--w->n) {
		*at = w->next;
		free(w);
	}
	pthread_mutex_unlock(&k->lock);
}

static void answer(fuse_req_t req, uint64_t ino, uint64_t off, int whence)
{
	uint64_t found = 0;
	int r = fs_seek(fuse_cl_of(req)->fs, ino, off, whence, &found);
	if (r < 0)
		fuse_cl_reply_result(req, r);
	else
		fuse_reply_lseek(req, (off_t)found);
}

/* True: the thread will answer. */
static bool hand_over(struct fuse_cl_seeker *k, fuse_req_t req, uint64_t ino, uint64_t off, int whence)
{
	struct seek *s = malloc(sizeof(*s));
	bool taken = false;
	pthread_mutex_lock(&k->lock);
	/* Without OPEN nobody knows who writes. */
	if (s && k->running && !k->stop && (k->cl->opts.no_open || *find(k, ino))) {
		*s = (struct seek){ .req = req, .ino = ino, .off = off, .whence = whence };
		*k->last = s;
		k->last = &s->next;
		pthread_cond_signal(&k->more);
		taken = true;
	}
	pthread_mutex_unlock(&k->lock);
	if (!taken)
		free(s);
	return taken;
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi CL_UNUSED)
{
	if (!hand_over(fuse_cl_of(req)->seeker, req, ino, (uint64_t)off, whence))
		answer(req, ino, (uint64_t)off, whence);
}

static void *seeker_main(void *arg)
{
	struct fuse_cl_seeker *k = arg;
	pthread_mutex_lock(&k->lock);
	while (k->first || !k->stop) {
		struct seek *s = k->first;
		if (!s) {
			pthread_cond_wait(&k->more, &k->lock);
			continue;
		}
		k->first = s->next;
		if (!k->first)
			k->last = &k->first;
		pthread_mutex_unlock(&k->lock);
		/* An error means that the kernel knows no such inode any more, or that the end has come. */
		fuse_lowlevel_notify_inval_inode(k->cl->se, s->ino, 0, 0);
		answer(s->req, s->ino, s->off, s->whence);
		free(s);
		pthread_mutex_lock(&k->lock);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

int fuse_cl_seeker_new(struct fuse_cl *cl)
{
	struct fuse_cl_seeker *k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->cl = cl;
	k->last = &k->first;
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->more, NULL);
	cl->seeker = k;
	return 0;
}

int fuse_cl_seeker_start(struct fuse_cl *cl)
{
	struct fuse_cl_seeker *k = cl->seeker;
	int r = pthread_create(&k->thread, NULL, seeker_main, k);
	pthread_mutex_lock(&k->lock);
	k->running = !r;
	pthread_mutex_unlock(&k->lock);
	return -r;
}

void fuse_cl_seeker_stop(struct fuse_cl *cl)
{
	struct fuse_cl_seeker *k = cl->seeker;
	pthread_mutex_lock(&k->lock);
	bool join = k->running;
	k->running = false;
	k->stop = true;
	pthread_cond_signal(&k->more);
	pthread_mutex_unlock(&k->lock);
	if (join)
		pthread_join(k->thread, NULL);
}

void fuse_cl_seeker_free(struct fuse_cl *cl)
{
	struct fuse_cl_seeker *k = cl->seeker;
	if (!k)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (k->writers[i]) {
			struct writer *w = k->writers[i];
			k->writers[i] = w->next;
			free(w);
		}
	}
	pthread_cond_destroy(&k->more);
	pthread_mutex_destroy(&k->lock);
	free(k);
	cl->seeker = NULL;
}

void fuse_cl_seek_ops(struct fuse_lowlevel_ops *ops)
{
	ops->lseek = op_lseek;
}
