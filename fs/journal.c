/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Redo log: headers, records, the ring. */
#include "fs/journal.h"

#include "common/bytes.h"
#include "common/list.h"
#include "common/log.h"
#include "fs/rule.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define RING 2u            /* first page of the ring in the file */
#define CHUNK_PAGES 64u    /* pages written at a time when the file is made */
#define HEADER_LEN 512u
#define BROKEN_TRIES 64u   /* records behind the end that are looked at for a hole in the log */
#define FOLLOW_ROUNDS 8u   /* each may bring a ring full of pages */
#define HEADER_TRIES 5

struct disk_header {
	char magic[8];
	le32 version;
	le32 zero;
	uint8_t id[16];
	le64 pages;
	le64 tail;
	le64 seq;
	le64 generation;
	uint8_t check[16];
};
static_assert(offsetof(struct disk_header, check) == 64, "journal header");

struct disk_record {
	char magic[8];
	le64 seq;
	uint8_t id[16];
	le32 pages;
	le32 head_pages;
	le32 n_blocks;
	le32 n_ops;
	uint8_t check[16];
};
static_assert(sizeof(struct disk_record) == 64, "journal record");

struct disk_block {
	le64 object, page;
};

struct disk_op {
	le32 code, zero;
	le64 object, a, b;
};
static_assert(sizeof(struct disk_op) == 32, "journal operation");

/* Where a record of the running log ends, so that the tail can be moved to it. */
struct mark {
	struct list in;
	uint64_t seq, end;
};

struct journal {
	struct store *store;
	struct store_file *file;
	struct store_file *direct; /* the same file, past the page cache where that is possible, for records: only recovery reads them */
	bool cached;              /* it is not possible */
	uint8_t id[16];
	uint64_t pages;
	uint64_t tail, head;      /* positions that only rise; ring page = position mod pages */
	atomic_uint_fast64_t free; /* pages, for the getters */
	uint64_t seq;             /* of the next record */
	uint64_t tail_seq;
	uint64_t generation;
	bool second_unsynced;     /* the header's second copy was written, and nothing was synced since */
	int behind;               /* as found: which copy of the header is not the newest; -1: both are */
	struct list marks;
};

static void check_of(const void *p, size_t n, uint8_t out[static 16])
{
	XXH128_canonical_t c;
	XXH128_canonicalFromHash(&c, XXH3_128bits(p, n));
	memcpy(out, c.digest, 16);
}

static void encode_header(const struct journal *j, uint8_t out[static CL_PAGE])
{
	struct disk_header h = {
		.magic = { 'C', 'L', 'O', 'I', 'S', 'O', 'N', 'J' },
		.version = le32_of(1),
		.pages = le64_of(j->pages),
		.tail = le64_of(j->tail % j->pages),
		.seq = le64_of(j->tail_seq),
		.generation = le64_of(j->generation),
	};

	memcpy(h.id, j->id, 16);
	check_of(&h, offsetof(struct disk_header, check), h.check);
	memset(out, 0, CL_PAGE);
	memcpy(out, &h, sizeof h);
}

/*
 * The first copy is written and synced, then the second. A power cut may tear what is on its way to the disk: so never both, and the
 * one that is not being written is durable. The second one's sync is that of the next record.
 */
static int write_headers(struct journal *j)
{
	uint8_t page[CL_PAGE];
	int err = 0;

	encode_header(j, page);
	if (j->second_unsynced && RULE(RULE_SYNC_HEADER))
		err = j->store->ops->sync(j->store, j->file);
	if (!err)
		err = j->store->ops->pwrite(j->store, j->file, page, HEADER_LEN, 0);
	if (!err && RULE(RULE_SYNC_HEADER))
		err = j->store->ops->sync(j->store, j->file);
	if (!err)
		err = j->store->ops->pwrite(j->store, j->file, page, HEADER_LEN, CL_PAGE);
	j->second_unsynced = true;
	return err;
}

