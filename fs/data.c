/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Contents of regular files. */
#include "fs/data.h"

#include "common/log.h"
#include "common/secret.h"
#include "fs/comp.h"
#include "fs/leaf.h"
#include "fs/txn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HOME_MIN 16u /* pages: shorter runs go through the journal, so that a small fsync costs one sync */
#define LAST_PAGE (FS_FILE_MAX / CL_PAGE - 1)

/* Range is held. Reads whole pages first .. first + n - 1. */
static int read_pages(struct inode *i, uint64_t first, uint32_t n, void *out)
{
	struct seal_ref refs[LEAF_RUN];

	pthread_rwlock_rdlock(&i->lock);
	int err = tree_get_refs(&i->data, first, n, refs);
	pthread_rwlock_unlock(&i->lock);
	return err ? err : leaf_read(&i->data, first, n, refs, out);
}

ssize_t data_read(struct inode *i, void *buf, size_t n, uint64_t off)
{
	struct inode_range range;
	uint8_t *out = buf;
	int err = 0;

	if (n == 0)
		return 0;
	uint64_t last = CL_MIN((off + n - 1) / CL_PAGE, LAST_PAGE);
	inode_range_lock(i, &range, off / CL_PAGE, last, false);
	pthread_rwlock_rdlock(&i->lock);
	uint64_t size = i->size;
	pthread_rwlock_unlock(&i->lock);
	size_t want = off >= size ? 0 : (size_t)CL_MIN(n, size - off);
	size_t done = 0;
	while (done < want && !err) {
		uint64_t at = off + done;
		size_t left = want - done, skip = at % CL_PAGE;
		if (skip || left < CL_PAGE) {
			uint8_t page[CL_PAGE] __attribute__((aligned(64)));
			size_t part = CL_MIN(left, CL_PAGE - skip);
			err = read_pages(i, at / CL_PAGE, 1, page);
			if (!err)
				memcpy(out + done, page + skip, part);
			secret_wipe(page, sizeof page);
			done += err ? 0 : part;
			continue;
		}
		uint32_t pages = (uint32_t)CL_MIN(left / CL_PAGE, LEAF_RUN);
		err = read_pages(i, at / CL_PAGE, pages, out + done);
		done += err ? 0 : (size_t)pages * CL_PAGE;
	}
	inode_range_unlock(i, &range);
	/* Never fewer bytes than the file has: the kernel takes a short answer for a hole, and shows zeros in its place. */
	return err ? err : (ssize_t)done;
}

/* What a write does to a file besides its pages: the size becomes end at least, the times now. */
struct grown {
	uint64_t end;
	bool stamp;
};

/* Inode lock held exclusively. */
static int ensure_object_locked(struct inode *i)
{
	if (i->data.object)
		return 0;
	int err = inode_dirty(i);
	return err ? err : tree_make(&i->data, comp_new_object(i->comp));
}

/*
 * How many leaves from first on go which way. A full compartment takes what needs no new blocks, or gets them at once: -ENOSPC, -EDQUOT
 * for what would have to wait for them in the journal.
 */
static int way_of(struct inode *i, uint64_t first, uint32_t n, bool *ret_home, uint32_t *ret_n)
{
	int full = atomic_load(&i->comp->full);
	struct seal_ref refs[LEAF_RUN];
	int err = 0;

	*ret_home = false;
	*ret_n = n;
	if (n < HOME_MIN && !full)
		return 0;
	pthread_rwlock_rdlock(&i->lock);
	err = tree_run_kind(&i->data, first, CL_MIN(n, LEAF_RUN), ret_home, ret_n);
	if (!err && full && !*ret_home)
		err = tree_get_refs(&i->data, first, *ret_n, refs);
	pthread_rwlock_unlock(&i->lock);
	for (uint32_t k = 0; k < *ret_n && !err && full && !*ret_home; k++)
		if (seal_ref_is_hole(&refs[k]))
			err = -full;
	*ret_home = *ret_home && (*ret_n >= HOME_MIN || full);
	return err;
}

