/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz targets: what each of them gives to the programs that run it (entry.c for libFuzzer and AFL++, test_fuzz.c
 * for plain builds), and what they share. A target gets any bytes, and ends the process by fuzz_fail when something
 * is not as it must be. The same bytes give the same result in every process: keys and times may differ from run to
 * run, what a target concludes may not depend on them.
 */
#ifndef CLOISON_TESTS_FUZZ_FUZZ_H
#define CLOISON_TESTS_FUZZ_FUZZ_H

#include "common/base.h"
#include "common/bytes.h"
#include "common/fault.h"

typedef void fuzz_put_fn(void *arg, const char *name, const void *data, size_t len);

struct fuzz_target {
	const char *name;
	size_t max_len;
	void (*run)(const uint8_t *data, size_t len);
	/* Gives inputs to start from: what tests/fuzz/corpus has of them is made by `test_fuzz --seeds`. */
	void (*seeds)(fuzz_put_fn *put, void *arg);
};

/* All of them; the order is that of test_fuzz.c. */
extern const struct fuzz_target fuzz_acl, fuzz_dir, fuzz_engine, fuzz_inode, fuzz_journal, fuzz_label, fuzz_opts,
	fuzz_root, fuzz_tpm, fuzz_tree, fuzz_volume_json, fuzz_xattr;

/* Once per process, before the first run. */
void fuzz_init(void);
/* One run: nothing of it stays behind. */
void fuzz_run(const struct fuzz_target *t, const uint8_t *data, size_t len);
/* Says what is wrong and ends the process as a crash. */
_Noreturn void fuzz_fail(const char *file, int line, const char *fmt, ...) CL_PRINTF(3, 4);
#define FUZZ_CHECK(cond, ...)                                       \
	do {                                                        \
		if (!(cond))                                        \
			fuzz_fail(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)
/* A call that cannot fail on any input. */
#define FUZZ_OK(call)                                                         \
	do {                                                                  \
		int fuzz_err_ = (call);                                       \
		FUZZ_CHECK(fuzz_err_ == 0, "%s: error %d", #call, fuzz_err_); \
	} while (0)
/* A result is 0 or one of those listed. */
#define FUZZ_ERROR(err, ...) fuzz_error(__FILE__, __LINE__, #err, err, (const int[]){ __VA_ARGS__, 0 })
void fuzz_error(const char *file, int line, const char *what, int err, const int *known);
/* An error that comes with a sentence: there is one, in one line of plain text. */
void fuzz_check_fault(const struct fault *f, int err);

/* Reading an input from its start; what is not there is zeros. */
struct fuzz_in {
	const uint8_t *p;
	size_t n;
};
uint8_t fuzz_u8(struct fuzz_in *in);
uint16_t fuzz_u16(struct fuzz_in *in);
uint32_t fuzz_u32(struct fuzz_in *in);
uint64_t fuzz_u64(struct fuzz_in *in);
/* At most n bytes; *ret_n says how many. */
const uint8_t *fuzz_bytes(struct fuzz_in *in, size_t n, size_t *ret_n);
/* At most n bytes of it, and at most room, to a place. */
void fuzz_place(struct fuzz_in *in, size_t n, uint8_t *to, size_t room);
/*
 * Changes base[0 .. len - 1] by what is left of the input: offset[2], number[1], then that many bytes, over and
 * over. Most mutations of such an input leave the rest of the base as it is.
 */
void fuzz_patch(struct fuzz_in *in, uint8_t *base, size_t len);

/* Writing one, for seeds. */
struct fuzz_out {
	size_t n;
	uint8_t p[65536];
};
void fuzz_put_u8(struct fuzz_out *o, uint8_t v);
void fuzz_put_u16(struct fuzz_out *o, uint16_t v);
void fuzz_put_u64(struct fuzz_out *o, uint64_t v);
void fuzz_put_bytes(struct fuzz_out *o, const void *p, size_t n);
/* One piece for fuzz_patch. */
void fuzz_put_patch(struct fuzz_out *o, size_t off, const void *p, size_t n);

#endif