int journal_format(struct store *s, const uint8_t id[static 16], uint32_t pages, uint64_t seq)
{
	struct journal j = { .store = s, .pages = pages, .seq = seq, .tail_seq = seq, .generation = 1 };

	memcpy(j.id, id, 16);
	int err = s->ops->open(s, "journal", STORE_CREATE | STORE_EXCL | STORE_IN_PLACE, &j.file);
	if (err)
		return err;
	uint8_t *zero = calloc(CHUNK_PAGES, CL_PAGE);
	if (!zero)
		err = -ENOMEM;
	/* Written, not only reserved: a later fdatasync then has no block to allocate or to convert. */
	for (uint32_t p = 0; !err && p < pages + RING; p += CHUNK_PAGES)
		err = s->ops->pwrite(s, j.file, zero, (size_t)CL_MIN(CHUNK_PAGES, pages + RING - p) * CL_PAGE,
				     (uint64_t)p * CL_PAGE);
	free(zero);
	if (!err)
		err = write_headers(&j);
	if (!err)
		err = s->ops->sync(s, j.file);
	s->ops->close(s, j.file);
	return err;
}

/* Of a whole page. 0, -EUCLEAN or -EPROTONOSUPPORT. */
static int decode_header(const struct journal *j, const uint8_t *page, struct disk_header *ret)
{
	uint8_t check[16];

	memcpy(ret, page, sizeof *ret);
	check_of(ret, offsetof(struct disk_header, check), check);
	if (memcmp(ret->magic, "CLOISONJ", 8) || memcmp(check, ret->check, 16) || memcmp(ret->id, j->id, 16))
		return -EUCLEAN;
	if (le32_get(ret->version) != 1)
		return -EPROTONOSUPPORT;
	uint64_t pages = le64_get(ret->pages);
	if (!bytes_are_zero(page + sizeof *ret, CL_PAGE - sizeof *ret))
		return -EUCLEAN;
	if (le32_get(ret->zero) || pages < JOURNAL_PAGES_MIN || pages > JOURNAL_PAGES_MAX || le64_get(ret->tail) >= pages || le64_get(ret->seq) == 0)
		return -EUCLEAN;
	/* Numbers that only rise must not come round. */
	if (le64_get(ret->seq) >> 63 || le64_get(ret->generation) >> 63)
		return -EUCLEAN;
	return 0;
}

/* A journal that was cut short (by a copy, say) gets its reserved space back. */
static int make_whole(struct journal *j)
{
	uint64_t size, want = (j->pages + RING) * CL_PAGE;
	int err = j->store->ops->size(j->store, j->file, &size);

	if (err || size >= want)
		return err;
	log_warn("the journal was cut to %llu bytes; it is made whole again", (unsigned long long)size);
	uint8_t *zero = calloc(CHUNK_PAGES, CL_PAGE);
	if (!zero)
		return -ENOMEM;
	for (uint64_t at = size; at < want && !err;) {
		size_t n = (size_t)CL_MIN(want - at, (uint64_t)CHUNK_PAGES * CL_PAGE);
		err = j->store->ops->pwrite(j->store, j->file, zero, n, at);
		at += n;
	}
	free(zero);
	return err ? err : j->store->ops->sync(j->store, j->file);
}

/* What the newest copy of the header says. */
struct header {
	uint64_t pages, tail, seq, generation;
	int behind, damaged; /* as in struct journal; a copy that is malformed, or -1 */
};

