/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Compiler helpers that every module shares; no code of its own. */
#ifndef CLOISON_COMMON_BASE_H
#define CLOISON_COMMON_BASE_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The result must be looked at. */
#define CL_MUST_USE __attribute__((warn_unused_result))
#define CL_PRINTF(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))
#define CL_UNUSED __attribute__((unused))
#define CL_CLEANUP(fn) __attribute__((cleanup(fn)))

#define CL_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CL_PAGE 4096u /* bytes of a page, on disk and in memory */

#define CL_MIN(a, b) ((a) < (b) ? (a) : (b))
#define CL_MAX(a, b) ((a) > (b) ? (a) : (b))

#define CL_CONTAINER(ptr, type, member) ((type *)((uintptr_t)(ptr)-offsetof(type, member)))

/* Exit codes of cloison, mkfs.cloison and mount.cloison (cloison(8)). */
enum cl_exit {
	CL_EXIT_OK = 0,
	CL_EXIT_FAILED = 1,
	CL_EXIT_USAGE = 2,
	CL_EXIT_DENIED = 3,    /* denied by label */
	CL_EXIT_KEY = 4,       /* key unavailable */
	CL_EXIT_INTEGRITY = 5, /* did not authenticate, or malformed */
	CL_EXIT_POLICY = 6,    /* policy or label text */
	CL_EXIT_AUDIT = 7,
	CL_EXIT_TPM = 8
};

#endif
