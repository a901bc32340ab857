/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unit tests of fs/seal.h: what it keeps between calls: nonces that never repeat, contexts cached per thread. */
#include "fs/seal_backend.h"
#include "tests/unit/seal_fixture.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(test_counter_wrap)
{
	uint8_t epoch[SEAL_EPOCH_LEN], next[SEAL_EPOCH_LEN];
	struct seal_ref refs[4];
	uint8_t in[4 * CL_PAGE], out[4 * CL_PAGE], page[CL_PAGE];
	uint32_t counter;
	struct bench t;

	bench_new(&t);
	ck_assert_int_eq(seal_source_take(t.source, 0, epoch, &counter), -EINVAL);
	ck_assert_int_eq(seal_source_take(t.source, 65537, epoch, &counter), -EINVAL);
	ck_assert_int_eq(seal_source_take(t.source, 65536, epoch, &counter), 0);
	ck_assert_uint_eq(counter, 0);
	ck_assert_int_eq(seal_source_take(t.source, 1, next, &counter), 0);
	ck_assert_uint_eq(counter, 65536);
	ck_assert_mem_eq(epoch, next, sizeof epoch);
	/* The last counters of an epoch are used... */
	seal_source_set_counter(t.source, UINT32_MAX - 2);
	ck_assert_int_eq(seal_source_take(t.source, 3, next, &counter), 0);
	ck_assert_uint_eq(counter, UINT32_MAX - 2);
	ck_assert_mem_eq(epoch, next, sizeof epoch);
	/* ... and none follows. */
	ck_assert_int_eq(seal_source_take(t.source, 1, next, &counter), 0);
	ck_assert_uint_eq(counter, 0);
	ck_assert_mem_ne(epoch, next, sizeof epoch);
	/* A run that does not fit goes to the next epoch as a whole. */
	seal_source_set_counter(t.source, UINT32_MAX - 2);
	fill(in, sizeof in);
	ck_assert_int_eq(seal_pages(t.source, &t.key, &t.place, in, out, refs, 4), 0);
	for (unsigned i = 0; i < 4; i++) {
		struct seal_place place = t.place;

		place.index += i;
		ck_assert_uint_eq(le32_get(refs[i].counter), i);
		ck_assert_mem_ne(refs[i].epoch, next, sizeof next);
		ck_assert_mem_eq(refs[i].epoch, refs[0].epoch, sizeof next);
		ck_assert_int_eq(seal_open_page(&t.key, &place, &refs[i], out + i * CL_PAGE, page), 0);
		ck_assert_mem_eq(page, in + i * CL_PAGE, CL_PAGE);
	}
	bench_free(&t);
}
END_TEST

enum { TAKERS = 8, TAKES = 20000 };

struct taken {
	uint8_t epoch[SEAL_EPOCH_LEN];
	uint32_t counter, n;
};

struct taker {
	pthread_t thread;
	struct seal_source *source;
	struct taken taken[TAKES];
	unsigned seed;
	bool jumps;
	int err;
};

static void *take_many(void *arg)
{
	struct taker *t = arg;

	for (int i = 0; i < TAKES && !t->err; i++) {
		struct taken *e = &t->taken[i];

		t->seed = t->seed * 1103515245 + 12345;
		e->n = 1 + (t->seed >> 16) % 300;
		/*
		 * Now and then near the end, so that epochs change under the other threads. One thread does, and takes
		 * more than is left before it does again, so that the counter never goes back.
		 */
		if (t->jumps && i % 100 == 99)
			seal_source_set_counter(t->source, UINT32_MAX - 1000);
		t->err = seal_source_take(t->source, e->n, e->epoch, &e->counter);
	}
	return NULL;
}

static int by_nonce(const void *a, const void *b)
{
	const struct taken *x = a, *y = b;
	int c = memcmp(x->epoch, y->epoch, SEAL_EPOCH_LEN);

	return c ? c : (x->counter > y->counter) - (x->counter < y->counter);
}

