/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unit tests of fs/inode.h: the record of doc/FORMAT section 5 byte by byte, numbers, orphans, references, ranges. */
#include "fs/inode.h"

#include "common/bytes.h"
#include "tests/unit/engine_fixture.h"

#include <pthread.h>
#include <unistd.h>

static void put(uint8_t *r, unsigned off, unsigned len, uint64_t v)
{
	for (unsigned i = 0; i < len; i++)
		r[off + i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get(const uint8_t *r, unsigned off, unsigned len)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < len; i++)
		v |= (uint64_t)r[off + i] << (8 * i);
	return v;
}

/* An inode nobody else has, of that record. -errno of the decoder. */
static int decode(struct engine *e, const uint8_t *record, struct inode *i)
{
	memset(i, 0, sizeof *i);
	i->comp = e->c;
	i->ino = 99;
	tree_init(&i->data, &e->c->io, e->c->nodes, &e->c->dirty_pages);
	tree_init(&i->xattr, &e->c->io, e->c->nodes, &e->c->dirty_pages);
	return inode_decode(i, record);
}

static void drop(struct inode *i)
{
	tree_discard(&i->data);
	tree_discard(&i->xattr);
}

/* A record in which every field has a value of its own, built from the table of the format. */
static void full_record(uint8_t r[static INODE_RECORD], uint32_t type)
{
	memset(r, 0, INODE_RECORD);
	put(r, 0, 4, type | 04751);
	put(r, 4, 4, 2);               /* attributes in an object */
	put(r, 8, 4, 3);               /* links */
	put(r, 12, 4, 0xfffffffe);     /* uid */
	put(r, 16, 4, 0x12345678);     /* gid */
	put(r, 20, 4, 5);
	put(r, 24, 4, 6);
	put(r, 28, 4, 0xdeadbeef);     /* generation */
	put(r, 32, 8, type == S_IFDIR ? 16384 : 12345678901);
	put(r, 40, 8, (uint64_t)-5);   /* times, also before 1970 */
	put(r, 48, 4, 999999999);
	put(r, 52, 8, 0x200000000);
	put(r, 60, 4, 1);
	put(r, 64, 8, 1700000000);
	put(r, 72, 4, 2);
	put(r, 76, 8, 1600000000);
	put(r, 84, 4, 3);
	put(r, 88, 8, 0x1234);         /* object */
	r[96] = 3;
	put(r, 104, 8, type == S_IFDIR ? 4 : 77);
	for (unsigned k = 0; k < 32; k++) {
		r[112 + k] = (uint8_t)(k + 1);
		r[144 + k] = (uint8_t)(k + 41);
		r[208 + k] = (uint8_t)(k + 81);
		r[240 + k] = (uint8_t)(k + 121);
	}
	if (type == S_IFDIR) {
		put(r, 176, 8, 0x4321);
		put(r, 184, 8, 42);
	}
	put(r, 192, 8, 0x5678);
	r[200] = 1;
	put(r, 204, 4, 5000);
}