/*
 * Transaction running, range held. Seals whole pages, outside of the inode's lock, and enters them; grown: what else changes, or NULL.
 * *ret_done: how many, after an error as well.
 */
static int write_pages(struct inode *i, uint64_t first, uint32_t n, const uint8_t *plain, const struct grown *grown,
		       uint32_t *ret_done)
{
	struct leaf_run run;
	int err = 0;

	*ret_done = 0;
	/* It keeps the object: only who holds all of the range takes it away. */
	if (!tree_has_object(&i->data)) {
		pthread_rwlock_wrlock(&i->lock);
		err = ensure_object_locked(i);
		pthread_rwlock_unlock(&i->lock);
	}
	while (n && !err) {
		uint32_t k;
		bool home;
		err = way_of(i, first, n, &home, &k);
		if (err)
			break;
		if (home) {
			err = leaf_seal_home(&i->data, first, k, plain, &run);
			atomic_fetch_add(&i->fresh_writes, 1);
		} else {
			err = leaf_seal_running(&i->data, first, k, plain, &run);
		}
		if (err)
			break;
		first += k;
		n -= k;
		plain += (size_t)k * CL_PAGE;
		pthread_rwlock_wrlock(&i->lock);
		err = inode_dirty(i);
		if (!err)
			err = leaf_commit(&i->data, &run, &i->stored);
		else if (!run.home)
			pagemap_put_bufs(i->comp->io.map, run.bufs, run.n);
		if (!err && grown) {
			i->size = CL_MAX(i->size, CL_MIN(grown->end, first * CL_PAGE));
			if (grown->stamp)
				i->mtime = i->ctime = inode_now();
		}
		i->data_txn = i->comp->running;
		pthread_rwlock_unlock(&i->lock);
		*ret_done += err ? 0 : k;
	}
	return err;
}

/* A part of a page, which ends before the page does or begins behind its start. */
struct part {
	size_t skip, n;
	const uint8_t *bytes; /* NULL: zeros */
};

/* One page of which only a part changes. size: of the file, before; grown: as for write_pages. */
static int write_part(struct inode *i, uint64_t page_no, const struct part *part, uint64_t size, const struct grown *grown)
{
	uint8_t page[CL_PAGE] __attribute__((aligned(64)));
	uint32_t done;
	int err = 0;

	bool keeps = page_no * CL_PAGE < size && (part->skip || page_no * CL_PAGE + part->n < size);
	if (keeps)
		err = read_pages(i, page_no, 1, page);
	else
		memset(page, 0, sizeof page);
	if (!err) {
		if (part->bytes)
			memcpy(page + part->skip, part->bytes, part->n);
		else
			memset(page + part->skip, 0, part->n);
		err = write_pages(i, page_no, 1, page, grown, &done);
	}
	secret_wipe(page, sizeof page);
	return err;
}

/* As much as one transaction may take; *ret_done bytes. */
static int write_chunk(struct inode *i, const uint8_t *buf, size_t n, uint64_t off, bool stamp, size_t *ret_done)
{
	size_t done = 0;
	int err = 0;

	while (done < n && !err) {
		uint64_t at = off + done;
		size_t skip = at % CL_PAGE, part = CL_MIN(n - done, CL_PAGE - skip);
		uint32_t in = 0; /* whole pages written, after an error as well */
		if (part < CL_PAGE) {
			pthread_rwlock_rdlock(&i->lock);
			uint64_t size = i->size;
			pthread_rwlock_unlock(&i->lock);
			err = write_part(i, at / CL_PAGE, &(struct part){ skip, part, buf + done }, size,
					 &(struct grown){ at + part, stamp });
		} else {
			uint32_t pages = (uint32_t)CL_MIN((n - done) / CL_PAGE, LEAF_RUN);
			part = (size_t)pages * CL_PAGE;
			err = write_pages(i, at / CL_PAGE, pages, buf + done, &(struct grown){ at + part, stamp }, &in);
		}
		done += err ? (size_t)in * CL_PAGE : part;
	}
	*ret_done = done;
	return err;
}