/* All reservations of 8 threads are disjoint, and none wraps. */
START_TEST(test_nonces_unique)
{
	struct taker *takers = calloc(TAKERS, sizeof *takers);
	struct taken *all = malloc(sizeof *all * TAKERS * TAKES);
	struct seal_source *source;
	int epochs = 1;

	ck_assert(takers && all);
	ck_assert_int_eq(seal_source_new(&source), 0);
	for (unsigned i = 0; i < TAKERS; i++) {
		takers[i].source = source;
		takers[i].seed = i;
		takers[i].jumps = i == 0;
		ck_assert_int_eq(pthread_create(&takers[i].thread, NULL, take_many, &takers[i]), 0);
	}
	for (int i = 0; i < TAKERS; i++) {
		ck_assert_int_eq(pthread_join(takers[i].thread, NULL), 0);
		ck_assert_int_eq(takers[i].err, 0);
		memcpy(all + i * TAKES, takers[i].taken, sizeof takers[i].taken);
	}
	qsort(all, TAKERS * TAKES, sizeof *all, by_nonce);
	for (int i = 1; i < TAKERS * TAKES; i++) {
		if (memcmp(all[i].epoch, all[i - 1].epoch, SEAL_EPOCH_LEN)) {
			epochs++;
			continue;
		}
		ck_assert_uint_ge(all[i].counter, (uint64_t)all[i - 1].counter + all[i - 1].n);
	}
	for (int i = 0; i < TAKERS * TAKES; i++)
		ck_assert_uint_le((uint64_t)all[i].counter + all[i].n, UINT64_C(1) << 32);
	ck_assert_int_gt(epochs, 100);
	seal_source_free(source);
	free(takers);
	free(all);
}
END_TEST

/* A child that was forked with a source does not count on in its parent's epoch, nor seal with its cached keys. */
START_TEST(test_fork)
{
	uint8_t page[CL_PAGE], out[CL_PAGE];
	struct seal_ref here, there;
	struct bench t;
	void *ctx;
	int fds[2];
	pid_t child;

	bench_new(&t);
	fill(page, sizeof page);
	ck_assert_int_eq(seal_pages(t.source, &t.key, &t.place, page, out, &here, 1), 0);
	use(backends[n_backends - 1]);
	ck_assert_int_eq(seal_open_page(&t.key, &t.place, &here, out, page), 0);
	ck_assert_int_eq(seal_cache_get(n_backends > 1 ? &seal_ipsecmb : &seal_openssl, &t.key, here.epoch, &ctx), 0);
	ck_assert(!bytes_are_zero(ctx, SEAL_CTX_LEN));
	ck_assert_int_eq(pipe(fds), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		bool ok = bytes_are_zero(ctx, SEAL_CTX_LEN) &&
			  seal_open_page(&t.key, &t.place, &here, out, out) == 0 &&
			  memcmp(out, page, sizeof page) == 0 &&
			  seal_pages(t.source, &t.key, &t.place, page, out, &there, 1) == 0 &&
			  write(fds[1], &there, sizeof there) == sizeof there &&
			  write(fds[1], out, sizeof out) == sizeof out;
		_exit(ok ? 0 : 1);
	}
	/* The child writes all of this or fails. Its status does not count: leak checkers set it for what was wiped. */
	close(fds[1]);
	ck_assert_int_eq(read(fds[0], &there, sizeof there), sizeof there);
	ck_assert_int_eq(read(fds[0], out, sizeof out), sizeof out);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	close(fds[0]);
	ck_assert_mem_ne(here.epoch, there.epoch, sizeof here.epoch);
	ck_assert_int_eq(seal_open_page(&t.key, &t.place, &there, out, out), 0);
	ck_assert_mem_eq(out, page, sizeof page);
	bench_free(&t);
}
END_TEST