START_TEST(test_codec)
{
	static const uint32_t types[] = { S_IFREG, S_IFDIR };
	struct engine e;
	uint8_t r[INODE_RECORD], out[INODE_RECORD];
	struct inode_data data;
	struct inode i;

	engine_new(&e);
	for (unsigned k = 0; k < CL_ARRAY_LEN(types); k++) {
		full_record(r, types[k]);
		ck_assert_int_eq(decode(&e, r, &i), 0);
		ck_assert_uint_eq(i.mode, types[k] | 04751);
		ck_assert_uint_eq(i.nlink, 3);
		ck_assert_uint_eq(i.uid, 0xfffffffe);
		ck_assert_uint_eq(i.gid, 0x12345678);
		ck_assert_uint_eq(i.rdev_major, 5);
		ck_assert_uint_eq(i.rdev_minor, 6);
		ck_assert_uint_eq(i.generation, 0xdeadbeef);
		ck_assert_uint_eq(i.size, get(r, 32, 8));
		ck_assert_int_eq(i.atime.tv_sec, -5);
		ck_assert_int_eq(i.atime.tv_nsec, 999999999);
		ck_assert_int_eq(i.mtime.tv_sec, 0x200000000);
		ck_assert_int_eq(i.ctime.tv_nsec, 2);
		ck_assert_int_eq(i.btime.tv_sec, 1600000000);
		ck_assert_uint_eq(i.data.object, 0x1234);
		ck_assert_uint_eq(i.data.height, 3);
		ck_assert_mem_eq(&i.data.root, r + 112, 32);
		ck_assert_mem_eq(i.data.key.key, r + 144, 32);
		ck_assert_uint_eq(i.stored, get(r, 104, 8));
		ck_assert_uint_eq(i.parent, get(r, 176, 8));
		ck_assert_uint_eq(i.entries, get(r, 184, 8));
		ck_assert(i.xattr_object && !i.link_inline);
		ck_assert_uint_eq(i.xattr.object, 0x5678);
		ck_assert_uint_eq(i.xattr.height, 1);
		ck_assert_uint_eq(i.xattr_len, 5000);
		ck_assert_mem_eq(&i.xattr.root, r + 208, 32);
		ck_assert_mem_eq(i.xattr.key.key, r + 240, 32);
		inode_data_now(&i, &data);
		memset(out, 0xaa, sizeof out);
		inode_encode(&i, &data, out);
		ck_assert_mem_eq(out, r, sizeof out);
		drop(&i);
	}
	/* An inline target with an inline list behind it. */
	memset(r, 0, sizeof r);
	put(r, 0, 4, S_IFLNK | 0777);
	put(r, 4, 4, 1);
	put(r, 8, 4, 1);
	put(r, 32, 8, 5);
	put(r, 272, 2, 5);
	put(r, 274, 2, 14);
	memcpy(r + 280, "where\6\0\2\0\0\0user.xvv", 5 + 14);
	ck_assert_int_eq(decode(&e, r, &i), 0);
	ck_assert(i.link_inline && !i.xattr_object);
	ck_assert_uint_eq(i.link_len, 5);
	ck_assert_uint_eq(i.xattr_inline_len, 14);
	ck_assert_mem_eq(i.inline_area, r + 280, INODE_INLINE);
	inode_data_now(&i, &data);
	inode_encode(&i, &data, out);
	ck_assert_mem_eq(out, r, sizeof out);
	drop(&i);
	engine_free(&e);
}
END_TEST

START_TEST(test_reserved)
{
	struct engine e;
	uint8_t r[INODE_RECORD];
	struct inode i;

	engine_new(&e);
	for (unsigned off = 0; off < INODE_RECORD; off++) {
		bool reserved = (off >= 97 && off < 104) || (off >= 201 && off < 204) || (off >= 276 && off < 280);
		if (!reserved)
			continue;
		for (unsigned bit = 0; bit < 8; bit++) {
			full_record(r, S_IFREG);
			r[off] = (uint8_t)(1u << bit);
			ck_assert_msg(decode(&e, r, &i) == -EUCLEAN, "byte %u", off);
			drop(&i);
		}
	}
	/* A free record: all zero but the generation. */
	memset(r, 0, sizeof r);
	put(r, 28, 4, 17);
	ck_assert_int_eq(decode(&e, r, &i), -ENOENT);
	ck_assert_uint_eq(i.generation, 17);
	drop(&i);
	engine_free(&e);
}
END_TEST

/* One field of a sound record, made senseless. */
START_TEST(test_malformed)
{
	static const struct {
		unsigned off, len;
		uint64_t value;
	} bad[] = {
		{ 0, 4, 07777 },
		{ 0, 4, 0170000 | 0644 },
		{ 0, 4, 0030000 | 0644 },
		{ 0, 4, S_IFREG | 0200000 },
		{ 0, 4, UINT32_MAX },
		{ 4, 4, 0 },
		{ 4, 4, 4 | 2 },
		{ 4, 4, 1 | 2 },
		{ 4, 4, 0x80000002 },
		{ 32, 8, FS_FILE_MAX + 1 },
		{ 32, 8, UINT64_MAX },
		{ 48, 4, 1000000000 },
		{ 60, 4, UINT32_MAX },
		{ 72, 4, 1000000000 },
		{ 84, 4, 1000000000 },
		{ 88, 8, 15 },
		{ 88, 8, 1 },
		{ 88, 8, 0 },
		{ 88, 8, (uint64_t)1 << 63 },
		{ 96, 1, 6 },
		{ 96, 1, 255 },
		{ 192, 8, 0 },
		{ 192, 8, 15 },
		{ 192, 8, UINT64_MAX },
		{ 200, 1, 6 },
		{ 272, 2, 233 },
		{ 274, 2, 233 },
		{ 272, 2, 0xffff },
		{ 274, 2, 0xffff },
	};
	struct engine e;
	uint8_t r[INODE_RECORD];
	struct inode i;

	engine_new(&e);
	for (unsigned k = 0; k < CL_ARRAY_LEN(bad); k++) {
		full_record(r, S_IFREG);
		put(r, bad[k].off, bad[k].len, bad[k].value);
		int err = decode(&e, r, &i);
		ck_assert_msg(err == -EUCLEAN, "%u: byte %u, value %llx: %d", k, bad[k].off,
			      (unsigned long long)bad[k].value, err);
		drop(&i);
	}
	/* The greatest that is allowed. */
	full_record(r, S_IFREG);
	put(r, 32, 8, FS_FILE_MAX);
	r[96] = 5;
	ck_assert_int_eq(decode(&e, r, &i), 0);
	drop(&i);
	/* Chance: no crash, and what is accepted is written back as it was read. */
	uint64_t rng = 9;
	for (unsigned k = 0; k < 20000; k++) {
		struct inode_data data;
		uint8_t out[INODE_RECORD];
		full_record(r, k & 1 ? S_IFREG : S_IFDIR);
		for (unsigned n = 0; n < 3; n++)
			r[engine_rand(&rng) % INODE_RECORD] = (uint8_t)engine_rand(&rng);
		int err = decode(&e, r, &i);
		ck_assert_msg(err == 0 || err == -EUCLEAN || err == -ENOENT, "%d", err);
		if (!err) {
			inode_data_now(&i, &data);
			inode_encode(&i, &data, out);
			ck_assert_mem_eq(out, r, sizeof out);
		}
		drop(&i);
	}
	engine_free(&e);
}
END_TEST

