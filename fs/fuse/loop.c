/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The threads that serve requests, and how they come to an end: by an unmount from outside or by a signal. */
#include "fs/fuse/internal.h"

#include "common/log.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUSY_GRACE_MS 3000 /* how long a busy mount may stay after a signal */
#define BUSY_RETRY_MS 200
#define JOIN_RETRY_MS 10

extern char **environ;

_Thread_local struct fuse_cl_worker *fuse_cl_self;

int fuse_cl_worker_init(struct fuse_cl_worker *w, struct fuse_cl *cl)
{
	/* A page for the headers in front of the data, the data, a page behind; then the answer's buffer. */
	size_t request = CL_PAGE + FUSE_CL_IO_MAX + CL_PAGE;
	void *map = mmap(NULL, request + FUSE_CL_IO_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	/* Contents of files pass here: none of a core dump's business. */
	madvise(map, request + FUSE_CL_IO_MAX, MADV_DONTDUMP);
	*w = (struct fuse_cl_worker){
		.cl = cl,
		.map = map,
		.request = (uint8_t *)map + CL_PAGE - FUSE_CL_WRITE_HEADERS,
		.data = (uint8_t *)map + request,
	};
	return 0;
}

void fuse_cl_worker_done(struct fuse_cl_worker *w)
{
	if (w->map)
		munmap(w->map, CL_PAGE + FUSE_CL_IO_MAX + CL_PAGE + FUSE_CL_IO_MAX);
	w->map = NULL;
}

int fuse_cl_serve_one(struct fuse_cl_worker *w)
{
	struct fuse_session *se = w->cl->se;
	ssize_t n = read(fuse_session_fd(se), w->request, FUSE_CL_WRITE_HEADERS + FUSE_CL_IO_MAX + CL_PAGE);
	if (n < 0) {
		/* ENOENT: the request was withdrawn while it was being read. */
		if (errno == EINTR || errno == EAGAIN || errno == ENOENT)
			return 0;
		if (errno != ENODEV)
			log_err("cannot read from /dev/fuse: %s", strerror(errno));
		return -errno;
	}
	if ((size_t)n < sizeof(struct fuse_in_header)) {
		log_err("the kernel sent a FUSE request of %zd bytes", n);
		return -EIO;
	}
	struct fuse_buf buf = { .mem = w->request, .size = (size_t)n };
	if (!fuse_cl_raw_request(w, &buf))
		fuse_session_process_buf(se, &buf);
	return fuse_session_exited(se) ? -EPROTO : 0;
}

static void wake(struct fuse_cl *s)
{
	uint64_t one = 1;
	ssize_t n = write(s->wake_fd, &one, sizeof(one));
	(void)n; /* only fails when the counter is full: then the other side wakes anyway */
}

static void *worker_main(void *arg)
{
	struct fuse_cl_worker *w = arg;
	struct fuse_cl *s = w->cl;
	int r = 0;
	fuse_cl_self = w;
	while (!r && !atomic_load(&s->stop))
		r = fuse_cl_serve_one(w);
	int serving = 0;
	if (r)
		atomic_compare_exchange_strong(&s->ended, &serving, r);
	wake(s);
	return NULL;
}

static void interrupted(int sig CL_UNUSED)
{
}

/* Its only use is to make read(2) return with EINTR in a worker that is to stop. */
static int stop_signal(void)
{
	return SIGRTMIN;
}

static int start_workers(struct fuse_cl *s)
{
	struct sigaction sa = { .sa_handler = interrupted };
	sigset_t all, old;
	if (sigaction(stop_signal(), &sa, NULL) < 0)
		return -errno;

	sigfillset(&all);
	sigdelset(&all, stop_signal());
	int r = pthread_sigmask(SIG_SETMASK, &all, &old);
	unsigned want = s->n_workers;
	for (s->n_workers = 0; !r && s->n_workers < want; s->n_workers++) {
		struct fuse_cl_worker *w = &s->workers[s->n_workers];
		r = w->map ? 0 : -fuse_cl_worker_init(w, s);
		if (!r)
			r = pthread_create(&w->thread, NULL, worker_main, w);
		if (r)
			break;
	}
	if (!r)
		r = -fuse_cl_seeker_start(s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

/* Waits until every worker has left; those that wait for a request are interrupted if stop is set. */
static void join_workers(struct fuse_cl *s)
{
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct timespec at;
		int r;
		do {
			/* A signal that comes just before read(2) is lost: hence again and again. */
			if (atomic_load(&s->stop))
				pthread_kill(s->workers[i].thread, stop_signal());
			clock_gettime(CLOCK_REALTIME, &at);
			at.tv_nsec += JOIN_RETRY_MS * 1000000L;
			if (at.tv_nsec >= 1000000000L) {
				at.tv_sec++;
				at.tv_nsec -= 1000000000L;
			}
			r = pthread_timedjoin_np(s->workers[i].thread, NULL, &at);
		} while (r == ETIMEDOUT || r == EINTR);
	}
	s->n_workers = 0;
}

/* Waits for news: a signal or a worker that left. ms < 0: as long as it takes. */
static void wait_news(struct fuse_cl *s, int ms)
{
	struct pollfd p = { .fd = s->wake_fd, .events = POLLIN };
	uint64_t n;
	if (poll(&p, 1, ms) > 0 && read(s->wake_fd, &n, sizeof(n)) < 0)
		log_debug("eventfd: %s", strerror(errno));
}

/* As a user: by way of the set-uid helper. */
static int unmount_by_helper(const char *mountpoint, bool lazy)
{
	char name[] = "fusermount3", u[] = "-u", q[] = "-q", z[] = "-z", end[] = "--";
	char *path = strdup(mountpoint);
	char *argv[] = { name, u, q, lazy ? z : end, lazy ? end : path, lazy ? path : NULL, NULL };
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	int status = -1;
	if (!path)
		return -ENOMEM;
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	int r = -posix_spawnp(&pid, name, NULL, &attr, argv, environ);
	if (!r) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		r = status ? -EBUSY : 0;
	}
	posix_spawnattr_destroy(&attr);
	free(path);
	return r;
}

int fuse_cl_unmount(const struct fuse_cl *s, bool lazy)
{
	if (!umount2(s->mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)))
		return 0;
	return errno == EPERM ? unmount_by_helper(s->mountpoint, lazy) : -errno;
}

