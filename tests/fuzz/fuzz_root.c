/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: root pages. Input: how[1], changes. Bit 0: to the plaintext, which is then sealed again; else to the
 * file as it is. Bit 1: to the first copy alone. Bit 2: also to the 40 bytes in front, before it is sealed. Bit 3:
 * to be opened for reading.
 */
#include "tests/fuzz/disk.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"

#include "fs/txn.h"

#include <stdlib.h>
#include <string.h>

static void change(struct disk *d, uint8_t how, struct fuzz_in *in)
{
	uint8_t raw[CL_PAGE], plain[RESEAL_PLAIN];
	struct store *s = disk_folder(d, 0);

	reseal_open(s, &d->c[0], raw, plain);
	if (how & 4) {
		size_t off = fuzz_u8(in) % RESEAL_HEAD, n = fuzz_u8(in);
		fuzz_place(in, n, raw + off, RESEAL_HEAD - off);
	}
	if (how & 1)
		fuzz_patch(in, plain, sizeof plain);
	if (how & 5)
		reseal_root(&d->c[0], raw, plain);
	if (!(how & 1))
		fuzz_patch(in, raw, sizeof raw);
	disk_write(s, "root", raw, sizeof raw);
	if (!(how & 2))
		disk_write(s, "root.copy", raw, sizeof raw);
	s->ops->free(s);
}

static void run(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	uint8_t how = fuzz_u8(&in);
	struct fault f = { 0 };
	struct disk d;
	struct comp *c;

	disk_new(&d);
	change(&d, how, &in);
	d.cfg.read_only = how & 8;
	int err = comp_open(d.store, &d.c[0], true, &d.cfg, &c, &f);
	FUZZ_ERROR(err, -EBADMSG, -EUCLEAN, -EPROTONOSUPPORT);
	if (how & 2 && !(how & 5))
		FUZZ_CHECK(!err, "the second copy is good, but: %s", f.text);
	if (err) {
		fuzz_check_fault(&f, err);
	} else {
		uint64_t txn[2];
		bool clean;
		struct inode *i;
		for (unsigned copy = 0; copy < 2; copy++) {
			err = comp_check_root(c, copy, &txn[copy], &clean);
			FUZZ_ERROR(err, -EBADMSG, -EUCLEAN, -EPROTONOSUPPORT);
		}
		err = inode_get(c, INODE_ROOT, &i);
		FUZZ_ERROR(err, -EBADMSG, -EUCLEAN, -ENOENT);
		if (!err)
			inode_put(i);
		if (d.cfg.read_only)
			comp_free(c);
		else
			err = comp_close(c);
	}
	disk_free(&d);
}

static void seeds(fuzz_put_fn *put, void *arg)
{
	static const struct {
		const char *name;
		uint8_t how;
		uint16_t off;
		uint8_t len, bytes[8];
	} changes[] = {
		{ "same", 1, 16, 1, { 1 } },
		{ "txn", 1, 0, 1, { 99 } },
		{ "next-object", 1, 24, 8, { 255, 255, 255, 255, 255, 255, 255, 127 } },
		{ "flags", 1, 32, 1, { 2 } },
		{ "unclean", 1, 32, 1, { 0 } },
		{ "used", 1, 40, 8, { 255, 255, 255, 255, 255, 255, 255, 255 } },
		{ "limit", 1, 48, 8, { 0, 0, 0, 0, 0, 0x80, 0, 0 } },
		{ "limit-much", 1, 48, 8, { 0, 0, 0, 0, 0, 0, 1, 0 } },
		{ "orphans", 1, 56, 8, { 3 } },
		{ "table-object", 1, 64, 1, { 2 } },
		{ "table-height", 1, 72, 1, { 6 } },
		{ "table-high", 1, 72, 1, { 5 } },
		{ "bitmap-ref", 1, 168, 1, { 9 } },
		{ "orphan-key", 1, 290, 1, { 9 } },
		{ "zero", 1, 3967, 1, { 1 } },
		{ "magic", 0, 0, 1, { 'X' } },
		{ "version", 0, 8, 1, { 2 } },
		{ "raw-one-copy", 2, 128, 1, { 1 } },
		{ "raw-nonce", 8, 41, 1, { 1 } },
	};
	struct fuzz_out head = { 0 };

	for (unsigned k = 0; k < CL_ARRAY_LEN(changes); k++) {
		struct fuzz_out o = { 0 };
		fuzz_put_u8(&o, changes[k].how);
		fuzz_put_patch(&o, changes[k].off, changes[k].bytes, changes[k].len);
		put(arg, changes[k].name, o.p, o.n);
	}
	fuzz_put_bytes(&head, "\4\x08\1\2", 4);
	put(arg, "sealed-version", head.p, head.n);
	head.p[1] = 32;
	put(arg, "sealed-txn", head.p, head.n);
}

const struct fuzz_target fuzz_root = { "root", 2048, run, seeds };
