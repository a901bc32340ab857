/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Volumes for the runs, and the plain runs: one thread, or several. */
#include "tests/model/run.h"

#include "tests/model/memstore.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define VERIFY_EVERY 4000u
#define REOPEN_EVERY 1500u

static void must(int err, const char *what, const struct fault *f)
{
	if (!err)
		return;
	fprintf(stderr, "model: %s: %s%s%s\n", what, strerror(-err), f && *f->text ? ": " : "", f ? f->text : "");
	fflush(stderr);
	_Exit(1);
}

void volume_renew_key(struct volume *v)
{
	uint8_t key[32];

	memset(key, 0x5a, sizeof key);
	secret_free(v->key);
	must(secret_new_take(key, sizeof key, &v->key), "secret", NULL);
	v->comp.key = v->key;
}

static bool in_memory;

void volume_in_memory(void)
{
	in_memory = true;
}

static void make_dir(struct volume *v)
{
	must(tempdir_make(v->path), "directory", NULL);
	must(store_dir_open(v->path, &v->dir), "store", NULL);
}

void volume_new(struct volume *v, bool no_threads)
{
	struct fault f = { 0 };

	memset(v, 0, sizeof *v);
	if (in_memory)
		v->dir = memstore_new();
	else
		make_dir(v);
	v->store = v->dir;
	volume_renew_key(v);
	memset(v->comp.id, 7, sizeof v->comp.id);
	v->cfg = (struct fs_config){ .cache_bytes = 256 * 1024, .dirty_bytes = 1024 * 1024, .journal_pages = 2048,
				     .commit_seconds = 1, .no_threads = no_threads };
	must(fs_format(v->store, &v->comp, 1, 0, 0, &v->cfg, &f), "fs_format", &f);
}

struct fs *volume_open(struct volume *v)
{
	struct fault f = { 0 };
	struct fs *fs = NULL;

	must(fs_open(v->store, &v->comp, 1, &v->cfg, &fs, &f), "fs_open", &f);
	return fs;
}

void volume_close(struct fs *fs)
{
	must(fs_close(fs), "fs_close", NULL);
}

void volume_free(struct volume *v)
{
	v->dir->ops->free(v->dir);
	secret_free(v->key);
	if (*v->path)
		tempdir_remove(v->path);
}

void run_plain(const struct profile *p, uint64_t seed, uint64_t n, bool threads, bool trace)
{
	struct volume v;
	struct drive d;

	volume_new(&v, !threads);
	drive_init(&d, p, seed);
	d.trace = trace;
	d.ref = ref_new(0755);
	d.fs = volume_open(&v);
	drive_verify(&d);
	for (uint64_t k = 1; k <= n; k++) {
		drive_step(&d);
		if (k % VERIFY_EVERY == 0 || k == n)
			drive_verify(&d);
		if (drive_below(&d, REOPEN_EVERY) && k < n)
			continue;
		drive_say(&d, "close, open");
		volume_close(d.fs);
		ref_end_session(d.ref);
		d.fs = volume_open(&v);
		if (k == n || drive_chance(&d, 30))
			drive_verify(&d);
	}
	volume_close(d.fs);
	drive_done(&d);
	volume_free(&v);
}

struct worker {
	struct drive d;
	pthread_t thread;
	uint64_t n;
	char prefix[16];
};

static void *work(void *arg)
{
	struct worker *w = arg;

	for (uint64_t k = 0; k < w->n; k++)
		drive_step(&w->d);
	drive_verify(&w->d);
	return NULL;
}

void run_threads(const struct profile *p, uint64_t seed, unsigned threads, uint64_t n)
{
	struct worker *w = ref_alloc(threads * sizeof *w);
	struct fs_cred cred = { 0, 0, 0 };
	struct fs_attr dir, shared[2];
	struct volume v;

	volume_new(&v, false);
	struct fs *fs = volume_open(&v);
	for (unsigned s = 0; s < CL_ARRAY_LEN(shared); s++) {
		char name[16];
		snprintf(name, sizeof name, "shared%u", s);
		must(fs_make(fs, FS_ROOT, name, S_IFDIR | 0777, NULL, &cred, &shared[s]), "fs_make", NULL);
	}
	for (unsigned t = 0; t < threads; t++) {
		struct drive *d = &w[t].d;
		drive_init(d, p, seed * 1000 + t);
		snprintf(w[t].prefix, sizeof w[t].prefix, "t%u-", t);
		must(fs_make(fs, FS_ROOT, w[t].prefix, S_IFDIR | 0755, NULL, &cred, &dir), "fs_make", NULL);
		d->fs = fs;
		d->alone = false;
		d->prefix = w[t].prefix;
		d->ref = ref_new(0755);
		d->ref->root->ino = dir.ino;
		d->ref->root->generation = dir.generation;
		for (unsigned s = 0; s < CL_ARRAY_LEN(shared); s++)
			ref_share(d->ref, &shared[s]);
		w[t].n = n;
		must(-pthread_create(&w[t].thread, NULL, work, &w[t]), "pthread_create", NULL);
	}
	for (unsigned t = 0; t < threads; t++)
		pthread_join(w[t].thread, NULL);
	volume_close(fs);
	fs = volume_open(&v);
	for (unsigned t = 0; t < threads; t++) {
		ref_end_session(w[t].d.ref);
		w[t].d.fs = fs;
		drive_verify(&w[t].d);
		drive_done(&w[t].d);
	}
	volume_close(fs);
	volume_free(&v);
	free(w);
}
