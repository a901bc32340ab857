/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unit tests of fs/journal.h: records around the ring, torn ones, damaged headers, hostile bytes. */
#include "fs/journal.h"

#include "common/bytes.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/hook_store.h"

#include <xxhash.h>

enum { PAGES = 64, RING = 2 };

static const uint8_t id[16] = { 1, 2, 3 };
static uint8_t data[PAGES][CL_PAGE];

/* What a scan found. */
struct found {
	unsigned n;
	uint64_t first, last;
	uint32_t blocks, ops;
	int stop_at; /* result at the record of that place; 0 = never */
};

static int on_record(void *arg, const struct journal_record *r)
{
	struct found *f = arg;

	if (f->n == 0)
		f->first = r->seq;
	else
		ck_assert_uint_eq(r->seq, f->last + 1);
	f->last = r->seq;
	f->n++;
	f->blocks += r->n_blocks;
	f->ops += r->n_ops;
	for (uint32_t i = 0; i < r->n_blocks; i++) {
		ck_assert_uint_eq(r->blocks[i].object, 16 + r->seq);
		ck_assert_uint_eq(r->blocks[i].page, i * 3);
		ck_assert_mem_eq(r->blocks[i].data, data[(r->seq + i) % PAGES], CL_PAGE);
	}
	for (uint32_t i = 0; i < r->n_ops; i++) {
		ck_assert_uint_eq(r->ops[i].code, 1 + i % 3);
		ck_assert_uint_eq(r->ops[i].object, 100 + i);
		ck_assert_uint_eq(r->ops[i].a, r->seq);
		ck_assert_uint_eq(r->ops[i].b, i);
	}
	return f->stop_at && f->n == (unsigned)f->stop_at ? -ECANCELED : 0;
}

static int append(struct journal *j, uint32_t n_blocks, uint32_t n_ops)
{
	struct journal_block blocks[PAGES];
	struct journal_op *ops = calloc(n_ops + 1, sizeof *ops);
	uint64_t seq = journal_next(j);

	for (uint32_t i = 0; i < n_blocks; i++)
		blocks[i] = (struct journal_block){ 16 + seq, i * 3, data[(seq + i) % PAGES] };
	for (uint32_t i = 0; i < n_ops; i++)
		ops[i] = (struct journal_op){ 1 + i % 3, 100 + i, seq, i };
	int err = journal_append(j, seq, blocks, n_blocks, ops, n_ops);
	free(ops);
	return err;
}

static struct store *new_store(void)
{
	struct store *s = memstore_new();

	for (unsigned p = 0; p < PAGES; p++)
		memset(data[p], (int)p + 1, CL_PAGE);
	ck_assert_int_eq(journal_format(s, id, PAGES, 7), 0);
	return s;
}

/* Opens, scans, and closes unless the caller wants it. */
static int scan(struct store *s, struct found *f, bool *ret_broken, struct journal **ret)
{
	struct journal *j;
	bool broken = false;
	int stop_at = f->stop_at;
	int err = journal_open(s, id, false, &j);

	memset(f, 0, sizeof *f);
	f->stop_at = stop_at;
	if (err)
		return err;
	err = journal_scan(j, on_record, f, &broken);
	if (ret_broken)
		*ret_broken = broken;
	if (ret && !err)
		*ret = j;
	else
		journal_close(j);
	return err;
}

/* The journal's file as bytes. */
static void file_io(struct store *s, void *buf, size_t n, uint64_t off, bool write)
{
	struct store_file *f;
	size_t got = 0;

	ck_assert_int_eq(s->ops->open(s, "journal", STORE_RDWR, &f), 0);
	if (write)
		ck_assert_int_eq(s->ops->pwrite(s, f, buf, n, off), 0);
	else
		ck_assert_int_eq(s->ops->pread(s, f, buf, n, off, &got), 0);
	s->ops->close(s, f);
}