/* -EUCLEAN: neither copy is good; -EPROTONOSUPPORT. */
static int read_headers(struct journal *j, struct header *ret)
{
	uint8_t page[CL_PAGE];
	int best = -EUCLEAN, unread = 0;

	*ret = (struct header){ .behind = -1, .damaged = -1 };
	for (unsigned i = 0; i < RING; i++) {
		struct disk_header h;
		size_t got;
		memset(page, 0, sizeof page);
		int err = j->store->ops->pread(j->store, j->file, page, CL_PAGE, (uint64_t)i * CL_PAGE, &got);
		unread = unread ? unread : err;
		if (!err && got < HEADER_LEN)
			err = -EUCLEAN;
		if (!err)
			err = decode_header(j, page, &h);
		if (err == -EPROTONOSUPPORT && best)
			best = err;
		if (err == -EUCLEAN)
			ret->damaged = (int)i;
		if (err || le64_get(h.generation) <= ret->generation) {
			if (err || le64_get(h.generation) < ret->generation)
				ret->behind = (int)i;
			continue;
		}
		ret->behind = best ? ret->behind : 0; /* the first one was good, but older */
		best = 0;
		ret->generation = le64_get(h.generation);
		ret->pages = le64_get(h.pages);
		ret->tail = le64_get(h.tail);
		ret->seq = le64_get(h.seq);
	}
	/* What cannot be read is not malformed. */
	return best == -EUCLEAN && unread ? unread : best;
}

static void take_header(struct journal *j, const struct header *h)
{
	j->generation = h->generation;
	j->pages = h->pages;
	j->tail = h->tail;
	j->tail_seq = h->seq;
	j->behind = h->behind;
}

int journal_open(struct store *s, const uint8_t id[static 16], bool read_only, struct journal **ret)
{
	struct journal *j = calloc(1, sizeof *j);
	struct header h;
	int err;

	if (!j)
		return -ENOMEM;
	list_init(&j->marks);
	j->second_unsynced = true; /* who knows */
	j->store = s;
	memcpy(j->id, id, 16);
	err = s->ops->open(s, "journal", read_only ? STORE_RDONLY : STORE_RDWR, &j->file);
	if (err)
		goto fail;
	err = read_headers(j, &h);
	if (err)
		goto fail;
	take_header(j, &h);
	j->head = j->tail;
	j->seq = j->tail_seq;
	if (!read_only) {
		err = make_whole(j);
		if (!err)
			err = s->ops->open(s, "journal", STORE_RDWR | STORE_DIRECT, &j->direct);
		if (err == -EINVAL) {
			j->cached = true;
			err = s->ops->open(s, "journal", STORE_RDWR, &j->direct);
		}
		if (err)
			goto fail;
	}
	if (h.damaged >= 0)
		log_warn("the journal's %s header is damaged; the other copy is used", h.damaged ? "second" : "first");
	atomic_store(&j->free, j->pages);
	*ret = j;
	return 0;
fail:
	journal_close(j);
	return err;
}

int journal_check_header(struct store *s, const uint8_t id[static 16], unsigned copy)
{
	struct journal j = { .store = s };
	uint8_t page[CL_PAGE] = { 0 };
	struct disk_header h;
	size_t got = 0;
	int err = s->ops->open(s, "journal", STORE_RDONLY, &j.file);

	if (err)
		return err;
	memcpy(j.id, id, 16);
	err = s->ops->pread(s, j.file, page, CL_PAGE, (uint64_t)copy * CL_PAGE, &got);
	s->ops->close(s, j.file);
	if (!err && got < HEADER_LEN)
		err = -EUCLEAN;
	return err ? err : decode_header(&j, page, &h);
}

static void forget_marks(struct journal *j)
{
	while (!list_empty(&j->marks)) {
		struct mark *m = list_item(j->marks.next, struct mark, in);
		list_del(&m->in);
		free(m);
	}
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	forget_marks(j);
	if (j->file)
		j->store->ops->close(j->store, j->file);
	if (j->direct)
		j->store->ops->close(j->store, j->direct);
	free(j);
}

