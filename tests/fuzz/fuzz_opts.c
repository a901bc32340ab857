/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: command lines, -o lists, numbers, and lines of the kernel's list of mounts (users choose the names in
 * them). Input: what[1], text. The arguments of a command line are separated by newlines.
 */
#include "tests/fuzz/fuzz.h"

#include "tools/common/mount_opts.h"
#include "tools/common/mtab.h"
#include "tools/common/opts.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS_MAX = 64 };
enum { WHAT_LINE, WHAT_LIST, WHAT_MOUNT, WHAT_NUMBER, WHAT_MTAB, WHAT_N };

static const struct option longs[] = {
	{ "label", required_argument, NULL, 'l' },
	{ "tpm2", required_argument, NULL, OPTS_OWN },
	{ "journal", required_argument, NULL, OPTS_OWN + 1 },
	{ "json", no_argument, NULL, 'j' },
	{ "force", optional_argument, NULL, 'f' },
	OPTS_COMMON,
};

static void line(char *text)
{
	static const char *const shorts[] = { "l:jf", "+l:jf", "", "o:nsvf" };
	char *argv[ARGS_MAX + 2] = { (char[]){ "prog" } }, *save = NULL;
	int argc = 1;

	const char *set = shorts[(uint8_t)text[0] % CL_ARRAY_LEN(shorts)];
	for (char *a = strtok_r(*text ? text + 1 : text, "\n", &save); a && argc <= ARGS_MAX;
	     a = strtok_r(NULL, "\n", &save))
		argv[argc++] = a;
	argv[argc] = NULL;
	optind = 0;
	for (unsigned n = 0;; n++) {
		struct fault f = { 0 };
		int got = opts_next(argc, argv, set, longs, &f);
		if (got == OPTS_END)
			break;
		FUZZ_CHECK(n < 100000, "no end");
		if (got < 0) {
			FUZZ_ERROR(got, -EINVAL);
			fuzz_check_fault(&f, got);
			FUZZ_CHECK(f.exit == CL_EXIT_USAGE, "exit %d", f.exit);
			break;
		}
		FUZZ_CHECK(!f.text[0], "a sentence without an error");
		FUZZ_CHECK(got == OPTS_HELP || got == OPTS_VERSION || got == OPTS_OWN || got == OPTS_OWN + 1 ||
				   strchr("ljfonsv", got),
			   "option %d", got);
		if (got == OPTS_OWN || (got == 'l' && set[0]))
			FUZZ_CHECK(optarg, "no value");
	}
	FUZZ_CHECK(optind >= 1 && optind <= argc, "optind %d", optind);
}

static void list(char *text)
{
	char *cursor = text, *end = text + strlen(text), *name, *value;
	struct fault f = { 0 };
	int got;

	while ((got = opts_list_next(&cursor, &name, &value, &f)) > 0) {
		FUZZ_CHECK(name >= text && name <= end && cursor >= name && cursor <= end, "beside the list");
		FUZZ_CHECK(name + strlen(name) <= cursor, "a name reaches behind its item");
		FUZZ_CHECK(!value || (value > name && value + strlen(value) <= cursor),
			   "a value reaches behind its item");
	}
	FUZZ_ERROR(got, -EINVAL);
	if (got)
		fuzz_check_fault(&f, got);
}

static void mount_list(const char *text, bool sloppy, bool is_root)
{
	struct mount_opts m;
	struct fault f = { 0 };

	mount_opts_init(&m);
	int err = mount_opts_parse(&m, text, sloppy, is_root, &f);
	FUZZ_ERROR(err, -EINVAL, -EPERM, -ERANGE);
	if (err)
		fuzz_check_fault(&f, err);
	FUZZ_CHECK(err != -EPERM || !is_root, "root may not");
	FUZZ_CHECK(m.commit_seconds <= 3600, "commit=%u", m.commit_seconds);
	FUZZ_CHECK(!m.cache_bytes || (m.cache_bytes >= 4u << 20 && m.cache_bytes <= (uint64_t)1 << 40), "cache=");
	FUZZ_CHECK(is_root || (!m.suid && !m.dev), "suid or dev for a user");
	FUZZ_CHECK((!m.key.label || *m.key.label) && (!m.key.tpm2 || *m.key.tpm2), "an empty value");
	mount_opts_done(&m);
}