START_TEST(test_append_scan)
{
	struct store *s = new_store();
	struct journal *j;
	struct found f = { 0 };
	bool broken;

	ck_assert_int_eq(journal_format(s, id, PAGES, 7), -EEXIST);
	ck_assert_int_eq(scan(s, &f, &broken, &j), 0);
	ck_assert_uint_eq(f.n, 0);
	ck_assert(!broken);
	ck_assert_uint_eq(journal_next(j), 7);
	ck_assert_uint_eq(journal_size(j), PAGES);
	ck_assert_uint_eq(journal_free(j), PAGES);
	ck_assert_uint_eq(journal_record_pages(3, 2), 4);
	ck_assert_int_eq(append(j, 3, 2), 0);
	ck_assert_uint_eq(journal_free(j), PAGES - 4);
	ck_assert_uint_eq(journal_next(j), 8);
	ck_assert_int_eq(append(j, 0, 0), 0); /* a record of nothing is a record */
	ck_assert_int_eq(append(j, 5, 200), 0); /* a head of two pages */
	ck_assert_uint_eq(journal_record_pages(5, 200), 7);
	ck_assert_uint_eq(journal_free(j), PAGES - 12);
	ck_assert_int_eq(journal_append(j, 11, NULL, 0, NULL, 0), -EINVAL);
	ck_assert_int_eq(journal_append(j, 9, NULL, 0, NULL, 0), -EINVAL);
	journal_close(j);
	ck_assert_int_eq(scan(s, &f, &broken, &j), 0);
	ck_assert_uint_eq(f.n, 3);
	ck_assert_uint_eq(f.first, 7);
	ck_assert_uint_eq(f.blocks, 8);
	ck_assert_uint_eq(f.ops, 202);
	ck_assert(!broken);
	ck_assert_uint_eq(journal_next(j), 10);
	ck_assert_uint_eq(journal_free(j), PAGES - 12);
	journal_close(j);
	/* The callback's word ends it. */
	f.stop_at = 2;
	ck_assert_int_eq(scan(s, &f, &broken, NULL), -ECANCELED);
	ck_assert_uint_eq(f.n, 2);
	s->ops->free(s);
}
END_TEST

START_TEST(test_advance)
{
	struct store *s = new_store();
	struct journal *j;
	struct found f = { 0 };

	ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(append(j, 4, 1), 0);
	ck_assert_int_eq(journal_advance(j, 6), 0); /* nothing is that old */
	ck_assert_uint_eq(journal_free(j), PAGES - 25);
	ck_assert_int_eq(journal_advance(j, 8), 0);
	ck_assert_uint_eq(journal_free(j), PAGES - 15);
	journal_close(j);
	ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
	ck_assert_uint_eq(f.first, 9);
	ck_assert_uint_eq(f.n, 3);
	/* Marks of a scan serve as those of appends. */
	ck_assert_int_eq(journal_advance(j, 10), 0);
	journal_close(j);
	ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
	ck_assert_uint_eq(f.first, 11);
	ck_assert_int_eq(journal_advance(j, 11), 0);
	ck_assert_uint_eq(journal_free(j), PAGES);
	journal_close(j);
	ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
	ck_assert_uint_eq(f.n, 0);
	ck_assert_uint_eq(journal_next(j), 12);
	journal_close(j);
	s->ops->free(s);
}
END_TEST