static struct inode *new_inode(struct engine *e, bool orphan)
{
	struct inode *i;

	ck_assert_int_eq(inode_new(e->c, S_IFREG | 0600, orphan, &i), 0);
	pthread_rwlock_wrlock(&i->lock);
	i->nlink = orphan ? 0 : 1;
	pthread_rwlock_unlock(&i->lock);
	return i;
}

static void free_orphan(struct inode *i)
{
	pthread_rwlock_wrlock(&i->lock);
	ck_assert_int_eq(inode_free_orphan(i), 0);
	ck_assert_uint_eq(i->mode, 0);
	pthread_rwlock_unlock(&i->lock);
}

START_TEST(test_numbers)
{
	enum { N = 300 };
	struct engine e;
	struct inode *i[N], *again;
	uint32_t generations[N];
	uint64_t numbers[N];

	engine_new(&e);
	ck_assert_int_eq(txn_begin(e.c), 0);
	for (unsigned k = 0; k < N; k++) {
		i[k] = new_inode(&e, k % 3 == 0);
		numbers[k] = i[k]->ino;
		generations[k] = i[k]->generation;
		ck_assert_uint_eq(i[k]->ino, k + 2); /* the lowest that is free */
	}
	txn_end(e.c);
	ck_assert_int_eq(inode_get(e.c, 1000000, &again), -ENOENT);
	ck_assert_int_eq(inode_get(e.c, 0, &again), -ENOENT);
	ck_assert_int_eq(inode_get(e.c, INODE_MAX, &again), -ENOENT);
	ck_assert_int_eq(inode_get(e.c, numbers[7], &again), 0);
	ck_assert_ptr_eq(again, i[7]);
	inode_put(again);
	ck_assert_uint_eq(e.c->n_orphans, 100);
	ck_assert_uint_eq(e.c->inodes_used, N + 1);
	/* Freed numbers are given out again, with another generation, in the same transaction already. */
	ck_assert_int_eq(txn_begin(e.c), 0);
	free_orphan(i[30]);
	ck_assert_int_eq(inode_get(e.c, numbers[30], &again), -ENOENT);
	again = new_inode(&e, true);
	ck_assert_uint_eq(again->ino, numbers[30]);
	ck_assert_ptr_ne(again, i[30]); /* who still holds the old one sees that it is gone */
	ck_assert_uint_ne(again->generation, generations[30]);
	txn_end(e.c);
	inode_put(again);
	for (unsigned k = 0; k < N; k++)
		inode_put(i[k]);
	/* Orphans end with the session, the others stay. */
	engine_reopen(&e);
	ck_assert_uint_eq(e.c->n_orphans, 0);
	ck_assert_uint_eq(e.c->inodes_used, N + 1 - 100);
	for (unsigned k = 0; k < N; k++) {
		int err = inode_get(e.c, numbers[k], &again);
		ck_assert_int_eq(err, k % 3 == 0 ? -ENOENT : 0);
		if (!err) {
			ck_assert_uint_eq(again->generation, generations[k]);
			inode_put(again);
		}
	}
	engine_free(&e);
}
END_TEST

