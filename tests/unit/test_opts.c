/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Command lines, option lists, labels of mkfs, mount options. */
#include "tools/common/label_spec.h"
#include "tools/common/mount_opts.h"
#include "tools/common/opts.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ck_says(f, part) ck_assert_msg(strstr((f).text, part) != NULL, "'%s' is not in '%s'", part, (f).text)

static const struct option longs[] = {
	{ "name", required_argument, NULL, OPTS_OWN },
	{ "json", no_argument, NULL, OPTS_OWN + 1 },
	OPTS_COMMON
};

/* Runs a command line; the keys that came, -EINVAL at the end of it if it failed. */
static int line(struct fault *f, int *keys, int max, ...)
{
	char *argv[16] = { NULL };
	int argc = 0, n = 0, got;
	va_list ap;
	va_start(ap, max);
	argv[argc++] = strdup("cmd");
	for (const char *a; (a = va_arg(ap, const char *));)
		argv[argc++] = strdup(a);
	va_end(ap);
	optind = 0;
	*f = (struct fault){ 0 };
	while ((got = opts_next(argc, argv, "vo:", longs, f)) != OPTS_END && n < max) {
		keys[n++] = got;
		if (got < 0)
			break;
	}
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return n;
}

START_TEST(command_line)
{
	struct fault f;
	int k[8];
	ck_assert_int_eq(line(&f, k, 8, "-v", "dir", "--name=x", "--json", "-o", "a,b", NULL), 4);
	ck_assert_int_eq(k[0], 'v');
	ck_assert_int_eq(k[1], OPTS_OWN);
	ck_assert_int_eq(k[2], OPTS_OWN + 1);
	ck_assert_int_eq(k[3], 'o');
	ck_assert_int_eq(line(&f, k, 8, "--help", NULL), 1);
	ck_assert_int_eq(k[0], OPTS_HELP);
	/* Behind -- nothing is an option. */
	ck_assert_int_eq(line(&f, k, 8, "-v", "--", "--json", NULL), 1);
}
END_TEST

START_TEST(command_line_errors)
{
	static const struct {
		const char *arg[3];
		const char *says;
	} bad[] = {
		{ { "--nonsense" }, "unknown option --nonsense" },
		{ { "--nonsense=1" }, "unknown option --nonsense" },
		{ { "dir", "--nonsense" }, "unknown option --nonsense" },
		{ { "-x" }, "unknown option -x" },
		{ { "-vx" }, "unknown option -x" },
		{ { "-vx", "dir" }, "unknown option -x" },
		{ { "--name" }, "option --name needs a value" },
		{ { "-o" }, "option -o needs a value" },
		{ { "-vo" }, "option -o needs a value" },
		{ { "--json=1" }, "option --json takes no value" },
	};
	for (size_t i = 0; i < CL_ARRAY_LEN(bad); i++) {
		struct fault f;
		int k[8];
		int n = line(&f, k, 8, bad[i].arg[0], bad[i].arg[1], bad[i].arg[2], NULL);
		ck_assert_int_gt(n, 0);
		ck_assert_int_eq(k[n - 1], -EINVAL);
		ck_assert_str_eq(f.text, bad[i].says);
		ck_assert_int_eq(f.exit, CL_EXIT_USAGE);
	}
}
END_TEST

/* "name|value;name|-" of a list, or "!" for an error. */
static const char *items(const char *list)
{
	static char out[512];
	char *copy = strdup(list), *cursor = copy, *name, *value;
	struct fault f = { 0 };
	int got;
	out[0] = '\0';
	while ((got = opts_list_next(&cursor, &name, &value, &f)) > 0) {
		size_t n = strlen(out);
		snprintf(out + n, sizeof out - n, "%s|%s;", name, value ? value : "-");
	}
	if (got < 0) {
		ck_assert_int_eq(got, -EINVAL);
		ck_says(f, "quote");
		snprintf(out, sizeof out, "!");
	}
	free(copy);
	return out;
}