/* Records of all sizes, many times around the ring, the tail close behind. */
START_TEST(test_wrap)
{
	struct store *s = new_store();
	struct journal *j;
	struct found f = { 0 };
	uint64_t rng = 3, tail = 7;
	bool broken;

	ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
	for (unsigned step = 0; step < 2000; step++) {
		uint32_t blocks = (uint32_t)(engine_rand(&rng) % 20), ops = (uint32_t)(engine_rand(&rng) % 300);
		uint32_t pages = journal_record_pages(blocks, ops);
		uint32_t room = journal_free(j);
		int err = append(j, blocks, ops);
		ck_assert_int_eq(err, pages > room ? -ENOSPC : 0);
		if (err) {
			tail += engine_rand(&rng) % (journal_next(j) - tail) + 1;
			ck_assert_int_eq(journal_advance(j, tail - 1), 0);
		}
		if (step % 10)
			continue;
		uint64_t next = journal_next(j);
		room = journal_free(j);
		journal_close(j);
		ck_assert_int_eq(scan(s, &f, &broken, &j), 0);
		ck_assert(!broken);
		ck_assert_uint_eq(f.n, next - tail);
		ck_assert_uint_eq(journal_next(j), next);
		ck_assert_uint_eq(journal_free(j), room);
		if (f.n)
			ck_assert_uint_eq(f.first, tail);
	}
	/* Exactly full. */
	ck_assert_int_eq(journal_advance(j, journal_next(j) - 1), 0);
	ck_assert_int_eq(append(j, PAGES - 1, 0), 0);
	ck_assert_uint_eq(journal_free(j), 0);
	ck_assert_int_eq(append(j, 0, 0), -ENOSPC);
	journal_close(j);
	ck_assert_int_eq(scan(s, &f, &broken, &j), 0);
	ck_assert_uint_eq(f.n, 1);
	ck_assert_uint_eq(f.blocks, PAGES - 1);
	journal_close(j);
	s->ops->free(s);
}
END_TEST

/* The last record torn after each 512 bytes, over what an older turn of the ring left there: gone, and only that. */
START_TEST(test_torn)
{
	enum { BLOCKS = 5 };
	static uint8_t before[(BLOCKS + 1) * CL_PAGE], after[sizeof before];
	struct store *s = new_store();
	struct journal *j;
	struct found f = { 0 };
	bool broken;

	ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
	/* Two turns, so that old records stand everywhere; the last one begins at ring page 12. */
	while (journal_next(j) < 7 + 2 * 10) {
		ck_assert_int_eq(append(j, BLOCKS, 2), 0);
		ck_assert_int_eq(journal_advance(j, journal_next(j) - 2), 0);
	}
	unsigned at = (20 * 6) % PAGES;
	file_io(s, before, sizeof before, (RING + at) * CL_PAGE, false);
	ck_assert_int_eq(append(j, BLOCKS, 2), 0);
	file_io(s, after, sizeof after, (RING + at) * CL_PAGE, false);
	uint64_t next = journal_next(j);
	journal_close(j);
	ck_assert_int_eq(scan(s, &f, &broken, NULL), 0);
	ck_assert_uint_eq(f.last, next - 1);
	unsigned whole = f.n;
	for (size_t cut = 0; cut < sizeof after; cut += 512) {
		/* The first part arrived; then: the last part alone; then: all but one sector. */
		for (unsigned kind = 0; kind < 3; kind++) {
			uint8_t *mix = malloc(sizeof after);
			ck_assert_ptr_nonnull(mix);
			memcpy(mix, before, sizeof before);
			if (kind == 0)
				memcpy(mix, after, cut);
			else if (kind == 1)
				memcpy(mix + cut + 512, after + cut + 512, sizeof after - cut - 512);
			else
				memcpy(mix, after, cut),
					memcpy(mix + cut + 512, after + cut + 512, sizeof after - cut - 512);
			if (!memcmp(mix, after, sizeof after)) {
				free(mix); /* that sector is as it was */
				continue;
			}
			file_io(s, mix, sizeof after, (RING + at) * CL_PAGE, true);
			free(mix);
			ck_assert_int_eq(scan(s, &f, &broken, &j), 0);
			ck_assert_msg(f.n == whole - 1 && f.last == next - 2 && !broken,
				      "cut at %zu, kind %u: %u records to %u%s", cut, kind, f.n, (unsigned)f.last,
				      broken ? ", broken" : "");
			/* The place is used again. */
			ck_assert_uint_eq(journal_next(j), next - 1);
			ck_assert_int_eq(append(j, 1, 0), 0);
			journal_close(j);
			ck_assert_int_eq(scan(s, &f, &broken, NULL), 0);
			ck_assert_uint_eq(f.last, next - 1);
			ck_assert(!broken);
			file_io(s, after, sizeof after, (RING + at) * CL_PAGE, true);
		}
	}
	s->ops->free(s);
}
END_TEST