/* Many more keys and epochs than the cache has room for, in an order that displaces, with keys dying and new coming. */
START_TEST(test_cache_eviction)
{
	enum { KEYS = 100 };
	struct seal_source *sources[3];
	struct seal_key keys[KEYS];
	struct seal_place place = { .object = 1 };
	struct seal_ref refs[KEYS];
	uint8_t (*pages)[CL_PAGE] = malloc(KEYS * CL_PAGE), in[CL_PAGE], out[CL_PAGE];

	ck_assert_ptr_nonnull(pages);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(seal_source_new(&sources[i]), 0);
	for (int b = 0; b < n_backends; b++) {
		use(backends[b]);
		for (int i = 0; i < KEYS; i++)
			ck_assert_int_eq(seal_key_random(&keys[i]), 0);
		for (int i = 0; i < KEYS; i++) {
			memset(in, i, sizeof in);
			ck_assert_int_eq(seal_pages(sources[i % 3], &keys[i], &place, in, pages[i], &refs[i], 1), 0);
		}
		for (int i = 0; i < 30 * KEYS; i++) {
			int n = i * 37 % KEYS;

			if (i % 7 == 0)
				n = 5; /* one that stays */
			memset(in, n, sizeof in);
			ck_assert_int_eq(seal_open_page(&keys[n], &place, &refs[n], pages[n], out), 0);
			ck_assert_mem_eq(out, in, sizeof in);
			/* Another key or epoch, cached or not, does not open it. */
			ck_assert_int_eq(seal_open_page(&keys[(n + 1) % KEYS], &place, &refs[n], pages[n], out),
					 -EBADMSG);
			if (i % 11 == 0) {
				uint8_t raw[SEAL_KEY_LEN];
				uint64_t id = keys[n].id;

				memcpy(raw, keys[n].key, sizeof raw);
				seal_key_wipe(&keys[n]);
				seal_key_init(&keys[n], raw);
				ck_assert_uint_gt(keys[n].id, id);
			}
		}
		for (int i = 0; i < KEYS; i++)
			seal_key_wipe(&keys[i]);
	}
	for (int i = 0; i < 3; i++)
		seal_source_free(sources[i]);
	free(pages);
}
END_TEST

/* The cached subkey is gone from a context's memory once the key is wiped or displaced (where it can be seen). */
START_TEST(test_cache_wipes)
{
	uint8_t epoch[SEAL_EPOCH_LEN], subkey[SEAL_KEY_LEN];
	EVP_CIPHER_CTX *ecb = NULL;
	struct seal_key key, other;
	void *ctx, *again;

	fill(epoch, sizeof epoch);
	for (int b = 0; b < n_backends; b++) {
		const struct seal_backend *be = strcmp(backends[b], "openssl") ? &seal_ipsecmb : &seal_openssl;

		ck_assert_int_eq(seal_key_random(&key), 0);
		ck_assert_int_eq(seal_openssl_derive(&ecb, key.key, epoch, subkey), 0);
		ck_assert_int_eq(seal_cache_get(be, &key, epoch, &ctx), 0);
		ck_assert(!bytes_are_zero(ctx, SEAL_CTX_LEN));
		/* The first two round keys of AES-256 are the key. */
		if (be == &seal_ipsecmb)
			ck_assert_ptr_nonnull(memmem(ctx, SEAL_CTX_LEN, subkey, sizeof subkey));
		ck_assert_int_eq(seal_cache_get(be, &key, epoch, &again), 0);
		ck_assert_ptr_eq(ctx, again);
		for (unsigned i = 0; i < SEAL_CACHE_SLOTS; i++) {
			ck_assert_int_eq(seal_key_random(&other), 0);
			ck_assert_int_eq(seal_cache_get(be, &other, epoch, &again), 0);
			ck_assert(i == SEAL_CACHE_SLOTS - 1 ? again == ctx : again != ctx);
		}
		ck_assert_ptr_null(memmem(ctx, SEAL_CTX_LEN, subkey, sizeof subkey));
		seal_key_wipe(&other);
		ck_assert(bytes_are_zero(ctx, SEAL_CTX_LEN));
		ck_assert_int_eq(seal_cache_scratch(be, key.key, epoch, &ctx), 0);
		ck_assert(!bytes_are_zero(ctx, SEAL_CTX_LEN));
		seal_cache_scratch_wipe();
		ck_assert(bytes_are_zero(ctx, SEAL_CTX_LEN));
		seal_key_wipe(&key);
	}
	seal_openssl_derive_free(&ecb);
}
END_TEST