START_TEST(test_references)
{
	struct engine e;

	engine_new(&e);
	ck_assert_int_eq(txn_begin(e.c), 0);
	struct inode *i = new_inode(&e, true);
	txn_end(e.c);
	ck_assert(inode_is_unused(i));
	ck_assert(!inode_lookup_sub(e.c, i->ino, 1)); /* nobody knows it */
	ck_assert_int_eq(inode_lookup_add(e.c, i->ino), 0);
	ck_assert_int_eq(inode_lookup_add(e.c, i->ino), 0);
	ck_assert(!inode_is_unused(i));
	ck_assert(!inode_lookup_sub(e.c, i->ino, 1));
	ck_assert(inode_lookup_sub(e.c, i->ino, 1));
	ck_assert(inode_is_unused(i));
	inode_open_add(i);
	inode_open_add(i);
	ck_assert(!inode_is_unused(i));
	ck_assert(!inode_open_sub(i));
	ck_assert(inode_open_sub(i));
	inode_put(i);
	inode_put(i); /* a handle counts as a reference */
	ck_assert(inode_is_unused(i));
	/* Many, so that the table grows and clusters are shifted; more forgotten than known does no harm. */
	static unsigned counts[3000];
	uint64_t rng = 2;
	for (unsigned k = 0; k < 30000; k++) {
		uint64_t ino = engine_rand(&rng) % CL_ARRAY_LEN(counts);
		unsigned n = (unsigned)(engine_rand(&rng) % 3) + 1;
		if (engine_rand(&rng) % 2) {
			ck_assert_int_eq(inode_lookup_add(e.c, 1000 + ino), 0);
			counts[ino]++;
		} else {
			bool gone = inode_lookup_sub(e.c, 1000 + ino, n);
			ck_assert_int_eq(gone, counts[ino] && counts[ino] <= n);
			counts[ino] -= CL_MIN(counts[ino], n);
		}
	}
	for (unsigned k = 0; k < CL_ARRAY_LEN(counts); k++)
		ck_assert_int_eq(inode_lookup_sub(e.c, 1000 + k, UINT64_MAX), counts[k] > 0);
	inode_put(i);
	engine_free(&e);
}
END_TEST

struct waiter {
	struct inode *i;
	uint64_t first, last;
	bool write;
	atomic_bool got;
	pthread_t thread;
};

static void *wait_for_range(void *arg)
{
	struct waiter *w = arg;
	struct inode_range r;

	inode_range_lock(w->i, &r, w->first, w->last, w->write);
	atomic_store(&w->got, true);
	inode_range_unlock(w->i, &r);
	return NULL;
}

/* Does another thread get that range now? */
static bool can_lock(struct inode *i, uint64_t first, uint64_t last, bool write, struct inode_range *mine)
{
	struct waiter w = { .i = i, .first = first, .last = last, .write = write };

	ck_assert_int_eq(pthread_create(&w.thread, NULL, wait_for_range, &w), 0);
	for (unsigned k = 0; k < 30 && !atomic_load(&w.got); k++)
		usleep(1000);
	bool got = atomic_load(&w.got);
	if (!got) {
		/* It waits, and must wake when the range is free. */
		struct inode_range copy = *mine;
		inode_range_unlock(i, mine);
		pthread_join(w.thread, NULL);
		inode_range_lock(i, mine, copy.first, copy.last, copy.write);
	} else {
		pthread_join(w.thread, NULL);
	}
	return got;
}

START_TEST(test_ranges)
{
	struct engine e;
	struct inode_range r;

	engine_new(&e);
	ck_assert_int_eq(txn_begin(e.c), 0);
	struct inode *i = new_inode(&e, true);
	txn_end(e.c);
	inode_range_lock(i, &r, 10, 20, true);
	ck_assert(can_lock(i, 0, 9, true, &r));
	ck_assert(can_lock(i, 21, 30, true, &r));
	ck_assert(!can_lock(i, 0, 10, true, &r));
	ck_assert(!can_lock(i, 20, 20, false, &r));
	ck_assert(!can_lock(i, 0, UINT64_MAX, false, &r));
	inode_range_unlock(i, &r);
	inode_range_lock(i, &r, 10, 20, false);
	ck_assert(can_lock(i, 0, 15, false, &r));
	ck_assert(!can_lock(i, 15, 16, true, &r));
	inode_range_unlock(i, &r);
	inode_put(i);
	engine_free(&e);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { test_codec,   test_reserved,   test_malformed,
				       test_numbers, test_references, test_ranges };

	return engine_run("inode", tests, CL_ARRAY_LEN(tests));
}