/* A record in the middle damaged, with whole ones behind it, is damage and not the end. */
START_TEST(test_broken)
{
	struct store *s = new_store();
	struct journal *j;
	struct found f = { 0 };
	uint8_t byte;
	bool broken;

	ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(append(j, 2, 1), 0);
	journal_close(j);
	for (unsigned record = 0; record < 4; record++)
		for (unsigned off = 0; off < 3 * CL_PAGE; off += 97) {
			uint64_t at = (RING + record * 3) * CL_PAGE + off;
			file_io(s, &byte, 1, at, false);
			byte ^= 0x10;
			file_io(s, &byte, 1, at, true);
			ck_assert_int_eq(scan(s, &f, &broken, NULL), 0);
			ck_assert_uint_eq(f.n, record);
			ck_assert_msg(broken == (record < 3), "record %u, byte %u", record, off);
			byte ^= 0x10;
			file_io(s, &byte, 1, at, true);
		}
	s->ops->free(s);
}
END_TEST

static void seal_header(uint8_t page[static 512])
{
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, XXH3_128bits(page, 64));
	memcpy(page + 64, c.digest, 16);
}

START_TEST(test_headers)
{
	struct store *s = new_store();
	struct journal *j;
	struct found f = { 0 };
	uint8_t good[512], bad[512], byte;

	ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
	ck_assert_int_eq(append(j, 2, 1), 0);
	ck_assert_int_eq(append(j, 2, 1), 0);
	ck_assert_int_eq(journal_advance(j, 7), 0);
	journal_close(j);
	file_io(s, good, sizeof good, 0, false);
	/* Any byte of either copy: the other serves. Of both: -EUCLEAN. */
	for (unsigned off = 0; off < 80; off++) {
		for (unsigned copy = 0; copy < 2; copy++) {
			byte = good[off] ^ 1;
			file_io(s, &byte, 1, copy * CL_PAGE + off, true);
			ck_assert_int_eq(journal_check_header(s, id, copy), -EUCLEAN);
			ck_assert_int_eq(journal_check_header(s, id, !copy), 0);
			ck_assert_int_eq(scan(s, &f, NULL, NULL), 0);
			ck_assert_uint_eq(f.first, 8);
			ck_assert_uint_eq(f.n, 1);
			file_io(s, good, sizeof good, copy * CL_PAGE, true);
		}
		byte = good[off] ^ 1;
		file_io(s, &byte, 1, off, true);
		file_io(s, &byte, 1, CL_PAGE + off, true);
		ck_assert_int_eq(scan(s, &f, NULL, NULL), -EUCLEAN);
		file_io(s, good, sizeof good, 0, true);
		file_io(s, good, sizeof good, CL_PAGE, true);
	}
	/* The newer one counts. */
	memcpy(bad, good, sizeof bad);
	bad[56]--;           /* generation */
	bad[48] = 7;         /* first record */
	bad[40] = 0;         /* its place */
	seal_header(bad);
	file_io(s, bad, sizeof bad, 0, true);
	ck_assert_int_eq(scan(s, &f, NULL, NULL), 0);
	ck_assert_uint_eq(f.first, 8);
	file_io(s, good, sizeof good, 0, true);
	file_io(s, bad, sizeof bad, CL_PAGE, true);
	ck_assert_int_eq(scan(s, &f, NULL, NULL), 0);
	ck_assert_uint_eq(f.first, 8);
	/* An older or a damaged copy is brought up before the next header is written: its tail may be overwritten by now. */
	for (unsigned copy = 0; copy < 2; copy++) {
		uint8_t now[2][512];
		for (unsigned damaged = 0; damaged < 2; damaged++) {
			byte = good[0] ^ 1;
			file_io(s, good, sizeof good, !copy * CL_PAGE, true);
			file_io(s, bad, sizeof bad, copy * CL_PAGE, true);
			if (damaged)
				file_io(s, &byte, 1, copy * CL_PAGE, true);
			ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
			ck_assert_int_eq(journal_settle(j), 0);
			journal_close(j);
			file_io(s, now[0], sizeof now[0], 0, false);
			file_io(s, now[1], sizeof now[1], CL_PAGE, false);
			ck_assert_mem_eq(now[0], good, sizeof good);
			ck_assert_mem_eq(now[1], good, sizeof good);
		}
	}
	/* Somebody else's. */
	ck_assert_int_eq(journal_open(s, (const uint8_t[16]){ 9 }, false, &j), -EUCLEAN);
	s->ops->free(s);
}
END_TEST