/* Reads n ring pages from position pos into an aligned buffer. What the file does not have reads as zeros. */
static int read_ring(struct journal *j, uint64_t pos, void *out, uint64_t n)
{
	struct store_file *f = j->direct ? j->direct : j->file;
	uint8_t *o = out;

	while (n) {
		uint64_t at = pos % j->pages;
		uint64_t run = CL_MIN(n, j->pages - at);
		size_t got;
		int err = j->store->ops->pread(j->store, f, o, run * CL_PAGE, (RING + at) * CL_PAGE, &got);
		if (err)
			return err;
		memset(o + got, 0, run * CL_PAGE - got);
		o += run * CL_PAGE;
		pos += run;
		n -= run;
	}
	return 0;
}

static uint64_t head_pages(uint64_t n_blocks, uint64_t n_ops)
{
	return (sizeof(struct disk_record) + n_blocks * sizeof(struct disk_block) + n_ops * sizeof(struct disk_op) +
		CL_PAGE - 1) / CL_PAGE;
}

uint32_t journal_record_pages(uint32_t n_blocks, uint32_t n_ops)
{
	return (uint32_t)(head_pages(n_blocks, n_ops) + n_blocks);
}

/* True iff the first page of a record at its place may be the record of transaction seq (0: of any). */
static bool plausible(const struct journal *j, const struct disk_record *r, uint64_t seq)
{
	uint64_t blocks = le32_get(r->n_blocks), ops = le32_get(r->n_ops);

	return !memcmp(r->magic, "CLOISONT", 8) && !memcmp(r->id, j->id, 16) && (!seq || le64_get(r->seq) == seq) &&
	       le32_get(r->head_pages) == head_pages(blocks, ops) && le32_get(r->pages) <= j->pages &&
	       le32_get(r->pages) == le32_get(r->head_pages) + blocks;
}

/* A whole record at pos into *ret_buf (malloc'ed). 0, 1 when there is none, or an error. */
static int read_record(struct journal *j, uint64_t pos, uint64_t seq, uint8_t **ret_buf)
{
	uint8_t first[CL_PAGE] __attribute__((aligned(CL_PAGE))), check[16];
	struct disk_record r;
	int err = read_ring(j, pos, first, 1);

	if (err)
		return err;
	memcpy(&r, first, sizeof r);
	if (!plausible(j, &r, seq))
		return 1;
	size_t n = (size_t)le32_get(r.pages) * CL_PAGE;
	uint8_t *buf = aligned_alloc(CL_PAGE, n);
	if (!buf)
		return -ENOMEM;
	err = read_ring(j, pos, buf, le32_get(r.pages));
	if (!err) {
		memset(buf + offsetof(struct disk_record, check), 0, 16);
		check_of(buf, n, check);
		if (memcmp(check, r.check, 16) && RULE(RULE_CHECKSUM))
			err = 1;
	}
	if (err) {
		free(buf);
		return err;
	}
	*ret_buf = buf;
	return 0;
}

static int give_record(const uint8_t *buf, int (*fn)(void *arg, const struct journal_record *r), void *arg)
{
	struct disk_record r;
	memcpy(&r, buf, sizeof r);
	uint32_t n_blocks = le32_get(r.n_blocks), n_ops = le32_get(r.n_ops);
	struct journal_block *blocks = calloc(n_blocks + 1, sizeof *blocks);
	struct journal_op *ops = calloc(n_ops + 1, sizeof *ops);
	int err = blocks && ops ? 0 : -ENOMEM;
	const uint8_t *p = buf + sizeof r;

	for (uint32_t i = 0; !err && i < n_blocks; i++, p += sizeof(struct disk_block)) {
		struct disk_block b;
		memcpy(&b, p, sizeof b);
		blocks[i] = (struct journal_block){ le64_get(b.object), le64_get(b.page),
						    buf + ((size_t)le32_get(r.head_pages) + i) * CL_PAGE };
		if (blocks[i].object >> 63 || blocks[i].page >> 47 || (blocks[i].object == 0 && blocks[i].page) ||
		    (blocks[i].object > 3 && blocks[i].object < 16))
			err = -EUCLEAN;
	}
	for (uint32_t i = 0; !err && i < n_ops; i++, p += sizeof(struct disk_op)) {
		struct disk_op o;
		memcpy(&o, p, sizeof o);
		ops[i] = (struct journal_op){ le32_get(o.code), le64_get(o.object), le64_get(o.a), le64_get(o.b) };
		if (ops[i].code < JOURNAL_REMOVE || ops[i].code > JOURNAL_PUNCH || le32_get(o.zero) || ops[i].object < 16 ||
		    ops[i].object >> 63 || ops[i].a >> 47 || ops[i].b >> 47)
			err = -EUCLEAN;
	}
	if (!err && !bytes_are_zero(p, (size_t)(buf + (size_t)le32_get(r.head_pages) * CL_PAGE - p)))
		err = -EUCLEAN;
	if (!err && fn)
		err = fn(arg, &(struct journal_record){ le64_get(r.seq), n_blocks, n_ops, blocks, ops });
	free(blocks);
	free(ops);
	return err;
}