ssize_t data_write(struct inode *i, const void *buf, size_t n, uint64_t off, unsigned flags)
{
	bool append = flags & FS_WRITE_APPEND;
	struct inode_range range;
	size_t done = 0, asked = n;
	bool again = true;
	int err = 0;

	int lost = atomic_load(&i->lost);
	if (n == 0 || lost)
		return -lost;
	uint64_t limit = i->comp->leaves_max * CL_PAGE;
	if (!append) {
		if (off >= limit)
			return -EFBIG;
		n = (size_t)CL_MIN(n, limit - off);
	}
	while (done < n && !err) {
		size_t chunk = CL_MIN(n - done, (size_t)i->comp->op_pages * CL_PAGE), got = 0;
		uint32_t pages = CL_MAX((uint32_t)(chunk / CL_PAGE) + 2, i->comp->small_op);
		err = txn_begin_pages(i->comp, ROOM_DATA, pages);
		if (err)
			break;
		uint64_t at = off + done;
		if (append) {
			inode_range_lock(i, &range, 0, LAST_PAGE, true);
			pthread_rwlock_rdlock(&i->lock);
			at = i->size;
			pthread_rwlock_unlock(&i->lock);
			if (at >= limit)
				err = -EFBIG;
			else
				chunk = (size_t)CL_MIN(chunk, limit - at);
		} else {
			inode_range_lock(i, &range, at / CL_PAGE, (at + chunk - 1) / CL_PAGE, true);
		}
		if (!err)
			err = write_chunk(i, (const uint8_t *)buf + done, chunk, at, !(flags & FS_WRITE_CACHED), &got);
		inode_range_unlock(i, &range);
		txn_end_pages(i->comp, pages);
		done += got;
		if (room_is_error(err) && again) {
			int back = room_get_back(i->comp);
			again = false;
			err = room_is_error(back) ? err : back;
		}
	}
	/* Who writes a cache back takes any success for the whole of it. */
	if (flags & FS_WRITE_CACHED && done < asked)
		return err ? err : -EFBIG;
	return done ? (ssize_t)done : err;
}

/*
 * Some leaves may have become holes, and no operation of the journal will say so. The committed state still references their places until
 * the commit of this transaction is durable: nothing of the object is written in place before the next checkpoint.
 */
static void holes_without_op(struct inode *i)
{
	if (i->data.object && pagemap_commit_range(i->comp->io.map, i->data.object, i->comp->running))
		log_warn("compartment %s: out of memory", i->comp->io.name);
}

/* Range 0 .. end is held, transaction running. */
static int shrink(struct inode *i, uint64_t size, uint64_t old)
{
	uint64_t keep = (size + CL_PAGE - 1) / CL_PAGE;
	int err = 0;

	if (size % CL_PAGE) {
		struct seal_ref ref;
		pthread_rwlock_rdlock(&i->lock);
		err = tree_get_refs(&i->data, keep - 1, 1, &ref);
		pthread_rwlock_unlock(&i->lock);
		if (!err && !seal_ref_is_hole(&ref))
			err = write_part(i, keep - 1, &(struct part){ size % CL_PAGE, (size_t)(CL_MIN(keep * CL_PAGE, old) - size), NULL },
					 old, NULL);
	}
	if (err)
		return err;
	pthread_rwlock_wrlock(&i->lock);
	err = inode_dirty(i);
	if (!err)
		err = tree_zero(&i->data, keep, TREE_LEAVES_MAX - 1, &i->stored);
	if (!err && i->data.object && keep < (old + CL_PAGE - 1) / CL_PAGE) {
		err = inode_add_op(i, JOURNAL_CUT, i->data.object, pageio_lower_end(keep, i->data.height), 0);
		i->data.freed = true; /* what comes there now must not go home before the cut */
	}
	if (err)
		holes_without_op(i);
	if (!err)
		i->size = size;
	pthread_rwlock_unlock(&i->lock);
	return err;
}

