/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Secret memory: a pool of locked pages in which small secrets share a page, as RLIMIT_MEMLOCK is often 8 MiB. */
#include "common/secret.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECRET_MAX 65536u
#define GRANULE 64u
#define SLAB_BYTES 16384u /* of an ordinary slab; a longer secret gets a slab of its own */

/* A run of locked pages between two guard pages, given out in granules. Owned by the pool's list. */
struct slab {
	struct slab *next;
	uint8_t *base;
	size_t bytes;
	size_t n_granules;
	size_t n_used;
	bool used[]; /* per granule */
};

/* The handle is ordinary memory, so that leak checkers see a lost secret. */
struct secret {
	struct slab *slab; /* borrowed from the pool */
	uint8_t *bytes;    /* borrowed from slab */
	size_t len;
	size_t n_granules;
	unsigned process; /* pool.process when it was made */
};

/*
 * protected by lock. process counts forks from the first program on: memory of the pool is not inherited by a child,
 * which starts with an empty pool and must not touch the slabs that its parent's handles point to.
 */
static struct {
	pthread_mutex_t lock;
	struct slab *slabs;
	size_t live;
	unsigned process;
	bool no_memfd; /* the kernel has no memfd_secret(2), or it is turned off */
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

static pthread_once_t pool_once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
	pthread_mutex_lock(&pool.lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&pool.lock);
}

static void after_fork_child(void)
{
	while (pool.slabs) {
		struct slab *s = pool.slabs;

		pool.slabs = s->next;
		free(s);
	}
	pool.live = 0;
	pool.process++;
	pthread_mutex_unlock(&pool.lock);
}

static void pool_init(void)
{
	(void)pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* Memory that even the kernel does not map. Shared by nature, therefore MADV_DONTFORK instead of MADV_WIPEONFORK. */
static int map_memfd_secret_locked(void *at, size_t bytes)
{
	int fd = pool.no_memfd ? -1 : (int)syscall(SYS_memfd_secret, O_CLOEXEC);
	int err = 0;

	if (fd < 0) {
		pool.no_memfd = pool.no_memfd || errno == ENOSYS;
		return -ENOSYS;
	}
	if (ftruncate(fd, (off_t)bytes) < 0 ||
	    mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ||
	    madvise(at, bytes, MADV_DONTFORK) < 0 || madvise(at, bytes, MADV_DONTDUMP) < 0)
		err = -errno;
	(void)close(fd);
	return err;
}

static int map_locked(void *at, size_t bytes)
{
	if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -errno;
	if (madvise(at, bytes, MADV_DONTDUMP) < 0 || madvise(at, bytes, MADV_WIPEONFORK) < 0)
		return -errno;
	/* Not mlock(), which sanitizers turn into nothing. It says ENOMEM for RLIMIT_MEMLOCK. */
	if (syscall(SYS_mlock, at, bytes) < 0)
		return errno == ENOMEM ? -EAGAIN : -errno;
	return 0;
}

static int slab_new_locked(size_t bytes, struct slab **ret)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n;
	struct slab *s;
	uint8_t *span;
	int err;

	bytes = (bytes + page - 1) / page * page;
	n = bytes / GRANULE;
	s = calloc(1, sizeof *s + n * sizeof s->used[0]);
	if (!s)
		return -ENOMEM;
	span = mmap(NULL, bytes + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (span == MAP_FAILED) {
		free(s);
		return -ENOMEM;
	}
	s->base = span + page;
	s->bytes = bytes;
	s->n_granules = n;
	err = map_memfd_secret_locked(s->base, bytes);
	if (err)
		err = map_locked(s->base, bytes);
	if (err) {
		(void)munmap(span, bytes + 2 * page);
		free(s);
		return err;
	}
	*ret = s;
	return 0;
}

static void slab_free(struct slab *s)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)munmap(s->base - page, s->bytes + 2 * page);
	free(s);
}

/* First run of n free granules, or n_granules. */
static size_t slab_find(const struct slab *s, size_t n)
{
	size_t run = 0;

	if (s->n_granules - s->n_used < n)
		return s->n_granules;
	for (size_t i = 0; i < s->n_granules; i++) {
		run = s->used[i] ? 0 : run + 1;
		if (run == n)
			return i + 1 - n;
	}
	return s->n_granules;
}

static int pool_take_locked(struct secret *h)
{
	struct slab *s;
	size_t at = 0;
	int err;

	for (s = pool.slabs; s; s = s->next) {
		at = slab_find(s, h->n_granules);
		if (at < s->n_granules)
			break;
	}
	if (!s) {
		err = slab_new_locked(CL_MAX(h->n_granules * GRANULE, (size_t)SLAB_BYTES), &s);
		if (err)
			return err;
		s->next = pool.slabs;
		pool.slabs = s;
		at = 0;
	}
	memset(s->used + at, true, h->n_granules);
	s->n_used += h->n_granules;
	h->slab = s;
	h->bytes = s->base + at * GRANULE;
	h->process = pool.process;
	pool.live++;
	return 0;
}