/* Headers that carry a right checksum and nonsense. */
START_TEST(test_hostile_headers)
{
	static const struct {
		unsigned off;
		uint64_t value;
		unsigned len;
		int want;
	} cases[] = {
		{ 8, 2, 4, -EPROTONOSUPPORT },
		{ 8, 0, 4, -EPROTONOSUPPORT },
		{ 12, 1, 4, -EUCLEAN },
		{ 32, 0, 8, -EUCLEAN },
		{ 32, 63, 8, -EUCLEAN },
		{ 32, JOURNAL_PAGES_MAX + 1, 8, -EUCLEAN },
		{ 32, UINT64_MAX, 8, -EUCLEAN },
		{ 40, PAGES, 8, -EUCLEAN },
		{ 40, UINT64_MAX, 8, -EUCLEAN },
		{ 48, 0, 8, -EUCLEAN },
		{ 48, (uint64_t)1 << 63, 8, -EUCLEAN },
		{ 56, UINT64_MAX, 8, -EUCLEAN },
		/* Sound, though not what we wrote: an empty journal, a ring longer than the file. */
		{ 40, 5, 8, 0 },
		{ 48, INT64_MAX, 8, 0 },
		{ 32, JOURNAL_PAGES_MAX, 8, 0 },
		{ 56, INT64_MAX, 8, 0 },
	};
	struct store *s = new_store();
	struct journal *j;
	struct found f = { 0 };
	uint8_t good[512], bad[512];
	bool broken;

	ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
	ck_assert_int_eq(append(j, 1, 0), 0);
	journal_close(j);
	file_io(s, good, sizeof good, 0, false);
	for (unsigned i = 0; i < CL_ARRAY_LEN(cases); i++) {
		memcpy(bad, good, sizeof bad);
		for (unsigned k = 0; k < cases[i].len; k++)
			bad[cases[i].off + k] = (uint8_t)(cases[i].value >> (8 * k));
		seal_header(bad);
		file_io(s, bad, sizeof bad, 0, true);
		file_io(s, bad, sizeof bad, CL_PAGE, true);
		int err = scan(s, &f, &broken, NULL);
		ck_assert_msg(err == cases[i].want, "case %u: %d", i, err);
	}
	/* A file that is too short for a header, or empty. */
	struct store_file *file;
	ck_assert_int_eq(s->ops->open(s, "journal", STORE_RDWR, &file), 0);
	ck_assert_int_eq(s->ops->truncate(s, file, 100), 0);
	ck_assert_int_eq(scan(s, &f, NULL, NULL), -EUCLEAN);
	ck_assert_int_eq(s->ops->truncate(s, file, 0), 0);
	ck_assert_int_eq(scan(s, &f, NULL, NULL), -EUCLEAN);
	s->ops->close(s, file);
	ck_assert_int_eq(s->ops->unlink(s, "journal"), 0);
	ck_assert_int_eq(scan(s, &f, NULL, NULL), -ENOENT);
	s->ops->free(s);
}
END_TEST

static void put32(uint8_t *p, uint32_t v)
{
	le32 x = le32_of(v);
	memcpy(p, &x, 4);
}

static void put64(uint8_t *p, uint64_t v)
{
	le64 x = le64_of(v);
	memcpy(p, &x, 8);
}