static int add_mark(struct journal *j, uint64_t seq, uint64_t end)
{
	struct mark *m = malloc(sizeof *m);
	if (!m)
		return -ENOMEM;
	m->seq = seq;
	m->end = end;
	list_add_tail(&j->marks, &m->in);
	return 0;
}

/* Gives the records from the head on, which moves behind them. */
static int scan_on(struct journal *j, int (*fn)(void *arg, const struct journal_record *r), void *arg)
{
	uint8_t *buf = NULL;
	int err;

	for (;;) {
		if (j->head - j->tail >= j->pages)
			break;
		err = read_record(j, j->head, j->seq, &buf);
		if (err < 0)
			return err;
		if (err)
			break;
		struct disk_record r;
		memcpy(&r, buf, sizeof r);
		if (j->head + le32_get(r.pages) > j->tail + j->pages) {
			free(buf);
			break;
		}
		err = add_mark(j, j->seq, j->head + le32_get(r.pages));
		if (!err)
			err = give_record(buf, fn, arg);
		free(buf);
		if (err)
			return err;
		j->head += le32_get(r.pages);
		j->seq++;
	}
	atomic_store(&j->free, j->pages - (j->head - j->tail));
	return 0;
}

int journal_look_behind(struct journal *j, bool *ret_broken)
{
	uint8_t *buf = NULL;
	unsigned tries = 0;
	int err;

	/* A torn record can only be the last: anything valid and newer behind it means damage. Few candidates are read whole. */
	*ret_broken = false;
	for (uint64_t pos = j->head; pos < j->tail + j->pages; pos++) {
		struct disk_record r;
		uint8_t first[CL_PAGE] __attribute__((aligned(CL_PAGE)));
		err = read_ring(j, pos, first, 1);
		if (err)
			return err;
		memcpy(&r, first, sizeof r);
		if (!plausible(j, &r, 0) || le64_get(r.seq) <= j->seq || pos + le32_get(r.pages) > j->tail + j->pages ||
		    tries++ >= BROKEN_TRIES)
			continue;
		err = read_record(j, pos, 0, &buf);
		if (err < 0)
			return err;
		if (!err) {
			free(buf);
			*ret_broken = true;
			break;
		}
	}
	return 0;
}

int journal_scan(struct journal *j, int (*fn)(void *arg, const struct journal_record *r), void *arg, bool *ret_broken)
{
	*ret_broken = false;
	int err = scan_on(j, fn, arg);
	return err ? err : journal_look_behind(j, ret_broken);
}

/* The head in the ring that a newer header describes; where the tail has overtaken it, it goes on from the tail. */
static void move_tail(struct journal *j, const struct header *h)
{
	uint64_t head = j->head % j->pages;
	uint64_t used = h->seq == j->seq ? 0 : (head + j->pages - h->tail) % j->pages;

	if (h->seq < j->seq && used == 0)
		used = j->pages;
	if (h->seq > j->seq) {
		used = 0;
		j->seq = h->seq;
	}
	take_header(j, h);
	j->head = j->tail + used;
}