START_TEST(option_lists)
{
	ck_assert_str_eq(items(""), "");
	ck_assert_str_eq(items(",,"), "");
	ck_assert_str_eq(items("ro"), "ro|-;");
	ck_assert_str_eq(items("ro,,rw,"), "ro|-;rw|-;");
	ck_assert_str_eq(items("label=SECRET//A,ro"), "label|SECRET//A;ro|-;");
	ck_assert_str_eq(items("label=\"S//REL USA,FRA\",ro"), "label|S//REL USA,FRA;ro|-;");
	ck_assert_str_eq(items("label=S//REL USA\\,FRA,ro"), "label|S//REL USA,FRA;ro|-;");
	ck_assert_str_eq(items("label=a\\\"b,x=\\\\"), "label|a\"b;x|\\;");
	ck_assert_str_eq(items("a=b=c"), "a|b=c;");
	ck_assert_str_eq(items("a=,b"), "a|;b|-;");
	ck_assert_str_eq(items("tpm2=\"swtpm:host=h,port=1\""), "tpm2|swtpm:host=h,port=1;");
	ck_assert_str_eq(items("a=\"b,c"), "!");
	ck_assert_str_eq(items("C:\\x"), "C:\\x|-;");
}
END_TEST

START_TEST(numbers)
{
	struct fault f = { 0 };
	uint64_t v = 0;
	ck_assert_int_eq(opts_size("s", "64M", 0, UINT64_MAX, &v, &f), 0);
	ck_assert_uint_eq(v, 64u << 20);
	ck_assert_int_eq(opts_size("s", "3k", 0, UINT64_MAX, &v, &f), 0);
	ck_assert_uint_eq(v, 3072);
	ck_assert_int_eq(opts_size("s", "2G", 0, UINT64_MAX, &v, &f), 0);
	ck_assert_uint_eq(v, (uint64_t)2 << 30);
	ck_assert_int_eq(opts_size("s", "18446744073709551615", 0, UINT64_MAX, &v, &f), 0);
	ck_assert_uint_eq(v, UINT64_MAX);
	static const char *const bad[] = { "", "-1", " 1", "1 ", "0x10", "1T", "1MB", "M", "1.5G" };
	for (size_t i = 0; i < CL_ARRAY_LEN(bad); i++) {
		f = (struct fault){ 0 };
		ck_assert_int_eq(opts_size("s", bad[i], 0, UINT64_MAX, &v, &f), -EINVAL);
		ck_assert_int_eq(f.exit, CL_EXIT_USAGE);
	}
	ck_assert_int_eq(opts_size("s", "18446744073709551616", 0, UINT64_MAX, &v, NULL), -ERANGE);
	ck_assert_int_eq(opts_size("s", "18446744073709551615K", 0, UINT64_MAX, &v, NULL), -ERANGE);
	ck_assert_int_eq(opts_size("s", "9", 10, 20, &v, NULL), -ERANGE);
	ck_assert_int_eq(opts_size("s", "21", 10, 20, &v, NULL), -ERANGE);
	ck_assert_int_eq(opts_number("n", "20", 10, 20, &v, NULL), 0);
	ck_assert_uint_eq(v, 20);
	ck_assert_int_eq(opts_number("n", "1K", 0, 2000, &v, NULL), -EINVAL);
	int fd = -1;
	ck_assert_int_eq(opts_fd("fd", "1", &fd, NULL), 0);
	ck_assert_int_eq(fd, 1);
	ck_assert_int_eq(opts_fd("fd", "4711", &fd, NULL), -EBADF);
}
END_TEST

START_TEST(mount_options)
{
	struct mount_opts m;
	struct fault f = { 0 };
	mount_opts_init(&m);
	ck_assert(!m.suid && !m.dev && m.exec && !m.read_only);
	ck_assert_int_eq(
		mount_opts_parse(&m,
				 "rw,label=\"S//REL USA,FRA\",tpm2=swtpm:path=/x,pin-file=/p,noexec,commit=7,"
				 "cache=128M,allow_other,_netdev,nofail,x-systemd.automount,noauto,users,user=me,"
				 "relatime,X-mount.mkdir=0700,comment=a",
				 false, false, &f),
		0);
	ck_assert_str_eq(m.key.label, "S//REL USA,FRA");
	ck_assert_str_eq(m.key.tpm2, "swtpm:path=/x");
	ck_assert_str_eq(m.key.pin_file, "/p");
	ck_assert_ptr_null(m.key.passphrase_file);
	ck_assert(!m.exec && m.allow_other && !m.multi && !m.read_only);
	ck_assert_uint_eq(m.commit_seconds, 7);
	ck_assert_uint_eq(m.cache_bytes, 128u << 20);
	/* Later lists win. */
	ck_assert_int_eq(mount_opts_parse(&m, "ro,exec,label=B,multi", false, false, &f), 0);
	ck_assert_str_eq(m.key.label, "B");
	ck_assert(m.exec && m.read_only && m.multi);
	mount_opts_done(&m);
}
END_TEST