/* Records with a right checksum, wherever one can be computed, and nonsense in them. */
START_TEST(test_hostile_records)
{
	struct store *s = new_store();
	struct journal *j;
	struct found f = { 0 };
	static uint8_t good[2 * CL_PAGE], bad[2 * CL_PAGE];
	bool broken;

	ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
	ck_assert_int_eq(append(j, 1, 1), 0);
	journal_close(j);
	file_io(s, good, sizeof good, RING * CL_PAGE, false);
	/* Head: 64 bytes; the block at 64; the operation at 80. */
	for (unsigned i = 0; i < 20; i++) {
		int want = -EUCLEAN;
		memcpy(bad, good, sizeof bad);
		switch (i) {
		case 0: put32(bad + 32, 1); want = 0; break;               /* pages */
		case 1: put32(bad + 32, UINT32_MAX); want = 0; break;
		case 2: put32(bad + 36, 0); want = 0; break;               /* pages of the head */
		case 3: put32(bad + 40, UINT32_MAX); want = 0; break;      /* blocks */
		case 4: put32(bad + 44, UINT32_MAX); want = 0; break;      /* operations */
		case 5:
			put32(bad + 40, 0x10000000);
			put32(bad + 36, 0x100000);
			put32(bad + 32, 0x10100000);
			want = 0;
			break;
		case 6: put64(bad + 64, (uint64_t)1 << 63); break;         /* object */
		case 7: put64(bad + 72, (uint64_t)1 << 47); break;         /* page */
		case 8: put32(bad + 80, 0); break;                         /* code */
		case 9: put32(bad + 80, 4); break;
		case 10: put64(bad + 88, 0); break;                        /* object of an operation */
		case 11: put64(bad + 88, 3); break;
		case 12: put64(bad + 88, UINT64_MAX); break;
		case 13: put64(bad + 96, UINT64_MAX); break;               /* a, b */
		case 14: put64(bad + 104, (uint64_t)1 << 47); break;
		case 15: put32(bad + 84, 1); break;                        /* reserved */
		case 16: bad[CL_PAGE - 1] = 1; break;                      /* behind the lists */
		case 17: put64(bad + 64, 0); put64(bad + 72, 1); break;    /* the root has one page */
		case 18: put64(bad + 64, 4); break;                        /* reserved objects */
		default: put64(bad + 88, 15); break;
		}
		XXH128_canonical_t c;
		memset(bad + 48, 0, 16);
		XXH128_canonicalFromHash(&c, XXH3_128bits(bad, sizeof bad));
		memcpy(bad + 48, c.digest, 16);
		file_io(s, bad, sizeof bad, RING * CL_PAGE, true);
		bool none = true;
		struct journal *k;
		ck_assert_int_eq(journal_open(s, id, false, &k), 0);
		int err = journal_scan(k, NULL, NULL, &broken);
		none = journal_next(k) == 7;
		journal_close(k);
		ck_assert_msg(err == want && none, "case %u: %d", i, err);
	}
	/* Any byte at all, no checksum: never taken. */
	for (unsigned off = 0; off < sizeof good; off++) {
		uint8_t byte = good[off] ^ 0x80;
		memcpy(bad, good, sizeof bad);
		bad[off] = byte;
		file_io(s, bad, sizeof bad, RING * CL_PAGE, true);
		ck_assert_int_eq(scan(s, &f, &broken, NULL), 0);
		ck_assert_uint_eq(f.n, 0);
	}
	s->ops->free(s);
}
END_TEST

START_TEST(test_settle)
{
	struct store *s = new_store();
	struct journal *j;
	struct found f = { 0 };
	bool broken;

	ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
	for (unsigned i = 0; i < 9; i++) {
		ck_assert_int_eq(append(j, 5, 3), 0);
		if (i == 5)
			ck_assert_int_eq(journal_advance(j, 11), 0); /* so that the rest goes around the end */
	}
	ck_assert_int_eq(append(j, 20, 3), 0);
	journal_close(j);
	ck_assert_int_eq(scan(s, &f, NULL, &j), 0);
	ck_assert_uint_eq(f.n, 5);
	ck_assert_int_eq(journal_settle(j), 0);
	ck_assert_uint_eq(journal_next(j), 12);
	f = (struct found){ 0 };
	ck_assert_int_eq(journal_scan(j, on_record, &f, &broken), 0);
	ck_assert_uint_eq(f.n, 5);
	ck_assert(!broken);
	ck_assert_int_eq(append(j, 1, 1), 0);
	ck_assert_int_eq(journal_advance(j, 17), 0);
	ck_assert_uint_eq(journal_free(j), PAGES);
	journal_close(j);
	s->ops->free(s);
}
END_TEST

