/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Memory for key material: locked, kept out of dumps and of forked children, wiped when freed. */
#ifndef CLOISON_COMMON_SECRET_H
#define CLOISON_COMMON_SECRET_H

#include "common/base.h"

/*
 * Opaque. Lives in memfd_secret(2) memory where the kernel has it, else in mmap'ed memory that is mlock'ed,
 * MADV_DONTDUMP and MADV_WIPEONFORK. Small secrets share locked pages, between guard pages. Thread-safe to create and
 * free; the bytes are the owner's to guard. A forked child has none of its parent's secrets: secret_bytes() gives NULL
 * there (raw addresses fault or hold zeros); it may free the handles and make secrets of its own.
 */
struct secret;

/*
 * New secret of len bytes (1 .. 65536), zeroed. Owned by the caller: secret_free().
 * -ENOMEM; -EPERM or -EAGAIN when the memory cannot be locked (advice: raise RLIMIT_MEMLOCK, `ulimit -l`).
 */
int secret_new(size_t len, struct secret **ret) CL_MUST_USE;
/* Same, filled from OpenSSL's private random generator. -EIO when that fails. */
int secret_new_random(size_t len, struct secret **ret) CL_MUST_USE;
/* Same, copied from src, which is wiped (so that one copy is left), also when this fails. */
int secret_new_take(void *src, size_t len, struct secret **ret) CL_MUST_USE;
/* Wipes and frees. NULL is allowed. */
void secret_free(struct secret *s);
/* For CL_CLEANUP: frees *s. */
void secret_freep(struct secret **s);
/* Moves: returns *s and sets it to NULL. */
struct secret *secret_steal(struct secret **s);

uint8_t *secret_bytes(struct secret *s);
const uint8_t *secret_cbytes(const struct secret *s);
size_t secret_len(const struct secret *s);
/* Shortens to len bytes (<= present length) and wipes the rest. */
void secret_trim(struct secret *s, size_t len);

/* Number of secrets alive in this process: tests end with 0. */
size_t secret_live(void);

/* Wipes memory that is not a struct secret (stack buffers); never optimised away. */
void secret_wipe(void *p, size_t n);
/* Constant time. True iff equal. */
bool secret_equal(const void *a, const void *b, size_t n);

/*
 * Reads a secret from a file or descriptor: all bytes to EOF, at most max, a single trailing newline dropped.
 * path "-" is standard input. max: 1 .. 65536, the newline not counted. -EINVAL; -EOVERFLOW when longer, -ENODATA when
 * empty, else errno of open/read.
 */
int secret_read_file(const char *path, size_t max, struct secret **ret) CL_MUST_USE;
int secret_read_fd(int fd, size_t max, struct secret **ret) CL_MUST_USE;

/* Makes this process undumpable and not traceable by its own user (PR_SET_DUMPABLE 0, RLIMIT_CORE 0). */
int secret_harden_process(void) CL_MUST_USE;

#endif
