/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the fuzz targets share: failing, reading an input, writing one. */
#include "tests/fuzz/fuzz.h"

#include "common/log.h"
#include "common/secret.h"
#include "fs/seal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quiet(enum log_level lvl CL_UNUSED, const char *line CL_UNUSED, void *arg CL_UNUSED)
{
}

static void loud(enum log_level lvl, const char *line, void *arg CL_UNUSED)
{
	fprintf(stderr, "log %d: %s\n", (int)lvl, line);
}

void fuzz_init(void)
{
	log_hook(getenv("FUZZ_LOG") ? loud : quiet, NULL);
	FUZZ_OK(seal_init());
}

void fuzz_run(const struct fuzz_target *t, const uint8_t *data, size_t len)
{
	static bool again; /* what a target makes for all runs, it makes in the first */
	size_t live = secret_live();

	t->run(data, len);
	seal_thread_done(); /* cached contexts lie where a leak checker does not look */
	FUZZ_CHECK(!again || secret_live() == live, "%zu secrets were left", secret_live() - live);
	again = true;
}

void fuzz_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

void fuzz_error(const char *file, int line, const char *what, int err, const int *known)
{
	while (*known && *known != err)
		known++;
	if (err != *known)
		fuzz_fail(file, line, "%s: error %d is none of those documented", what, err);
}

void fuzz_check_fault(const struct fault *f, int err)
{
	FUZZ_CHECK(err < 0, "%d is no error", err);
	FUZZ_CHECK(f->exit && f->text[0], "error %d without a sentence", err);
	FUZZ_CHECK(memchr(f->text, '\0', sizeof f->text), "a sentence without an end");
}

const uint8_t *fuzz_bytes(struct fuzz_in *in, size_t n, size_t *ret_n)
{
	const uint8_t *p = in->p;

	n = CL_MIN(n, in->n);
	in->p += n;
	in->n -= n;
	*ret_n = n;
	return p;
}

uint64_t fuzz_u64(struct fuzz_in *in)
{
	le64 v = { 0 };
	size_t n;
	const uint8_t *p = fuzz_bytes(in, sizeof v, &n);

	if (n)
		memcpy(&v, p, n);
	return le64_get(v);
}

uint32_t fuzz_u32(struct fuzz_in *in)
{
	le32 v = { 0 };
	size_t n;
	const uint8_t *p = fuzz_bytes(in, sizeof v, &n);

	if (n)
		memcpy(&v, p, n);
	return le32_get(v);
}

uint16_t fuzz_u16(struct fuzz_in *in)
{
	uint16_t low = fuzz_u8(in);

	return (uint16_t)(low | fuzz_u8(in) << 8);
}

uint8_t fuzz_u8(struct fuzz_in *in)
{
	size_t n;
	const uint8_t *p = fuzz_bytes(in, 1, &n);

	return n ? *p : 0;
}

void fuzz_place(struct fuzz_in *in, size_t n, uint8_t *to, size_t room)
{
	const uint8_t *p = fuzz_bytes(in, CL_MIN(n, room), &n);

	if (n)
		memcpy(to, p, n);
}

void fuzz_patch(struct fuzz_in *in, uint8_t *base, size_t len)
{
	while (in->n) {
		size_t off = fuzz_u16(in) % len, n = fuzz_u8(in);
		fuzz_place(in, n, base + off, len - off);
	}
}

void fuzz_put_bytes(struct fuzz_out *o, const void *p, size_t n)
{
	FUZZ_CHECK(n <= sizeof o->p - o->n, "a seed is too long");
	if (n)
		memcpy(o->p + o->n, p, n);
	o->n += n;
}

void fuzz_put_u8(struct fuzz_out *o, uint8_t v)
{
	fuzz_put_bytes(o, &v, 1);
}

void fuzz_put_u16(struct fuzz_out *o, uint16_t v)
{
	le16 b = le16_of(v);

	fuzz_put_bytes(o, &b, sizeof b);
}

void fuzz_put_u64(struct fuzz_out *o, uint64_t v)
{
	le64 b = le64_of(v);

	fuzz_put_bytes(o, &b, sizeof b);
}

void fuzz_put_patch(struct fuzz_out *o, size_t off, const void *p, size_t n)
{
	FUZZ_CHECK(n <= 255, "a piece is too long");
	fuzz_put_u16(o, (uint16_t)off);
	fuzz_put_u8(o, (uint8_t)n);
	fuzz_put_bytes(o, p, n);
}
