/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Command lines and option lists: what getopt_long(3) and mount(8) promise, with errors as sentences. */
#ifndef CLOISON_TOOLS_OPTS_H
#define CLOISON_TOOLS_OPTS_H

#include "common/base.h"
#include "common/fault.h"

#include <getopt.h>

#define OPTS_END (-1)
enum { /* keys of long options without a letter start behind these */
	OPTS_HELP = 1000,
	OPTS_VERSION,
	OPTS_OWN
};
/* The entries that every command's table ends with. */
#define OPTS_COMMON                                                                               \
	{ "help", no_argument, NULL, OPTS_HELP }, { "version", no_argument, NULL, OPTS_VERSION }, \
	{                                                                                         \
		NULL, 0, NULL, 0                                                                  \
	}

/*
 * The next option as getopt_long gives it (optarg and optind as there), OPTS_END, or -EINVAL with a sentence that names
 * the option. shorts: without a leading ':' ('+' is fine). A fresh command line starts with optind = 0.
 */
int opts_next(int argc, char **argv, const char *shorts, const struct option *longs, struct fault *f) CL_MUST_USE;

/*
 * Takes the next item off a comma-separated list, in place. Quoting as in mount(8): commas within double quotes
 * belong to the value, quotes are removed; a backslash in front of a comma, a quote or a backslash takes it as it
 * stands. Empty items are skipped. 1: *ret_name and *ret_value (NULL when there is no '=') point into the list; 0:
 * end; -EINVAL: a quote is not closed.
 */
int opts_list_next(char **cursor, char **ret_name, char **ret_value, struct fault *f) CL_MUST_USE;

/*
 * A whole number of bytes with an optional K, M or G (powers of 1024). -EINVAL, -ERANGE (not min .. max), with a
 * sentence.
 */
int opts_size(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *ret, struct fault *f)
	CL_MUST_USE;
/* A whole decimal number. */
int opts_number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *ret, struct fault *f)
	CL_MUST_USE;
/* A descriptor that is open. */
int opts_fd(const char *name, const char *text, int *ret, struct fault *f) CL_MUST_USE;

#endif