int journal_follow(struct journal *j, int (*fn)(void *arg, const struct journal_record *r), void *arg, uint64_t *ret_tail_seq)
{
	struct header before, after;
	int bad = 0;

	*ret_tail_seq = j->tail_seq;
	for (unsigned round = 0; round < FOLLOW_ROUNDS; round++) {
		/* The copies are written one after the other: who meets each of them while it is written looks again. */
		int err = read_headers(j, &before);
		if (!err && before.pages != j->pages)
			err = -EUCLEAN;
		if (err == -EUCLEAN && ++bad < HEADER_TRIES)
			continue;
		if (err)
			return err;
		move_tail(j, &before);
		*ret_tail_seq = j->tail_seq;
		err = scan_on(j, fn, arg);
		forget_marks(j);
		if (err)
			return err;
		/*
		 * The writer moves the tail before it writes over what was behind it. So if the header is still the same, the end
		 * that was found was the end of the log at some moment of the scan.
		 */
		if (!read_headers(j, &after) && after.generation == before.generation)
			return 0;
	}
	return -EAGAIN;
}

/* Writes the records once more where they stand. */
static int rewrite(struct journal *j)
{
	uint8_t *chunk = aligned_alloc(CL_PAGE, (size_t)CHUNK_PAGES * CL_PAGE);
	int err = chunk ? 0 : -ENOMEM;

	for (uint64_t pos = j->tail; pos < j->head && !err;) {
		uint64_t at = pos % j->pages;
		uint64_t run = CL_MIN(CL_MIN(j->head - pos, CHUNK_PAGES), j->pages - at);
		err = read_ring(j, pos, chunk, run);
		if (!err)
			err = j->store->ops->pwrite(j->store, j->file, chunk, run * CL_PAGE, (RING + at) * CL_PAGE);
		pos += run;
	}
	free(chunk);
	return err;
}

int journal_settle(struct journal *j)
{
	/*
	 * Read past the cache, they were on the disk or on their way, and a sync is enough. In a cache they may stand although a
	 * sync that failed has given them up: then they are written again. Only then, for a power cut may spoil what is
	 * being written, and these records count.
	 */
	int err = j->cached && RULE(RULE_SETTLE) ? rewrite(j) : 0;

	if (!err && RULE(RULE_SETTLE) && (j->head != j->tail || j->behind >= 0))
		err = j->store->ops->sync(j->store, j->file);
	/* A copy that is older must not be what counts when the other one is torn later: its tail is no longer true then. */
	if (!err && j->behind >= 0 && RULE(RULE_SETTLE)) {
		uint8_t page[CL_PAGE];
		encode_header(j, page);
		err = j->store->ops->pwrite(j->store, j->file, page, HEADER_LEN, (uint64_t)j->behind * CL_PAGE);
		if (!err)
			err = j->store->ops->sync(j->store, j->file);
		if (!err)
			j->behind = -1;
	}
	forget_marks(j);
	j->head = j->tail;
	j->seq = j->tail_seq;
	atomic_store(&j->free, j->pages);
	return err;
}

uint32_t journal_free(const struct journal *j)
{
	return (uint32_t)atomic_load(&((struct journal *)(uintptr_t)j)->free);
}

uint32_t journal_size(const struct journal *j)
{
	return (uint32_t)j->pages;
}

uint64_t journal_next(const struct journal *j)
{
	return j->seq;
}

/* Pages of a record on their way to the ring, gathered to large writes. */
struct writer {
	struct journal *j;
	uint64_t pos; /* of the first page gathered */
	int n;
	struct iovec iov[STORE_IOV_MAX];
};

static int flush(struct writer *w)
{
	struct journal *j = w->j;
	struct iovec *iov = w->iov;

	while (w->n) {
		uint64_t at = w->pos % j->pages;
		int run = (int)CL_MIN((uint64_t)w->n, j->pages - at);
		int err = j->store->ops->pwritev(j->store, j->direct, iov, run, (RING + at) * CL_PAGE);
		if (err)
			return err;
		iov += run;
		w->pos += (uint64_t)run;
		w->n -= run;
	}
	return 0;
}

