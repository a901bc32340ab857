/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operations on contents: write, read, truncate, holes, copies. */
#include "tests/model/drive.h"

#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ULL(x) ((unsigned long long)(x))
#define PIECE ((size_t)1 << 20) /* of a comparison */

static size_t any_length(struct drive *d)
{
	uint64_t kind = drive_below(d, 100);

	if (kind < d->p->big)
		return 1 + drive_below(d, drive_chance(d, 10) ? DRIVE_BUF / 2 : DRIVE_BUF / 16);
	if (kind < 60)
		return drive_below(d, 200);
	if (kind < 80)
		return drive_below(d, 4) * CL_PAGE;
	return drive_below(d, 20000);
}

static size_t length(struct drive *d)
{
	size_t n = any_length(d);

	return d->p->max_bytes ? CL_MIN(n, d->p->max_bytes) : n;
}

/* Mostly within the file or just behind it, often at the edge of a page or of what an index page covers. */
static uint64_t place(struct drive *d, const struct ref_inode *i)
{
	uint64_t off = drive_below(d, i->size + (drive_chance(d, 50) ? 1 : 40000)), kind = drive_below(d, 100);

	if (drive_chance(d, d->p->sparse)) {
		static const uint64_t spans[] = { 1, 128, 16384, 2097152, 268435456 };
		off = drive_below(d, d->p->far);
		if (kind < 50)
			off = CL_MIN(d->p->far,
				     spans[drive_below(d, CL_ARRAY_LEN(spans))] * CL_PAGE * (1 + drive_below(d, 3)));
		off -= CL_MIN(off, drive_below(d, 3) * (kind & 1 ? CL_PAGE : 100));
	} else if (kind < 30) {
		off = off / CL_PAGE * CL_PAGE;
	} else if (kind < 40) {
		off = i->size;
	} else if (kind == 41 && !d->p->max_bytes) {
		off = FS_FILE_MAX + drive_below(d, 3) * CL_PAGE;
	}
	return off;
}

static void fill(struct drive *d, uint8_t *buf, size_t n)
{
	uint64_t x = drive_rand(d);

	if (x % 16 == 0) {
		memset(buf, 0, n); /* zeros are data too */
		return;
	}
	for (size_t k = 0; k + 8 <= n; k += 8) {
		memcpy(buf + k, &x, 8);
		x = x * 6364136223846793005u + 1442695040888963407u;
	}
	for (size_t k = n & ~(size_t)7; k < n; k++)
		buf[k] = (uint8_t)(x >> (8 * (k & 7)));
}

static void write_step(struct drive *d, struct ref_inode *i)
{
	size_t n = length(d);
	uint64_t off = place(d, i);
	bool append = drive_chance(d, 10);

	fill(d, d->buf, n);
	drive_say(d, "write %llu: %zu at %llu (%llx)%s", ULL(i->ino), n, ULL(off), ULL(off), append ? ", append" : "");
	ssize_t want = ref_write(d->ref, i, d->buf, n, off, append);
	if (d->fs)
		drive_expect(d, fs_write(d->fs, i->ino, d->buf, n, off, append ? FS_WRITE_APPEND : 0), want);
}

static void read_step(struct drive *d, struct ref_inode *i)
{
	size_t n = length(d);
	uint64_t off = place(d, i);

	drive_say(d, "read %llu: %zu at %llu", ULL(i->ino), n, ULL(off));
	ssize_t want = ref_read(d->ref, i, d->buf, n, off);
	if (!d->fs)
		return;
	drive_expect(d, fs_read(d->fs, i->ino, d->out, n, off), want);
	for (ssize_t k = 0; k < want; k++)
		if (d->out[k] != d->buf[k])
			drive_fail(d, "byte %llu is %02x, expected %02x", ULL(off + (uint64_t)k), d->out[k], d->buf[k]);
}

static void truncate_step(struct drive *d, struct ref_inode *i, bool less)
{
	struct fs_attr a = { .size = drive_chance(d, 15) ? 0 : less ? drive_below(d, i->size + 1) : place(d, i) }, got;

	drive_say(d, "truncate %llu from %llu to %llu", ULL(i->ino), ULL(i->size), ULL(a.size));
	int want = ref_setattr(d->ref, i, FS_SET_SIZE, &a);
	if (d->fs)
		drive_expect(d, fs_setattr(d->fs, i->ino, FS_SET_SIZE, &a, &got), want);
	if (d->fs && !want)
		drive_compare(d, i, &got, REF_MTIME | REF_CTIME);
}

