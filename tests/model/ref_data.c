/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The reference tree: contents of files. A page is stored from its first write until it is cut off or punched out. */
#include "tests/model/ref.h"

#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

size_t ref_page_index(const struct ref_inode *i, uint64_t no)
{
	size_t low = 0, high = i->n_pages;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (i->pages[mid].no < no)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const uint8_t *ref_page(const struct ref_inode *i, uint64_t no)
{
	size_t at = ref_page_index(i, no);
	return at < i->n_pages && i->pages[at].no == no ? i->pages[at].data : NULL;
}

static uint8_t *page_for_write(struct ref *r, struct ref_inode *i, uint64_t no)
{
	size_t at = ref_page_index(i, no);

	if (at < i->n_pages && i->pages[at].no == no)
		return i->pages[at].data;
	i->pages = ref_grow(i->pages, i->n_pages, &i->cap_pages, sizeof *i->pages);
	memmove(i->pages + at + 1, i->pages + at, (i->n_pages - at) * sizeof *i->pages);
	i->pages[at] = (struct ref_page){ no, ref_alloc(CL_PAGE) };
	i->n_pages++;
	r->n_pages++;
	return i->pages[at].data;
}

/* Pages first .. last become holes. */
static void drop(struct ref *r, struct ref_inode *i, uint64_t first, uint64_t last)
{
	size_t from = ref_page_index(i, first), to = from;

	for (; to < i->n_pages && i->pages[to].no <= last; to++)
		free(i->pages[to].data);
	if (to < i->n_pages)
		memmove(i->pages + from, i->pages + to, (i->n_pages - to) * sizeof *i->pages);
	i->n_pages -= to - from;
	r->n_pages -= to - from;
}

static void zero(struct ref_inode *i, uint64_t off, uint64_t end)
{
	for (size_t at = ref_page_index(i, off / CL_PAGE); at < i->n_pages && i->pages[at].no * CL_PAGE < end; at++) {
		uint64_t start = i->pages[at].no * CL_PAGE;
		uint64_t from = CL_MAX(off, start), to = CL_MIN(end, start + CL_PAGE);
		memset(i->pages[at].data + (from - start), 0, to - from);
	}
}

static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

void ref_accessed(struct ref *r, struct ref_inode *i)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	ref_touch(r, i, REF_LOOK);
	/* Times that are not known were set by the running operation, or there is no engine that could set them. */
	struct timespec m = i->unknown & REF_MTIME ? now : i->mtime, c = i->unknown & REF_CTIME ? now : i->ctime;
	if (r->blind || i->unknown & REF_ATIME || !later(i->atime, m) || !later(i->atime, c) ||
	    now.tv_sec - i->atime.tv_sec >= 86400)
		ref_touch(r, i, REF_ATIME);
}

static size_t read_at(const struct ref_inode *i, uint8_t *out, size_t n, uint64_t off)
{
	n = off >= i->size ? 0 : (size_t)CL_MIN(n, i->size - off);
	for (size_t done = 0, part; done < n; done += part) {
		uint64_t at = off + done;
		const uint8_t *page = ref_page(i, at / CL_PAGE);
		part = CL_MIN(n - done, CL_PAGE - at % CL_PAGE);
		if (page)
			memcpy(out + done, page + at % CL_PAGE, part);
		else
			memset(out + done, 0, part);
	}
	return n;
}

ssize_t ref_read(struct ref *r, struct ref_inode *i, void *buf, size_t n, uint64_t off)
{
	ref_touch(r, i, REF_LOOK);
	if (!S_ISREG(i->mode))
		return S_ISDIR(i->mode) ? -EISDIR : -EINVAL;
	n = read_at(i, buf, n, off);
	ref_accessed(r, i);
	return (ssize_t)n;
}