int data_truncate(struct inode *i, uint64_t size)
{
	struct inode_range range;

	int lost = size ? atomic_load(&i->lost) : 0;
	if (size > FS_FILE_MAX || lost)
		return lost ? -lost : -EFBIG;
	int err = txn_begin_kind(i->comp, ROOM_GIVE);
	if (err)
		return err;
	inode_range_lock(i, &range, 0, LAST_PAGE, true);
	pthread_rwlock_rdlock(&i->lock);
	uint64_t old = i->size;
	pthread_rwlock_unlock(&i->lock);
	if (size && size < old)
		err = shrink(i, size, old);
	pthread_rwlock_wrlock(&i->lock);
	if (!err)
		err = inode_dirty(i);
	if (!err && size == 0)
		err = inode_reset_data(i);
	if (!err) {
		i->size = size;
		i->mtime = i->ctime = inode_now();
		i->data_txn = i->comp->running;
	}
	pthread_rwlock_unlock(&i->lock);
	inode_range_unlock(i, &range);
	txn_end(i->comp);
	return err;
}

/* Operations that give the lower space of leaves first .. last back: whole subtrees, neighbours joined. */
static int punch_ops(struct inode *i, uint64_t first, uint64_t last)
{
	uint64_t from = 0, n = 0;

	while (first <= last) {
		uint64_t span = 1;
		unsigned level = 0;
		while (level < i->data.height && first % (span * PAGEIO_FANOUT) == 0 && first + span * PAGEIO_FANOUT - 1 <= last) {
			span *= PAGEIO_FANOUT;
			level++;
		}
		uint64_t at = pageio_lower_leaf(first);
		uint64_t pages = pageio_lower_end(span, level);
		if (n && from + n == at) {
			n += pages;
		} else {
			int err = n ? inode_add_op(i, JOURNAL_PUNCH, i->data.object, from, n) : 0;
			if (err)
				return err;
			from = at;
			n = pages;
		}
		first += span;
	}
	return n ? inode_add_op(i, JOURNAL_PUNCH, i->data.object, from, n) : 0;
}

int data_punch(struct inode *i, uint64_t off, uint64_t len)
{
	struct inode_range range;
	int lost = atomic_load(&i->lost);
	int err = lost ? -lost : txn_begin_kind(i->comp, ROOM_GIVE);

	if (err)
		return err;
	inode_range_lock(i, &range, 0, LAST_PAGE, true);
	pthread_rwlock_rdlock(&i->lock);
	uint64_t size = i->size;
	struct seal_ref head = { 0 }, tail = { 0 };
	uint64_t end = CL_MIN(off + len, size);
	uint64_t first = (off + CL_PAGE - 1) / CL_PAGE;      /* first whole page */
	uint64_t stop = end == size ? (end + CL_PAGE - 1) / CL_PAGE : end / CL_PAGE; /* behind the last whole page */
	if (off < end) {
		err = off % CL_PAGE ? tree_get_refs(&i->data, off / CL_PAGE, 1, &head) : 0;
		if (!err && end != size && end % CL_PAGE)
			err = tree_get_refs(&i->data, end / CL_PAGE, 1, &tail);
	}
	pthread_rwlock_unlock(&i->lock);
	if (err || off >= end)
		goto out;
	if (!seal_ref_is_hole(&head))
		err = write_part(i, off / CL_PAGE,
				 &(struct part){ off % CL_PAGE, (size_t)(CL_MIN(end, first * CL_PAGE) - off), NULL }, size, NULL);
	if (!err && !seal_ref_is_hole(&tail) && end / CL_PAGE >= first)
		err = write_part(i, end / CL_PAGE, &(struct part){ 0, end % CL_PAGE, NULL }, size, NULL);
	pthread_rwlock_wrlock(&i->lock);
	if (!err)
		err = inode_dirty(i);
	if (!err && first < stop && i->data.object) {
		uint64_t covered = i->data.height ? (uint64_t)1 << (7 * i->data.height) : 1;
		stop = CL_MIN(stop, covered);
		if (first < stop)
			err = tree_zero(&i->data, first, stop - 1, &i->stored);
		if (!err && first < stop) {
			err = punch_ops(i, first, stop - 1);
			i->data.freed = true; /* what comes there now must not go home before the punch */
		}
		if (err)
			holes_without_op(i);
	}
	if (!err) {
		i->mtime = i->ctime = inode_now();
		i->data_txn = i->comp->running;
	}
	pthread_rwlock_unlock(&i->lock);
out:
	inode_range_unlock(i, &range);
	txn_end(i->comp);
	return err;
}

