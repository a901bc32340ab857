/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: the journal, of which nothing is authenticated. Input: how[1], next transaction[8] (0: as it was),
 * then commands that change the file: headers and records with their checksums made right, raw bytes, its length.
 * Then it is opened and scanned; with bit 0 of how as the engine does it, with all that is in the records replayed.
 */
#include "tests/fuzz/disk.h"
#include "tests/fuzz/fuzz.h"

#include "fs/journal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { RING = 64, PAGES = RING + 2, EXTRA = 4, RECORDS_MAX = 256 };
enum { CMD_HEADER, CMD_RECORD, CMD_RAW, CMD_LENGTH, CMD_MOVE, CMD_N };

struct file {
	uint8_t id[16];
	uint64_t seq;
	size_t len;
	uint8_t p[(PAGES + EXTRA) * CL_PAGE];
};

static void check_of(const void *p, size_t n, uint8_t *out)
{
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, XXH3_128bits(p, n));
	memcpy(out, c.digest, 16);
}

/* copy[1] offset[1] length[1] bytes: a header with something else in it, and the right checksum. */
static void cmd_header(struct file *f, struct fuzz_in *in)
{
	uint8_t *h = f->p + (fuzz_u8(in) & 1) * CL_PAGE;
	size_t off = fuzz_u8(in) % 64, n = fuzz_u8(in);

	fuzz_place(in, n, h + off, 64 - off);
	check_of(h, 64, h + 64);
}

static void put64(uint8_t *p, uint64_t v)
{
	le64 b = le64_of(v);

	memcpy(p, &b, sizeof b);
}

static void put32(uint8_t *p, uint64_t v)
{
	le32 b = le32_of((uint32_t)v);

	memcpy(p, &b, sizeof b);
}

/*
 * place[1] transaction[1] (as much more than the next one) blocks[1] operations[1] odd[1], then for each block
 * object[1] page[2], for each operation code[1] object[1] a[2] b[2]. odd: which of its fields is wrong.
 */
static void cmd_record(struct file *f, struct fuzz_in *in)
{
	uint8_t at = fuzz_u8(in) % RING, more = fuzz_u8(in), blocks = fuzz_u8(in) % 8, ops = fuzz_u8(in) % 8,
		odd = fuzz_u8(in);
	uint8_t *r = calloc(1 + blocks, CL_PAGE), *p;

	FUZZ_CHECK(r, "out of memory");
	memcpy(r, "CLOISONT", 8);
	put64(r + 8, f->seq + more);
	memcpy(r + 16, f->id, 16);
	put32(r + 32, 1u + blocks + (odd == 1));
	put32(r + 36, 1u + (odd == 2));
	put32(r + 40, blocks);
	put32(r + 44, ops);
	p = r + 64;
	for (unsigned i = 0; i < blocks; i++, p += 16) {
		uint64_t object = fuzz_u8(in), page = fuzz_u16(in);
		put64(p, object == 255 ? UINT64_MAX >> (odd & 3) : object);
		put64(p + 8, page == 65535 ? (uint64_t)1 << 47 >> (odd & 3) : page);
	}
	for (unsigned i = 0; i < ops; i++, p += 32) {
		put32(p, fuzz_u8(in));
		put64(p + 8, fuzz_u8(in));
		put64(p + 16, (uint64_t)fuzz_u16(in) << (odd & 31));
		put64(p + 24, fuzz_u16(in));
	}
	if (odd == 3)
		p[0] = 1;
	for (unsigned i = 0; i < blocks; i++)
		memset(r + (i + 1) * CL_PAGE, 0x10 + (int)i, CL_PAGE);
	check_of(r, (1 + (size_t)blocks) * CL_PAGE, r + 48);
	for (unsigned i = 0; i < 1u + blocks; i++)
		memcpy(f->p + (2 + (at + i) % RING) * CL_PAGE, r + i * CL_PAGE, CL_PAGE);
	free(r);
}