ssize_t ref_write(struct ref *r, struct ref_inode *i, const void *buf, size_t n, uint64_t off, bool append)
{
	const uint8_t *in = buf;

	ref_touch(r, i, REF_LOOK);
	if (!S_ISREG(i->mode))
		return -EINVAL;
	if (n == 0)
		return 0;
	if (append)
		off = i->size;
	if (off >= FS_FILE_MAX)
		return -EFBIG;
	n = (size_t)CL_MIN(n, FS_FILE_MAX - off);
	for (size_t done = 0, part; done < n; done += part) {
		uint64_t at = off + done;
		part = CL_MIN(n - done, CL_PAGE - at % CL_PAGE);
		memcpy(page_for_write(r, i, at / CL_PAGE) + at % CL_PAGE, in + done, part);
	}
	i->size = CL_MAX(i->size, off + n);
	ref_touch(r, i, REF_MTIME | REF_CTIME);
	return (ssize_t)n;
}

int ref_truncate(struct ref *r, struct ref_inode *i, uint64_t size)
{
	if (size > FS_FILE_MAX)
		return -EFBIG;
	if (size < i->size) {
		zero(i, size, i->size);
		drop(r, i, (size + CL_PAGE - 1) / CL_PAGE, UINT64_MAX);
	}
	i->size = size;
	ref_touch(r, i, REF_MTIME | REF_CTIME);
	return 0;
}

static void punch(struct ref *r, struct ref_inode *i, uint64_t off, uint64_t len)
{
	uint64_t end = CL_MIN(off + len, i->size);

	if (off >= end)
		return;
	zero(i, off, end);
	/* Nothing is behind the end of the file, so the last page is whole as far as anybody can see. */
	uint64_t first = (off + CL_PAGE - 1) / CL_PAGE;
	uint64_t stop = end == i->size ? (end + CL_PAGE - 1) / CL_PAGE : end / CL_PAGE;
	if (first < stop)
		drop(r, i, first, stop - 1);
	ref_touch(r, i, REF_MTIME | REF_CTIME);
}

int ref_fallocate(struct ref *r, struct ref_inode *i, int mode, uint64_t off, uint64_t len)
{
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	int what = mode & ~FALLOC_FL_KEEP_SIZE;

	ref_touch(r, i, REF_LOOK);
	if (len == 0 || off > INT64_MAX || len > INT64_MAX)
		return -EINVAL;
	if (!S_ISREG(i->mode))
		return S_ISDIR(i->mode) ? -EISDIR : -ENODEV;
	if ((what == FALLOC_FL_PUNCH_HOLE && !keep) ||
	    (what && what != FALLOC_FL_PUNCH_HOLE && what != FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if (what != FALLOC_FL_PUNCH_HOLE && off + len > FS_FILE_MAX)
		return -EFBIG;
	if (what)
		punch(r, i, off, len);
	if (what == FALLOC_FL_PUNCH_HOLE)
		return 0;
	if (!keep)
		i->size = CL_MAX(i->size, off + len);
	ref_touch(r, i, REF_MTIME | REF_CTIME);
	return 0;
}

int ref_seek(const struct ref_inode *i, uint64_t off, int whence, uint64_t *ret)
{
	uint64_t page = off / CL_PAGE;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	if (!S_ISREG(i->mode))
		return -EINVAL;
	if (off >= i->size)
		return -ENXIO;
	size_t at = ref_page_index(i, page);
	if (whence == SEEK_DATA) {
		if (at == i->n_pages)
			return -ENXIO;
		page = i->pages[at].no;
	} else {
		for (; at < i->n_pages && i->pages[at].no == page; at++)
			page++;
	}
	*ret = CL_MIN(CL_MAX(off, page * CL_PAGE), i->size);
	return 0;
}

ssize_t ref_copy(struct ref *r, struct ref_inode *from, uint64_t from_off, struct ref_inode *to, uint64_t to_off,
		 size_t n)
{
	ref_touch(r, from, REF_LOOK);
	ref_touch(r, to, REF_LOOK);
	if (!S_ISREG(from->mode) || !S_ISREG(to->mode))
		return -EINVAL;
	if (from == to && from_off < to_off + n && to_off < from_off + n)
		return -EINVAL;
	if (from_off >= from->size)
		return 0;
	n = (size_t)CL_MIN(n, from->size - from_off);
	uint8_t *buf = ref_alloc(n);
	n = read_at(from, buf, n, from_off);
	ssize_t done = ref_write(r, to, buf, n, to_off, false);
	free(buf);
	if (done > 0)
		ref_accessed(r, from);
	return done;
}