int data_allocate(struct inode *i, uint64_t off, uint64_t len, bool keep_size)
{
	struct inode_range range;

	if (off + len > i->comp->leaves_max * CL_PAGE)
		return -EFBIG;
	int lost = atomic_load(&i->lost);
	int err = lost ? -lost : txn_begin_kind(i->comp, ROOM_DATA);
	if (err)
		return err;
	inode_range_lock(i, &range, 0, LAST_PAGE, true);
	pthread_rwlock_wrlock(&i->lock);
	err = ensure_object_locked(i);
	pthread_rwlock_unlock(&i->lock);
	uint64_t first = off / CL_PAGE, last = (off + len - 1) / CL_PAGE;
	if (!err) {
		uint64_t lower = pageio_lower_leaf(first);
		err = pageio_allocate(&i->comp->io, i->data.object, lower, pageio_lower_leaf(last) + 1 - lower);
		if (err == -EOPNOTSUPP)
			err = 0; /* then there is no promise of space, as on the lower filesystem */
	}
	pthread_rwlock_wrlock(&i->lock);
	if (!err)
		err = inode_dirty(i);
	if (!err) {
		if (!keep_size)
			i->size = CL_MAX(i->size, off + len);
		i->mtime = i->ctime = inode_now();
		i->data_txn = i->comp->running;
	}
	pthread_rwlock_unlock(&i->lock);
	inode_range_unlock(i, &range);
	txn_end(i->comp);
	return err;
}

int data_seek(struct inode *i, uint64_t off, bool hole, uint64_t *ret)
{
	uint64_t leaf;

	pthread_rwlock_rdlock(&i->lock);
	uint64_t size = i->size, limit = (size + CL_PAGE - 1) / CL_PAGE;
	int err = off >= size ? -ENXIO : tree_next(&i->data, off / CL_PAGE, limit, hole, &leaf);
	pthread_rwlock_unlock(&i->lock);
	if (err)
		return err;
	if (leaf >= limit) {
		if (!hole)
			return -ENXIO;
		*ret = size;
		return 0;
	}
	*ret = CL_MAX(off, leaf * CL_PAGE);
	return 0;
}

int data_fill(struct inode *i, const void *buf, size_t n)
{
	uint32_t pages = (uint32_t)((n + CL_PAGE - 1) / CL_PAGE);
	struct leaf_run run;
	uint8_t *plain = calloc(pages, CL_PAGE);
	int err = plain ? 0 : -ENOMEM;

	if (!err)
		err = inode_reset_data(i);
	if (!err)
		err = tree_make(&i->data, comp_new_object(i->comp));
	if (!err) {
		memcpy(plain, buf, n);
		err = leaf_seal_running(&i->data, 0, pages, plain, &run);
	}
	if (!err)
		err = leaf_commit(&i->data, &run, &i->stored);
	if (!err)
		i->size = n;
	if (plain)
		secret_wipe(plain, (size_t)pages * CL_PAGE);
	free(plain);
	return err;
}