static void command(struct file *f, struct fuzz_in *in)
{
	size_t off, n;

	switch (fuzz_u8(in) % CMD_N) {
	case CMD_HEADER:
		cmd_header(f, in);
		break;
	case CMD_RECORD:
		cmd_record(f, in);
		break;
	case CMD_RAW:
		off = fuzz_u8(in) % PAGES * CL_PAGE;
		off += fuzz_u16(in) % CL_PAGE;
		n = fuzz_u8(in);
		fuzz_place(in, n, f->p + off, sizeof f->p - off);
		break;
	case CMD_LENGTH:
		n = fuzz_u8(in) * CL_PAGE;
		n += fuzz_u16(in) % CL_PAGE;
		f->len = CL_MIN(n, sizeof f->p);
		break;
	case CMD_MOVE: /* one page over another */
		off = fuzz_u8(in) % PAGES;
		n = fuzz_u8(in) % PAGES;
		memmove(f->p + off * CL_PAGE, f->p + n * CL_PAGE, CL_PAGE);
		break;
	}
}

struct seen {
	size_t n;
	uint64_t seq[RECORDS_MAX];
	uint32_t blocks[RECORDS_MAX], ops[RECORDS_MAX];
};

/* What is promised of a record, whatever the file has. */
static int on_record(void *arg, const struct journal_record *r)
{
	struct seen *s = arg;
	volatile uint8_t sum = 0;

	FUZZ_CHECK(s->n < RECORDS_MAX, "too many records");
	FUZZ_CHECK(!s->n || r->seq == s->seq[s->n - 1] + 1, "transactions do not follow each other");
	for (uint32_t i = 0; i < r->n_blocks; i++) {
		const struct journal_block *b = &r->blocks[i];
		FUZZ_CHECK(b->object < (uint64_t)1 << 63 && b->page < (uint64_t)1 << 47, "block out of range");
		FUZZ_CHECK(b->object <= 3 || b->object >= 16, "reserved object");
		sum = (uint8_t)(sum + b->data[0] + b->data[CL_PAGE - 1]);
	}
	for (uint32_t i = 0; i < r->n_ops; i++)
		FUZZ_CHECK(r->ops[i].code >= JOURNAL_REMOVE && r->ops[i].code <= JOURNAL_PUNCH &&
				   r->ops[i].object >= 16,
			   "operation");
	s->seq[s->n] = r->seq;
	s->blocks[s->n] = r->n_blocks;
	s->ops[s->n++] = r->n_ops;
	return 0;
}

static bool same(const struct seen *a, const struct seen *b, size_t n)
{
	return a->n >= n && b->n >= n && !memcmp(a->seq, b->seq, n * sizeof *a->seq) &&
	       !memcmp(a->blocks, b->blocks, n * sizeof *a->blocks) && !memcmp(a->ops, b->ops, n * sizeof *a->ops);
}

static int scan(struct store *s, const uint8_t *id, bool read_only, struct seen *ret, bool *ret_broken,
		struct journal **ret_j)
{
	struct journal *j;
	int err = journal_open(s, id, read_only, &j);

	FUZZ_ERROR(err, -EUCLEAN, -EPROTONOSUPPORT, -ENOENT);
	if (err)
		return err;
	ret->n = 0;
	err = journal_scan(j, on_record, ret, ret_broken);
	FUZZ_ERROR(err, -EUCLEAN);
	FUZZ_CHECK(err || journal_free(j) <= journal_size(j), "more free than there is");
	if (err)
		journal_close(j);
	else
		*ret_j = j;
	return err;
}

/* No header generation is left: whoever wrote this journal was no engine. */
static bool is_used_up(const struct file *f)
{
	return !memcmp(f->p + 56, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8) ||
	       !memcmp(f->p + CL_PAGE + 56, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8);
}

/* A sound journal goes on: what is appended is there again, with all that was there before. */
static void go_on(struct store *s, const uint8_t *id, struct journal *j, const struct seen *was)
{
	static uint8_t page[CL_PAGE];
	const struct journal_block blocks[2] = { { 0, 0, page }, { 20, 7, page } };
	const struct journal_op op = { JOURNAL_CUT, 20, 3, 0 };
	static struct seen now;
	bool broken;

	FUZZ_OK(journal_settle(j));
	now.n = 0;
	FUZZ_OK(journal_scan(j, on_record, &now, &broken));
	FUZZ_CHECK(!broken && now.n == was->n && same(&now, was, now.n), "another scan finds something else");
	uint64_t next = journal_next(j);
	int err = journal_append(j, next, blocks, 2, &op, 1);
	FUZZ_ERROR(err, -ENOSPC);
	journal_close(j);
	if (err || next > INT64_MAX)
		return;
	FUZZ_OK(scan(s, id, false, &now, &broken, &j));
	FUZZ_CHECK(!broken && now.n == was->n + 1 && same(&now, was, was->n) && now.seq[was->n] == next,
		   "what was appended is lost");
	FUZZ_OK(journal_advance(j, next));
	journal_close(j);
	if (next == INT64_MAX)
		return; /* no number is left: whoever wrote this journal was no engine */
	FUZZ_OK(scan(s, id, true, &now, &broken, &j));
	FUZZ_CHECK(now.n == 0 && journal_next(j) == next + 1, "the tail did not move");
	journal_close(j);
}