static int put(struct writer *w, const uint8_t *page)
{
	w->iov[w->n++] = (struct iovec){ (void *)(uintptr_t)page, CL_PAGE };
	return w->n == STORE_IOV_MAX ? flush(w) : 0;
}

int journal_append(struct journal *j, uint64_t seq, const struct journal_block *blocks, uint32_t n_blocks,
		   const struct journal_op *ops, uint32_t n_ops)
{
	uint32_t n_head = (uint32_t)head_pages(n_blocks, n_ops);
	uint32_t pages = n_head + n_blocks;

	if (seq != j->seq)
		return -EINVAL;
	if (pages > journal_free(j))
		return -ENOSPC;
	uint8_t *head = aligned_alloc(CL_PAGE, (size_t)n_head * CL_PAGE);
	XXH3_state_t *hash = XXH3_createState();
	int err = head && hash ? 0 : -ENOMEM;
	if (err)
		goto out;

	memset(head, 0, (size_t)n_head * CL_PAGE);
	struct disk_record r = {
		.magic = { 'C', 'L', 'O', 'I', 'S', 'O', 'N', 'T' },
		.seq = le64_of(seq),
		.pages = le32_of(pages),
		.head_pages = le32_of(n_head),
		.n_blocks = le32_of(n_blocks),
		.n_ops = le32_of(n_ops),
	};
	memcpy(r.id, j->id, 16);
	memcpy(head, &r, sizeof r);
	uint8_t *p = head + sizeof r;
	for (uint32_t i = 0; i < n_blocks; i++, p += sizeof(struct disk_block)) {
		struct disk_block b = { le64_of(blocks[i].object), le64_of(blocks[i].page) };
		memcpy(p, &b, sizeof b);
	}
	for (uint32_t i = 0; i < n_ops; i++, p += sizeof(struct disk_op)) {
		struct disk_op o = { le32_of(ops[i].code), le32_of(0), le64_of(ops[i].object), le64_of(ops[i].a),
				     le64_of(ops[i].b) };
		memcpy(p, &o, sizeof o);
	}
	XXH3_128bits_reset(hash);
	XXH3_128bits_update(hash, head, (size_t)n_head * CL_PAGE);
	for (uint32_t i = 0; i < n_blocks; i++)
		XXH3_128bits_update(hash, blocks[i].data, CL_PAGE);
	XXH128_canonical_t c;
	XXH128_canonicalFromHash(&c, XXH3_128bits_digest(hash));
	memcpy(head + offsetof(struct disk_record, check), c.digest, 16);

	struct writer w = { .j = j, .pos = j->head };
	for (uint32_t i = 0; i < n_head && !err; i++)
		err = put(&w, head + (size_t)i * CL_PAGE);
	for (uint32_t i = 0; i < n_blocks && !err; i++)
		err = put(&w, blocks[i].data);
	if (!err)
		err = flush(&w);
	if (!err && RULE(RULE_SYNC_RECORD))
		err = j->store->ops->sync(j->store, j->direct);
	if (!err)
		j->second_unsynced = false;
	if (!err)
		err = add_mark(j, seq, j->head + pages);
	if (err)
		goto out;
	j->head += pages;
	j->seq++;
	atomic_fetch_sub(&j->free, pages);
out:
	XXH3_freeState(hash);
	free(head);
	return err;
}