/* Threads that share keys and sources, each with its own contexts; half of them end without seal_thread_done(). */
struct worker {
	pthread_t thread;
	struct bench *bench;
	unsigned n;
	bool ok;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	uint8_t in[2 * CL_PAGE], out[2 * CL_PAGE];
	struct seal_ref refs[2];

	w->ok = true;
	for (unsigned i = 0; i < 200; i++) {
		struct bench *t = &w->bench[(w->n + i) % 20];
		struct seal_place place = t->place;

		memset(in, (int)(i + w->n), sizeof in);
		w->ok &= seal_pages(t->source, &t->key, &place, in, out, refs, 2) == 0;
		place.index++;
		w->ok &= seal_open_page(&t->key, &place, &refs[1], out + CL_PAGE, out + CL_PAGE) == 0;
		w->ok &= memcmp(out + CL_PAGE, in, CL_PAGE) == 0;
	}
	if (w->n % 2)
		seal_thread_done();
	return NULL;
}

START_TEST(test_threads)
{
	struct bench bench[20];
	struct worker workers[8];

	for (size_t i = 0; i < CL_ARRAY_LEN(bench); i++)
		bench_new(&bench[i]);
	for (int b = 0; b < n_backends; b++) {
		use(backends[b]);
		for (unsigned i = 0; i < CL_ARRAY_LEN(workers); i++) {
			workers[i] = (struct worker){ .bench = bench, .n = i };
			ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
		}
		for (unsigned i = 0; i < CL_ARRAY_LEN(workers); i++) {
			ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
			ck_assert(workers[i].ok);
		}
	}
	for (size_t i = 0; i < CL_ARRAY_LEN(bench); i++)
		bench_free(&bench[i]);
}
END_TEST

START_TEST(test_init)
{
	static uint8_t plain[CL_PAGE], sealed[CL_PAGE];
	struct bench t;
	struct seal_ref ref;

	bench_new(&t);
	ck_assert_int_eq(seal_force_backend("rot13"), -ENOTSUP);
	seal_done();
	ck_assert_int_eq(seal_force_backend("openssl"), -ENOTSUP);
	ck_assert_int_eq(seal_pages(t.source, &t.key, &t.place, plain, sealed, &ref, 1), -EIO);
	ck_assert_int_eq(seal_init(), 0);
	/* The fast one is the default wherever it is. */
	ck_assert_int_eq(strncmp(seal_backend(), backends[n_backends - 1], strlen(backends[n_backends - 1])), 0);
	ck_assert_int_eq(seal_pages(t.source, &t.key, &t.place, plain, sealed, &ref, 1), 0);
	ck_assert_int_eq(seal_pages(t.source, &t.key, &t.place, plain, sealed, &ref, 0), -EINVAL);
	/* A key that was wiped is not a key of zeros. */
	seal_key_wipe(&t.key);
	ck_assert_int_eq(seal_pages(t.source, &t.key, &t.place, plain, sealed, &ref, 1), -EINVAL);
	memset(ref.epoch, 0, sizeof ref.epoch);
	ck_assert_int_eq(seal_open_page(&t.key, &t.place, &ref, sealed, plain), -EINVAL);
	bench_free(&t);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		test_counter_wrap, test_nonces_unique, test_fork, test_cache_eviction, test_cache_wipes,
		test_threads, test_init
	};

	return run("seal_state", tests, CL_ARRAY_LEN(tests));
}