static void number(const char *text)
{
	struct fault f = { 0 }, g = { 0 };
	uint64_t v = 0, w = 0;
	int fd;

	int err = opts_number("number", text, 3, UINT64_MAX - 1, &v, &f);
	int err2 = opts_size("size", text, 3, UINT64_MAX - 1, &w, &g);
	FUZZ_ERROR(err, -EINVAL, -ERANGE);
	FUZZ_ERROR(err2, -EINVAL, -ERANGE);
	if (err)
		fuzz_check_fault(&f, err);
	if (err2)
		fuzz_check_fault(&g, err2);
	FUZZ_CHECK(err || (v >= 3 && v < UINT64_MAX && v == strtoull(text, NULL, 10)), "another number");
	FUZZ_CHECK(err || (!err2 && v == w), "a number is no size");
	if (!err2 && err)
		FUZZ_CHECK(w % 1024 == 0, "not a multiple of its unit");
	f = (struct fault){ 0 };
	err = opts_fd("fd", text, &fd, &f);
	FUZZ_ERROR(err, -EINVAL, -ERANGE, -EBADF);
	if (err)
		fuzz_check_fault(&f, err);
}

static void mountinfo(char *text)
{
	char *end = text + strlen(text);
	struct mtab_entry e;
	int err = mtab_parse(text, &e);

	FUZZ_ERROR(err, -EUCLEAN);
	if (err)
		return;
	const char *const fields[] = { e.target, e.source, e.type, e.options };
	for (size_t i = 0; i < CL_ARRAY_LEN(fields); i++)
		FUZZ_CHECK(fields[i] >= text && fields[i] + strlen(fields[i]) <= end, "field %zu is beside the line",
			   i);
	FUZZ_CHECK(*e.target && *e.type, "an empty field");
	(void)mtab_owner(&e);
}

static void run(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	uint8_t what = fuzz_u8(&in);
	char *text = malloc(in.n + 1);

	FUZZ_CHECK(text, "out of memory");
	if (in.n)
		memcpy(text, in.p, in.n);
	text[in.n] = '\0';
	switch (what % WHAT_N) {
	case WHAT_LINE:
		line(text);
		break;
	case WHAT_LIST:
		list(text);
		break;
	case WHAT_MOUNT:
		mount_list(text, what & 0x40, what & 0x80);
		break;
	case WHAT_NUMBER:
		number(text);
		break;
	case WHAT_MTAB:
		mountinfo(text);
		break;
	}
	free(text);
}

static void seeds(fuzz_put_fn *put, void *arg)
{
	static const struct {
		const char *name;
		uint8_t what;
		const char *text;
	} inputs[] = {
		{ "line", WHAT_LINE, "0--label\nS//A,B\n--tpm2=none\n-j\nvolume\n--force=x\n--" },
		{ "line-missing", WHAT_LINE, "0volume\n--label" },
		{ "line-unknown", WHAT_LINE, "1-jfx\n--labe=1\n--nothing=2" },
		{ "line-value", WHAT_LINE, "2--json=1" },
		{ "line-short", WHAT_LINE, "3-vnsf\n-oa,b\n-o" },
		{ "list", WHAT_LIST, "a,b=1,,c=\"x,y\"\\,z,d=\\\\,=" },
		{ "list-open", WHAT_LIST, "a=\"b,c" },
		{ "mount", WHAT_MOUNT,
		  "ro,nosuid,label=\"S//REL A,B\",tpm2=none,commit=30,cache=64M,x-systemd.automount" },
		{ "mount-root", 0x84, "suid,dev,exec,passphrase-file=-" },
		{ "mount-sloppy", 0x43, "x=1,ro=2" },
		{ "mount-bad", WHAT_MOUNT, "suid,commit=0,cache=1,remount,nothing" },
		{ "number", WHAT_NUMBER, "18446744073709551614" },
		{ "number-over", WHAT_NUMBER, "18446744073709551616" },
		{ "size", WHAT_NUMBER, "17179869183G" },
		{ "size-bad", WHAT_NUMBER, "1 M" },
		{ "mtab", WHAT_MTAB,
		  "36 35 98:0 /root /mnt\\040x ro,nodev shared:1 - fuse.cloison /vol\\134 ro,user_id=1000\n" },
		{ "mtab-empty", WHAT_MTAB, "36 35 0:99 / /m rw - tmpfs  rw\n" },
	};

	for (size_t k = 0; k < CL_ARRAY_LEN(inputs); k++) {
		struct fuzz_out o = { 0 };
		fuzz_put_u8(&o, inputs[k].what);
		fuzz_put_bytes(&o, inputs[k].text, strlen(inputs[k].text));
		put(arg, inputs[k].name, o.p, o.n);
	}
}

const struct fuzz_target fuzz_opts = { "opts", 2048, run, seeds };