static void fallocate_step(struct drive *d, struct ref_inode *i, bool less)
{
	static const int modes[] = { 0,
				     FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE,
				     FALLOC_FL_COLLAPSE_RANGE };
	int mode = less ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : modes[drive_below(d, CL_ARRAY_LEN(modes))];
	uint64_t off = place(d, i), len = length(d);

	/* Space is really reserved for what is not punched: that stays small. */
	if (mode & FALLOC_FL_PUNCH_HOLE && drive_chance(d, 30))
		len = drive_below(d, i->size + 10000);
	drive_say(d, "fallocate %llu, mode %d: %llu at %llu", ULL(i->ino), mode, ULL(len), ULL(off));
	int want = ref_fallocate(d->ref, i, mode, off, len);
	if (d->fs)
		drive_expect(d, fs_fallocate(d->fs, i->ino, mode, off, len), want);
}

static void seek_step(struct drive *d, struct ref_inode *i)
{
	int whence = drive_chance(d, 2) ? SEEK_SET : drive_chance(d, 50) ? SEEK_DATA : SEEK_HOLE;
	uint64_t off = place(d, i), want_at = 0, got_at = 0;

	drive_say(d, "seek %llu: %s from %llu", ULL(i->ino), whence == SEEK_DATA ? "data" : "hole", ULL(off));
	int want = ref_seek(i, off, whence, &want_at);
	if (!d->fs)
		return;
	drive_expect(d, fs_seek(d->fs, i->ino, off, whence, &got_at), want);
	if (!want)
		drive_expect(d, (int64_t)got_at, (int64_t)want_at);
}

static void copy_step(struct drive *d, struct ref_inode *from)
{
	struct ref_inode *to = drive_chance(d, 80) ? drive_pick(d, REF_FILES) : from;
	size_t n = length(d);
	uint64_t from_off = place(d, from), to_off = place(d, to);

	if (to->size > ((uint64_t)1 << 46) || to_off >= FS_FILE_MAX)
		return;
	drive_say(d, "copy %llu from %llu + %llu to %llu + %llu", ULL(n), ULL(from->ino), ULL(from_off), ULL(to->ino),
		  ULL(to_off));
	ssize_t want = ref_copy(d->ref, from, from_off, to, to_off, n);
	if (d->fs)
		drive_expect(d, fs_copy(d->fs, from->ino, from_off, to->ino, to_off, n), want);
}

void drive_data(struct drive *d, unsigned kind)
{
	struct ref_inode *i = drive_pick(d, drive_chance(d, 99) ? REF_FILES : REF_ALL);

	if (!i || i->shared)
		return;
	if (kind == 1)
		return drive_chance(d, 60) ? truncate_step(d, i, drive_chance(d, 80))
					   : fallocate_step(d, i, drive_chance(d, 70));
	switch (drive_below(d, 20)) {
	case 0: case 1: case 2: case 3: case 4: case 5:
		return read_step(d, i);
	case 6:
		return seek_step(d, i);
	case 7:
		return S_ISREG(i->mode) ? copy_step(d, i) : read_step(d, i);
	case 8:
		return fallocate_step(d, i, false);
	case 9:
		return truncate_step(d, i, false);
	default:
		return write_step(d, i);
	}
}

/* Runs of stored pages, as the engine tells them, and all that is in them. */
void drive_contents(struct drive *d, struct ref_inode *i)
{
	uint64_t at = 0;
	size_t page = 0;

	while (at < i->size) {
		uint64_t data = 0, hole = 0, want;
		int err = ref_seek(i, at, SEEK_DATA, &want);
		drive_expect(d, fs_seek(d->fs, i->ino, at, SEEK_DATA, &data), err);
		if (err)
			break;
		drive_expect(d, (int64_t)data, (int64_t)want);
		err = ref_seek(i, data, SEEK_HOLE, &want);
		drive_expect(d, fs_seek(d->fs, i->ino, data, SEEK_HOLE, &hole), err);
		drive_expect(d, (int64_t)hole, (int64_t)want);
		for (at = data; at < hole;) {
			size_t n = (size_t)CL_MIN(hole - at, PIECE);
			ssize_t got = fs_read(d->fs, i->ino, d->out, n, at);
			if (got != (ssize_t)n)
				drive_fail(d, "inode %llu: read of %zu at %llu gives %zd", ULL(i->ino), n, ULL(at),
					   got);
			for (size_t k = 0; k < n; k += CL_PAGE, page++) {
				size_t part = CL_MIN(n - k, CL_PAGE);
				if (page >= i->n_pages || i->pages[page].no != (at + k) / CL_PAGE ||
				    memcmp(i->pages[page].data, d->out + k, part))
					drive_fail(d, "inode %llu: contents differ in page %llu", ULL(i->ino),
						   ULL((at + k) / CL_PAGE));
			}
			at += n;
		}
	}
}
