/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where the nonces of a compartment come from: (epoch, counter) pairs, none of which is handed out twice.
 *
 * Each epoch carries its own counter, and a reservation is one addition to it. The counter has 64 bits, so that it
 * passes 2^32 without coming round: a reservation that ends beyond 2^32 is void, and its thread draws the next epoch,
 * unless another has by then. So a run lies in one epoch, and the few counters below 2^32 that a void reservation
 * leaves are never used. Epochs stay allocated until the source is freed, for a thread may still hold a pointer to an
 * earlier one; each stands for 16 TiB of pages.
 */
#include "fs/seal_backend.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#define COUNTERS (UINT64_C(1) << 32)

struct epoch {
	struct epoch *prev; /* owned */
	uint8_t id[SEAL_EPOCH_LEN];
	_Atomic uint64_t next; /* counter to hand out next; >= 2^32: used up */
};

/*
 * In a mapping that a forked child finds zeroed, and all zero is a new source: the child draws an epoch of its own
 * rather than count on in its parent's. (A zeroed mutex is an unlocked one: PTHREAD_MUTEX_INITIALIZER is all zero
 * with every libc for Linux.)
 */
struct seal_source {
	_Atomic(struct epoch *) now; /* written under lock */
	pthread_mutex_t lock;
};

int seal_source_new(struct seal_source **ret)
{
	struct seal_source *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return -ENOMEM;
	if (madvise(s, sizeof *s, MADV_WIPEONFORK)) {
		int err = -errno;
		munmap(s, sizeof *s);
		return err;
	}
	*ret = s;
	return 0;
}

void seal_source_free(struct seal_source *s)
{
	struct epoch *e, *prev;

	if (!s)
		return;
	for (e = atomic_load(&s->now); e; e = prev) {
		prev = e->prev;
		free(e);
	}
	munmap(s, sizeof *s);
}

/* Puts a new epoch in place of used_up, unless another thread has. Returns the epoch in place. */
static int next_epoch(struct seal_source *s, struct epoch *used_up, struct epoch **ret)
{
	struct epoch *e;
	int err = 0;

	pthread_mutex_lock(&s->lock);
	e = atomic_load(&s->now);
	if (e != used_up)
		goto out;
	e = malloc(sizeof *e);
	if (!e) {
		err = -ENOMEM;
		goto out;
	}
	e->prev = used_up;
	atomic_init(&e->next, 0);
	/* An epoch of zeros never comes from a generator that works; it could make a ref look like a hole. */
	if (RAND_bytes(e->id, sizeof e->id) != 1 || bytes_are_zero(e->id, sizeof e->id)) {
		free(e);
		err = -EIO;
		goto out;
	}
	atomic_store(&s->now, e);
out:
	pthread_mutex_unlock(&s->lock);
	if (!err)
		*ret = e;
	return err;
}

int seal_source_take(struct seal_source *s, uint32_t n, uint8_t ret_epoch[static SEAL_EPOCH_LEN], uint32_t *ret_counter)
{
	struct epoch *e = atomic_load_explicit(&s->now, memory_order_acquire);

	if (n == 0 || n > SEAL_RUN_MAX)
		return -EINVAL;
	for (;;) {
		if (e) {
			uint64_t first = atomic_fetch_add_explicit(&e->next, n, memory_order_relaxed);
			if (first + n <= COUNTERS) {
				memcpy(ret_epoch, e->id, SEAL_EPOCH_LEN);
				*ret_counter = (uint32_t)first;
				return 0;
			}
		}
		int err = next_epoch(s, e, &e);
		if (err)
			return err;
	}
}

void seal_source_set_counter(struct seal_source *s, uint32_t counter)
{
	struct epoch *e = atomic_load(&s->now);

	if (!e && next_epoch(s, NULL, &e))
		return;
	atomic_store(&e->next, counter);
}