static void pool_give_locked(struct secret *h)
{
	struct slab *s = h->slab;

	memset(s->used + (size_t)(h->bytes - s->base) / GRANULE, false, h->n_granules);
	s->n_used -= h->n_granules;
	pool.live--;
	/* An empty slab goes back, unless it is an ordinary one and the last: no mapping to and fro for a single secret. */
	if (s->n_used || (s->bytes == SLAB_BYTES && pool.slabs == s && !s->next))
		return;
	for (struct slab **p = &pool.slabs; *p; p = &(*p)->next) {
		if (*p == s) {
			*p = s->next;
			break;
		}
	}
	slab_free(s);
}

/* Without the limit on len, for the reader's buffer. */
static int take(size_t len, struct secret **ret)
{
	struct secret *h = calloc(1, sizeof *h);
	int err;

	if (!h)
		return -ENOMEM;
	(void)pthread_once(&pool_once, pool_init);
	h->len = len;
	h->n_granules = (len + GRANULE - 1) / GRANULE;
	pthread_mutex_lock(&pool.lock);
	err = pool_take_locked(h);
	pthread_mutex_unlock(&pool.lock);
	if (err) {
		free(h);
		return err;
	}
	*ret = h;
	return 0;
}

int secret_new(size_t len, struct secret **ret)
{
	return len && len <= SECRET_MAX ? take(len, ret) : -EINVAL;
}

int secret_new_random(size_t len, struct secret **ret)
{
	struct secret *s;
	int err = secret_new(len, &s);

	if (err)
		return err;
	if (RAND_priv_bytes(s->bytes, (int)len) != 1) {
		secret_free(s);
		return -EIO;
	}
	*ret = s;
	return 0;
}

int secret_new_take(void *src, size_t len, struct secret **ret)
{
	struct secret *s;
	int err = secret_new(len, &s);

	if (!err) {
		memcpy(s->bytes, src, len);
		*ret = s;
	}
	secret_wipe(src, len);
	return err;
}

static bool is_inherited(const struct secret *s)
{
	return s->process != pool.process; /* changes only in a child that has one thread yet */
}

void secret_free(struct secret *s)
{
	if (!s)
		return;
	if (!is_inherited(s)) {
		secret_wipe(s->bytes, s->n_granules * GRANULE);
		pthread_mutex_lock(&pool.lock);
		pool_give_locked(s);
		pthread_mutex_unlock(&pool.lock);
	}
	free(s);
}

void secret_freep(struct secret **s)
{
	secret_free(*s);
	*s = NULL;
}

struct secret *secret_steal(struct secret **s)
{
	struct secret *r = *s;

	*s = NULL;
	return r;
}

/* NULL in a child rather than bytes that are gone: a cipher must not go on with a key of zeros. */
uint8_t *secret_bytes(struct secret *s)
{
	return is_inherited(s) ? NULL : s->bytes;
}

const uint8_t *secret_cbytes(const struct secret *s)
{
	return is_inherited(s) ? NULL : s->bytes;
}

size_t secret_len(const struct secret *s)
{
	return s->len;
}

void secret_trim(struct secret *s, size_t len)
{
	if (len >= s->len)
		return;
	if (!is_inherited(s))
		secret_wipe(s->bytes + len, s->len - len);
	s->len = len;
}

size_t secret_live(void)
{
	size_t n;

	pthread_mutex_lock(&pool.lock);
	n = pool.live;
	pthread_mutex_unlock(&pool.lock);
	return n;
}

void secret_wipe(void *p, size_t n)
{
	OPENSSL_cleanse(p, n);
}

bool secret_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

int secret_read_fd(int fd, size_t max, struct secret **ret)
{
	CL_CLEANUP(secret_freep) struct secret *buf = NULL;
	size_t len = 0;
	int err;

	if (!max || max > SECRET_MAX)
		return -EINVAL;
	err = take(max + 2, &buf); /* the newline, and a byte more that tells of a longer one */
	if (err)
		return err;
	while (len < max + 2) {
		ssize_t got = read(fd, buf->bytes + len, max + 2 - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		len += (size_t)got;
	}
	if (len && buf->bytes[len - 1] == '\n')
		len--;
	if (len > max)
		return -EOVERFLOW;
	if (!len)
		return -ENODATA;
	return secret_new_take(buf->bytes, len, ret); /* a buffer of the right size */
}

int secret_read_file(const char *path, size_t max, struct secret **ret)
{
	int fd, err;

	if (!strcmp(path, "-"))
		return secret_read_fd(STDIN_FILENO, max, ret);
	fd = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = secret_read_fd(fd, max, ret);
	(void)close(fd);
	return err;
}

int secret_harden_process(void)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	return 0;
}