static void by_itself(struct store *s, const struct file *f)
{
	const uint8_t *id = f->id;
	static struct seen first, second;
	struct journal *j;
	bool broken = false, again = false;
	unsigned good = 0;

	for (unsigned copy = 0; copy < 2; copy++) {
		int err = journal_check_header(s, id, copy);
		FUZZ_ERROR(err, -EUCLEAN, -EPROTONOSUPPORT);
		good += !err;
	}
	int err = scan(s, id, true, &first, &broken, &j);
	FUZZ_CHECK(!err || !good || err == -EUCLEAN, "a good header, but %d", err);
	if (!err)
		journal_close(j);
	int err2 = scan(s, id, false, &second, &again, &j);
	FUZZ_CHECK(err == err2, "read-only %d, else %d", err, err2);
	if (err)
		return;
	FUZZ_CHECK(broken == again && first.n == second.n && same(&first, &second, first.n),
		   "read-only finds something else");
	if (broken || is_used_up(f))
		journal_close(j);
	else
		go_on(s, id, j, &first);
}

/* The whole compartment: any outcome but a crash, and what can be read is what was written. */
static void in_place(struct disk *d, bool writable)
{
	struct fs_check check = { .replay = writable };
	struct fault f = { 0 };
	struct comp *c;

	int err = fs_check(d->store, d->c, DISK_LABELS, &d->cfg, &(struct fs_check){ 0 }, &f);
	FUZZ_CHECK(!err, "check: %d %s", err, f.text);
	f = (struct fault){ 0 };
	d->cfg.read_only = !writable;
	err = comp_open(d->store, &d->c[0], writable, &d->cfg, &c, &f);
	FUZZ_ERROR(err, -EBADMSG, -EUCLEAN, -EPROTONOSUPPORT, -EFBIG);
	if (err) {
		fuzz_check_fault(&f, err);
	} else {
		for (uint64_t ino = 1; ino <= DISK_INODES; ino++) {
			struct inode *i;
			err = inode_get(c, ino, &i);
			FUZZ_ERROR(err, -EBADMSG, -EUCLEAN, -ENOENT);
			if (!err)
				inode_put(i);
		}
		comp_free(c);
	}
	d->cfg.read_only = false;
	FUZZ_OK(fs_check(d->store, d->c, DISK_LABELS, &d->cfg, &check, &f));
}

static void run(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	struct file *f = calloc(1, sizeof *f);
	uint8_t how = fuzz_u8(&in);
	uint64_t seq = fuzz_u64(&in);
	struct disk d;
	le64 was;
	size_t n;

	FUZZ_CHECK(f, "out of memory");
	disk_new(&d);
	struct store *s = disk_folder(&d, 0);
	uint8_t *old = disk_read(s, "journal", &n);
	FUZZ_CHECK(old && n == PAGES * CL_PAGE, "no journal");
	/* The headers as they are; in the ring what this input says, nothing else. */
	memcpy(f->p, old, 2 * CL_PAGE);
	free(old);
	memcpy(&was, f->p + 48, sizeof was);
	f->seq = seq ? seq : le64_get(was);
	memcpy(f->id, d.c[0].id, sizeof f->id);
	f->len = PAGES * CL_PAGE;
	for (unsigned copy = 0; copy < 2; copy++) {
		put64(f->p + copy * CL_PAGE + 40, 0);
		put64(f->p + copy * CL_PAGE + 48, f->seq);
		check_of(f->p + copy * CL_PAGE, 64, f->p + copy * CL_PAGE + 64);
	}
	while (in.n)
		command(f, &in);
	disk_write(s, "journal", f->p, f->len);
	if (how & 1)
		in_place(&d, how & 2);
	else
		by_itself(s, f);
	s->ops->free(s);
	free(f);
	disk_free(&d);
}