/* The kernel holds changes of files that are still open: let it give them to us. */
static void write_back(const struct fuse_cl *s)
{
	int fd = open(s->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (syncfs(fd) < 0)
		log_warn("%s: not everything could be written back: %s", s->mountpoint, strerror(errno));
	close(fd);
}

/* After a signal. The workers go on meanwhile: unmounting makes requests. */
static void leave(struct fuse_cl *s)
{
	unsigned signals = fuse_cl_signals_seen();
	bool told = false;
	for (int ms = 0; !atomic_load(&s->ended) && ms < BUSY_GRACE_MS && fuse_cl_signals_seen() == signals;
	     ms += BUSY_RETRY_MS) {
		int r = fuse_cl_is_mounted(s) ? fuse_cl_unmount(s, false) : 0;
		if (r && !told) {
			log_info("%s is in use; it will be detached", s->mountpoint);
			told = true;
		}
		wait_news(s, BUSY_RETRY_MS);
	}
	if (atomic_load(&s->ended))
		return;
	if (fuse_cl_is_mounted(s)) {
		write_back(s);
		int r = fuse_cl_unmount(s, true);
		if (r)
			log_warn("cannot unmount %s: %s", s->mountpoint, strerror(-r));
		/* If nobody has anything open any more, this is the end without force. */
		if (!atomic_load(&s->ended))
			wait_news(s, BUSY_RETRY_MS);
	}
}

int fuse_cl_loop(struct fuse_cl *s)
{
	int r = start_workers(s);
	unsigned signals = 0;
	while (!r && !atomic_load(&s->ended)) {
		wait_news(s, -1);
		signals = fuse_cl_signals_seen();
		if (signals) {
			leave(s);
			break;
		}
	}
	fuse_cl_seeker_stop(s);
	atomic_store(&s->stop, true);
	join_workers(s);
	int why = atomic_load(&s->ended);
	return r ? r : why == -ENODEV ? 0 : why;
}