/* Who writes while another one follows: called before each read of the follower. */
struct beside {
	struct journal *j;
	uint32_t random;
	unsigned often; /* of 100 */
};

static uint32_t any(struct beside *b, uint32_t n)
{
	b->random = b->random * 1664525u + 1013904223u;
	return (b->random >> 8) % n;
}

static void write_beside(void *arg)
{
	struct beside *b = arg;

	if (any(b, 100) >= b->often)
		return;
	for (uint32_t n = any(b, 14); n--;) {
		uint64_t next = journal_next(b->j);
		int err = append(b->j, any(b, 20), any(b, 4));
		ck_assert(err == 0 || err == -ENOSPC);
		if (err || any(b, 9) == 0)
			ck_assert_int_eq(journal_advance(b->j, next - 1 - any(b, err ? 1 : 3)), 0);
	}
}

/* Gaps are where the tail has overtaken the follower. */
static int on_followed(void *arg, const struct journal_record *r)
{
	struct found *f = arg;

	ck_assert_uint_gt(r->seq, f->last);
	if (r->seq != f->last + 1)
		f->n = 0;
	return on_record(f, r);
}

START_TEST(test_follow)
{
	struct store *s = new_store();
	struct found f = { 0 };
	struct beside b = { .random = 1 };
	struct store *hooked = hook_store_new(s, write_beside, &b);
	unsigned gaps = 0, many = 0;
	struct journal *j;
	uint64_t tail;

	ck_assert_ptr_nonnull(hooked);
	ck_assert_int_eq(scan(s, &f, NULL, &b.j), 0);
	ck_assert_int_eq(append(b.j, 3, 1), 0);
	ck_assert_int_eq(append(b.j, 5, 1), 0);
	ck_assert_int_eq(journal_open(hooked, id, true, &j), 0);
	f = (struct found){ .last = 6 };
	ck_assert_int_eq(journal_follow(j, on_followed, &f, &tail), 0);
	ck_assert_uint_eq(f.n, 2);
	ck_assert_uint_eq(tail, 7);
	/* Nothing new, but a tail. */
	ck_assert_int_eq(journal_advance(b.j, 7), 0);
	ck_assert_int_eq(journal_follow(j, on_followed, &f, &tail), 0);
	ck_assert_uint_eq(f.n, 2);
	ck_assert_uint_eq(tail, 8);
	for (unsigned round = 0; round < 800; round++) {
		uint64_t before = journal_next(b.j), last = f.last;
		b.often = round % 4 * 12;
		int err = -EAGAIN;
		for (unsigned tries = 0; err == -EAGAIN && tries < 1000; tries++)
			err = journal_follow(j, on_followed, &f, &tail);
		ck_assert_int_eq(err, 0);
		/* What was committed before is known now. */
		ck_assert_uint_ge(journal_next(j), before);
		ck_assert_uint_le(journal_next(j), journal_next(b.j));
		ck_assert_uint_le(tail, journal_next(j));
		ck_assert(f.last + 1 == journal_next(j) || tail == journal_next(j));
		gaps += f.n && f.n < f.last - last;
		many += f.n > 3;
	}
	ck_assert_uint_gt(gaps, 20);
	ck_assert_uint_gt(many, 20);
	journal_close(j);
	journal_close(b.j);
	hooked->ops->free(hooked);
	s->ops->free(s);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { test_append_scan, test_advance, test_wrap, test_torn, test_broken, test_headers,
				       test_hostile_headers, test_hostile_records, test_settle, test_follow };

	return engine_run("journal", tests, CL_ARRAY_LEN(tests));
}