static void begin(struct fuzz_out *o, uint8_t how, uint64_t seq)
{
	o->n = 0;
	fuzz_put_u8(o, how);
	fuzz_put_u64(o, seq);
}

/* A record of one block and, with remove, an operation on an object. */
static void record(struct fuzz_out *o, uint8_t at, uint8_t more, uint8_t odd, uint8_t object, uint8_t remove)
{
	const uint8_t head[] = { CMD_RECORD, at, more, 1, remove != 0, odd, object, 0, 0 };

	fuzz_put_bytes(o, head, sizeof head);
	if (remove)
		fuzz_put_bytes(o, (const uint8_t[]){ 1, remove, 0, 0, 0, 0 }, 6);
}

static void seeds(fuzz_put_fn *put, void *arg)
{
	static const struct {
		const char *name;
		uint8_t off, byte;
	} headers[] = {
		{ "magic", 0, 'X' }, { "version", 8, 2 },       { "zero", 12, 1 },  { "id", 16, 1 },
		{ "pages", 32, 1 },  { "pages-much", 35, 1 },   { "tail", 40, 63 }, { "tail-behind", 40, 64 },
		{ "seq", 48, 0 },    { "generation", 56, 200 },
	};
	struct fuzz_out o;

	for (unsigned k = 0; k < CL_ARRAY_LEN(headers); k++) {
		begin(&o, (uint8_t)(k % 4), 0);
		fuzz_put_bytes(&o,
			       (const uint8_t[]){ CMD_HEADER, (uint8_t)(k % 2), headers[k].off, 1, headers[k].byte },
			       5);
		record(&o, 0, 0, 0, 20, 0);
		put(arg, headers[k].name, o.p, o.n);
	}
	for (uint8_t how = 0; how < 4; how++) {
		static const char *const names[] = { "records", "records-in-place", "records-2", "records-replay" };
		begin(&o, how, how == 2 ? INT64_MAX - 1 : 0);
		record(&o, 0, 0, 0, 0, 0);
		record(&o, 2, 1, 0, 20, 17);
		record(&o, 4, 2, 0, 1, 0);
		put(arg, names[how], o.p, o.n);
	}
	begin(&o, 0, 5);
	record(&o, 0, 0, 0, 20, 0);
	record(&o, 4, 2, 0, 20, 0);
	put(arg, "hole", o.p, o.n);
	for (uint8_t odd = 1; odd <= 4; odd++) {
		static const char *const names[] = { "pages-wrong", "head-wrong", "rest-not-zero", "far" };
		begin(&o, odd & 3, 0);
		record(&o, 0, 0, odd, odd == 4 ? 255 : 20, 99);
		put(arg, names[odd - 1], o.p, o.n);
	}
	begin(&o, 2, 0);
	record(&o, 0, 0, 0, 5, 0);
	put(arg, "reserved-object", o.p, o.n);
	begin(&o, 0, 0);
	record(&o, 63, 0, 0, 20, 0);
	fuzz_put_bytes(&o, (const uint8_t[]){ CMD_HEADER, 0, 40, 1, 63, CMD_HEADER, 1, 40, 1, 63 }, 10);
	put(arg, "around-the-end", o.p, o.n);
	begin(&o, 2, 0);
	record(&o, 0, 0, 0, 20, 0);
	fuzz_put_bytes(&o, (const uint8_t[]){ CMD_LENGTH, 3, 10, 0 }, 4);
	put(arg, "short", o.p, o.n);
	begin(&o, 0, 0);
	record(&o, 0, 0, 0, 20, 0);
	fuzz_put_bytes(&o, (const uint8_t[]){ CMD_RAW, 3, 7, 0, 1, 0xff }, 6);
	put(arg, "torn", o.p, o.n);
	begin(&o, 0, 0);
	fuzz_put_bytes(&o, (const uint8_t[]){ CMD_MOVE, 1, 0 }, 3);
	put(arg, "headers-equal", o.p, o.n);
}

const struct fuzz_target fuzz_journal = { "journal", 4096, run, seeds };