int journal_advance(struct journal *j, uint64_t seq)
{
	uint64_t to = j->tail;

	for (struct list *l = j->marks.next; l != &j->marks; l = l->next) {
		struct mark *m = list_item(l, struct mark, in);
		if (m->seq > seq)
			break;
		to = m->end;
	}
	if (to == j->tail)
		return 0;
	uint64_t old_tail = j->tail, old_seq = j->tail_seq;
	j->tail = to;
	j->tail_seq = seq + 1;
	j->generation++;
	int err = write_headers(j);
	if (err) {
		j->tail = old_tail;
		j->tail_seq = old_seq;
		return err;
	}
	while (!list_empty(&j->marks)) {
		struct mark *m = list_item(j->marks.next, struct mark, in);
		if (m->seq > seq)
			break;
		list_del(&m->in);
		free(m);
	}
	atomic_store(&j->free, j->pages - (j->head - j->tail));
	return 0;
}

/* A whole valid record of seq, anywhere in the ring, and its position: -ENOENT. */
static int find_record(struct journal *j, uint64_t seq, uint64_t *ret_pos, uint8_t **ret_buf)
{
	for (uint64_t pos = 0; pos < j->pages; pos++) {
		int err = read_record(j, pos, seq, ret_buf);
		if (err <= 0) {
			*ret_pos = pos;
			return err;
		}
	}
	return -ENOENT;
}

int journal_find(struct journal *j, uint64_t seq, int (*fn)(void *arg, const struct journal_record *r), void *arg)
{
	uint8_t *buf = NULL;
	uint64_t pos;
	int err = find_record(j, seq, &pos, &buf);

	if (!err)
		err = give_record(buf, fn, arg);
	free(buf);
	return err;
}

static int zero_ring(struct journal *j, uint64_t from, uint64_t to)
{
	uint8_t *zero = calloc(CHUNK_PAGES, CL_PAGE);
	int err = zero ? 0 : -ENOMEM;

	for (uint64_t pos = from; pos < to && !err;) {
		uint64_t at = pos % j->pages;
		uint64_t run = CL_MIN(CL_MIN(to - pos, CHUNK_PAGES), j->pages - at);
		err = j->store->ops->pwrite(j->store, j->file, zero, run * CL_PAGE, (RING + at) * CL_PAGE);
		pos += run;
	}
	free(zero);
	return err ? err : j->store->ops->sync(j->store, j->file);
}

int journal_cut(struct journal *j, uint64_t *ret_last)
{
	*ret_last = 0;
	for (uint64_t pos = j->head; pos < j->tail + j->pages; pos++) {
		uint8_t *buf;
		int err = read_record(j, pos, 0, &buf);
		if (err < 0)
			return err;
		if (err)
			continue;
		struct disk_record r;
		memcpy(&r, buf, sizeof r);
		free(buf);
		if (le64_get(r.seq) >= j->seq)
			*ret_last = CL_MAX(*ret_last, le64_get(r.seq));
	}
	return zero_ring(j, j->head, j->tail + j->pages);
}

int journal_remake(struct store *s, const uint8_t id[static 16], uint32_t pages, uint64_t seq, bool *ret_found)
{
	struct journal j = { .store = s, .pages = pages, .seq = seq, .tail_seq = seq, .generation = 1 };
	uint8_t *buf = NULL;
	uint64_t size = 0;

	memcpy(j.id, id, 16);
	int err = s->ops->open(s, "journal", STORE_CREATE | STORE_IN_PLACE, &j.file);
	if (err)
		return err;
	err = s->ops->size(s, j.file, &size);
	if (!err && size / CL_PAGE >= JOURNAL_PAGES_MIN + RING && size / CL_PAGE <= JOURNAL_PAGES_MAX + RING)
		j.pages = size / CL_PAGE - RING;
	if (!err)
		err = find_record(&j, seq, &j.tail, &buf);
	free(buf);
	*ret_found = !err;
	if (err == -ENOENT) {
		j.tail = 0;
		err = zero_ring(&j, 0, j.pages);
	}
	if (!err)
		err = s->ops->truncate(s, j.file, (j.pages + RING) * CL_PAGE);
	if (!err)
		err = write_headers(&j);
	if (!err)
		err = s->ops->sync(s, j.file);
	s->ops->close(s, j.file);
	return err ? err : s->ops->sync_dir(s, ".");
}