START_TEST(mount_option_errors)
{
	static const struct {
		const char *list, *says;
	} bad[] = {
		{ "lable=A", "unknown option lable" },
		{ "ro,nonsense", "unknown option nonsense" },
		{ "relatime=1", "unknown option relatime" },
		{ "ro=1", "option ro takes no value" },
		{ "label", "option label needs a value" },
		{ "label=", "option label needs a value" },
		{ "anchor=sync", "option anchor is not available" },
		{ "remount,ro", "option remount" },
		{ "sync", "option sync is not available" },
		{ "suid", "option suid is for root" },
		{ "dev", "option dev is for root" },
		{ "commit=x", "option commit" },
		{ "commit=0", "option commit" },
		{ "commit", "option commit" },
		{ "cache=1", "option cache" },
		{ "label=\"A", "quote" },
	};
	for (size_t i = 0; i < CL_ARRAY_LEN(bad); i++) {
		struct mount_opts m;
		struct fault f = { 0 };
		mount_opts_init(&m);
		ck_assert_int_lt(mount_opts_parse(&m, bad[i].list, false, false, &f), 0);
		ck_says(f, bad[i].says);
		ck_assert_int_eq(f.exit, CL_EXIT_USAGE);
		mount_opts_done(&m);
	}
	struct mount_opts m;
	mount_opts_init(&m);
	ck_assert_int_eq(mount_opts_parse(&m, "nonsense,suid,dev", true, true, NULL), 0);
	ck_assert(m.suid && m.dev);
	/* Sloppy forgives what is unknown, not what is wrong. */
	ck_assert_int_lt(mount_opts_parse(&m, "commit=x", true, true, NULL), 0);
	mount_opts_done(&m);
}
END_TEST

static void expect(const struct label_spec_list *l, size_t i, const char *text, const char *dir,
		   enum keyring_unlock unlock)
{
	ck_assert_uint_lt(i, l->n);
	ck_assert_str_eq(l->v[i].text, text);
	if (dir)
		ck_assert_str_eq(l->v[i].dir, dir);
	else
		ck_assert_ptr_null(l->v[i].dir);
	ck_assert_int_eq(l->v[i].unlock, unlock);
}

static void add(struct label_spec_list *l, const char *arg)
{
	struct fault f = { 0 };
	ck_assert_msg(label_spec_add(l, arg, &f) == 0, "%s: %s", arg, f.text);
}

START_TEST(label_list)
{
	struct label_spec_list l = { 0 };
	add(&l, "NP");
	add(&l, "SECRET//REL USA,FRA");
	add(&l, "SECRET//OPX,unlock=pin");
	add(&l, "SECRET//A,dir=ops,unlock=host");
	add(&l, "TRÈS SECRET UE/EU TOP SECRET//X");
	add(&l, "@us-capco:TOP SECRET//SI");
	add(&l, "\"A,dir=B\",dir=c");
	add(&l, "SECRET//Z,dir=secret-3");
	ck_assert_int_eq(label_spec_finish(&l, NULL), 0);
	expect(&l, 0, "NP", NULL, KEYRING_HOST);
	expect(&l, 1, "SECRET//REL USA,FRA", "secret", KEYRING_HOST);
	expect(&l, 2, "SECRET//OPX", "secret-2", KEYRING_PIN);
	expect(&l, 3, "SECRET//A", "ops", KEYRING_HOST);
	expect(&l, 4, "TRÈS SECRET UE/EU TOP SECRET//X", "très-secret-ue-eu-top-secret", KEYRING_HOST);
	expect(&l, 5, "@us-capco:TOP SECRET//SI", "top-secret", KEYRING_HOST);
	expect(&l, 6, "A,dir=B", "c", KEYRING_HOST);
	expect(&l, 7, "SECRET//Z", "secret-3", KEYRING_HOST);
	ck_assert(label_spec_needs_pin(&l));
	label_spec_done(&l);

	ck_assert_int_eq(label_spec_finish(&l, NULL), 0);
	expect(&l, 0, LABEL_SPEC_DEFAULT, NULL, KEYRING_HOST);
	ck_assert(!label_spec_needs_pin(&l));
	label_spec_done(&l);
}
END_TEST

