/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Command lines and option lists. */
#include "tools/common/opts.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const char *name_of(const struct option *longs, int key)
{
	for (; longs->name; longs++)
		if (longs->val == key)
			return longs->name;
	return NULL;
}

/* getopt leaves the letter in optopt, or 0 when a long option is unknown; then the argument itself is the name. */
static int bad_option(char **argv, int was, int got, const struct option *longs, struct fault *f)
{
	const char *name = name_of(longs, optopt);
	bool letter = optopt > 0 && optopt < 256;
	const char *arg = was > 0 && argv[was] ? argv[was] : "";
	if (got == ':') {
		if (letter && strncmp(arg, "--", 2))
			return fault_set(f, -EINVAL, CL_EXIT_USAGE, "option -%c needs a value", optopt);
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "option --%s needs a value", name ? name : arg);
	}
	if (!strncmp(arg, "--", 2)) {
		if (optopt && name)
			return fault_set(f, -EINVAL, CL_EXIT_USAGE, "option --%s takes no value", name);
		int len = (int)strcspn(arg, "=");
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "unknown option %.*s", len, arg);
	}
	if (letter && isprint(optopt))
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "unknown option -%c", optopt);
	return fault_set(f, -EINVAL, CL_EXIT_USAGE, "unknown option %s", arg);
}

int opts_next(int argc, char **argv, const char *shorts, const struct option *longs, struct fault *f)
{
	/* A ':' in front (behind a '+') makes getopt tell a missing value from an unknown option. */
	char with[64];
	bool plus = shorts[0] == '+';
	snprintf(with, sizeof with, "%s:%s", plus ? "+" : "", shorts + plus);

	opterr = 0;
	optopt = 0;
	int before = optind ? optind : 1;
	int got = getopt_long(argc, argv, with, longs, NULL);
	if (got == -1)
		return OPTS_END;
	if (got == '?' || got == ':') {
		/*
		 * Permutation may have moved the culprit: it is the argument before optind, or, within a cluster, at
		 * it.
		 */
		int was = optind > before ? optind - 1 : optind;
		return bad_option(argv, was, got, longs, f);
	}
	return got;
}

int opts_list_next(char **cursor, char **ret_name, char **ret_value, struct fault *f)
{
	char *in = *cursor;
	while (*in == ',')
		in++;
	if (!*in) {
		*cursor = in;
		return 0;
	}
	char *name = in, *out = in, *value = NULL;
	bool quoted = false;
	for (; *in && (quoted || *in != ','); in++) {
		if (*in == '\\' && (in[1] == ',' || in[1] == '"' || in[1] == '\\')) {
			*out++ = *++in;
		} else if (*in == '"') {
			quoted = !quoted;
		} else if (*in == '=' && !value && !quoted) {
			*out++ = '\0';
			value = out;
		} else {
			*out++ = *in;
		}
	}
	if (quoted)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "option %.40s: a quote is opened and not closed", name);
	*cursor = *in ? in + 1 : in;
	*out = '\0';
	*ret_name = name;
	*ret_value = value;
	return 1;
}

/* Digits only: no sign, no space, no 0x. */
static int parse(const char *text, uint64_t *ret, const char **rest)
{
	uint64_t v = 0;
	const char *p = text;
	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return -ERANGE;
	*ret = v;
	*rest = p;
	return 0;
}

int opts_size(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *ret, struct fault *f)
{
	uint64_t v = 0;
	const char *rest = "";
	int err = text ? parse(text, &v, &rest) : -EINVAL;
	if (!err && *rest) {
		static const char units[] = "KMG";
		const char *u = strchr(units, toupper((unsigned char)*rest));
		if (!u || rest[1])
			err = -EINVAL;
		else if (__builtin_mul_overflow(v, (uint64_t)1024 << (10 * (unsigned)(u - units)), &v))
			err = -ERANGE;
	}
	if (!err && (v < min || v > max))
		err = -ERANGE;
	if (err == -EINVAL)
		return fault_set(f, err, CL_EXIT_USAGE, "%s: expected a size such as 64M, not '%s'", name,
				 text ? text : "");
	if (err)
		return fault_set(f, err, CL_EXIT_USAGE, "%s: %s is out of range: %ju to %ju bytes", name, text,
				 (uintmax_t)min, (uintmax_t)max);
	*ret = v;
	return 0;
}

int opts_number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *ret, struct fault *f)
{
	uint64_t v = 0;
	const char *rest = "";
	int err = text ? parse(text, &v, &rest) : -EINVAL;
	if (!err && *rest)
		err = -EINVAL;
	if (!err && (v < min || v > max))
		err = -ERANGE;
	if (err == -EINVAL)
		return fault_set(f, err, CL_EXIT_USAGE, "%s: expected a number, not '%s'", name, text ? text : "");
	if (err)
		return fault_set(f, err, CL_EXIT_USAGE, "%s: %s is out of range: %ju to %ju", name, text,
				 (uintmax_t)min, (uintmax_t)max);
	*ret = v;
	return 0;
}

int opts_fd(const char *name, const char *text, int *ret, struct fault *f)
{
	uint64_t v;
	int err = opts_number(name, text, 0, 65535, &v, f);
	if (err)
		return err;
	if (fcntl((int)v, F_GETFD) < 0)
		return fault_set(f, -EBADF, CL_EXIT_USAGE, "%s: descriptor %d is not open", name, (int)v);
	*ret = (int)v;
	return 0;
}