START_TEST(label_errors)
{
	static const struct {
		const char *arg, *says;
	} bad[] = {
		{ "", "1 to 1024 bytes" },
		{ ",unlock=pin", "1 to 1024 bytes" },
		{ "A,unlock=two-person", "two-person is not available" },
		{ "A,unlock=maybe", "unlock=maybe is not known" },
		{ "A,unlok=pin", "unknown item unlok" },
		{ "A,dir=", "no name" },
		{ "A,dir=a/b", "no name" },
		{ "A,dir=..", "no name" },
		{ "A,dir=a,dir=b", "twice" },
	};
	for (size_t i = 0; i < CL_ARRAY_LEN(bad); i++) {
		struct label_spec_list l = { 0 };
		struct fault f = { 0 };
		ck_assert_msg(label_spec_add(&l, bad[i].arg, &f) == -EINVAL, "%s", bad[i].arg);
		ck_says(f, bad[i].says);
		ck_assert_int_eq(f.exit, CL_EXIT_USAGE);
		label_spec_done(&l);
	}
	static const char *const lists[][3] = {
		{ "A,dir=x", "B", "takes no dir=" },
		{ "A", "A", "given twice" },
		{ "A,unlock=pin", "A", "given twice" },
	};
	for (size_t i = 0; i < CL_ARRAY_LEN(lists); i++) {
		struct label_spec_list l = { 0 };
		struct fault f = { 0 };
		add(&l, lists[i][0]);
		add(&l, lists[i][1]);
		ck_assert_int_eq(label_spec_finish(&l, &f), -EINVAL);
		ck_says(f, lists[i][2]);
		label_spec_done(&l);
	}
	struct label_spec_list l = { 0 };
	struct fault f = { 0 };
	add(&l, "A");
	add(&l, "B,dir=x");
	add(&l, "C,dir=x");
	ck_assert_int_eq(label_spec_finish(&l, &f), -EINVAL);
	ck_says(f, "dir=x is given twice");
	label_spec_done(&l);

	char *many = malloc(KEYRING_LABEL_MAX + 2);
	memset(many, 'A', KEYRING_LABEL_MAX + 1);
	many[KEYRING_LABEL_MAX + 1] = '\0';
	ck_assert_int_eq(label_spec_add(&l, many, NULL), -EINVAL);
	label_spec_done(&l);
	/* The longest level still gets a name that is short enough. */
	many[KEYRING_LABEL_MAX] = '\0';
	add(&l, "A");
	add(&l, many);
	ck_assert_int_eq(label_spec_finish(&l, NULL), 0);
	ck_assert_uint_le(strlen(l.v[1].dir), KEYRING_DIR_MAX);
	label_spec_done(&l);
	for (unsigned i = 0; i < KEYRING_MAX_LABELS; i++) {
		snprintf(many, 16, "L%u", i);
		add(&l, many);
	}
	ck_assert_int_eq(label_spec_add(&l, "one more", NULL), -EINVAL);
	label_spec_done(&l);
	free(many);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("opts");
	TCase *t = tcase_create("opts");
	tcase_add_test(t, command_line);
	tcase_add_test(t, command_line_errors);
	tcase_add_test(t, option_lists);
	tcase_add_test(t, numbers);
	tcase_add_test(t, mount_options);
	tcase_add_test(t, mount_option_errors);
	tcase_add_test(t, label_list);
	tcase_add_test(t, label_errors);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
