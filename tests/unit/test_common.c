/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tests of bytes, fault, log and file. */
#include "common/bytes.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/log.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(test_integers)
{
	static const uint8_t want[] = { 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01 };
	le16 a = le16_of(0xcdef);
	le32 b = le32_of(0x89abcdef);
	le64 c = le64_of(0x0123456789abcdef);

	ck_assert_mem_eq(&a, want, 2);
	ck_assert_mem_eq(&b, want, 4);
	ck_assert_mem_eq(&c, want, 8);
	ck_assert_uint_eq(le16_get(a), 0xcdef);
	ck_assert_uint_eq(le32_get(b), 0x89abcdef);
	ck_assert(le64_get(c) == 0x0123456789abcdef);
	ck_assert(bytes_are_zero("\0\0\0", 3) && !bytes_are_zero("\0\0\1", 3));
}
END_TEST

START_TEST(test_hex)
{
	static const char *const bad[] = { "", "00ff", "00ffa", "00ffa500", "00ffag", " 0ffa5", "0x00ff" };
	uint8_t out[3] = { 1, 2, 3 };
	char hex[7];

	bytes_to_hex("\x00\xff\xa5", 3, hex);
	ck_assert_str_eq(hex, "00ffa5");
	for (size_t i = 0; i < CL_ARRAY_LEN(bad); i++) {
		ck_assert_int_eq(bytes_from_hex(bad[i], out, 3), -EINVAL);
		ck_assert_mem_eq(out, "\1\2\3", 3); /* untouched */
	}
	ck_assert_int_eq(bytes_from_hex("00fFA5", out, 3), 0);
	ck_assert_mem_eq(out, "\x00\xff\xa5", 3);
	ck_assert_int_eq(bytes_from_hex("", out, 0), 0);
}
END_TEST

START_TEST(test_base64)
{
	/* RFC 4648 section 10. */
	static const char *const pairs[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xfb\xff", "+/8=" },
	};
	/* Cut, no digit, padding inside, too much padding, left-over bits set, white space. */
	static const char *const bad[] = { "Zg=",  "Zg",   "Z",    "Zm9-", "Zg==Zg==", "Z===",
					   "====", "Zh==", "ZE==", "Zm9=", "Zm9v\n",   " m9v" };
	char out[8];
	size_t len = 99;

	for (size_t i = 0; i < CL_ARRAY_LEN(pairs); i++) {
		size_t n = strlen(pairs[i][0]);
		char *text;

		ck_assert_int_eq(bytes_to_base64(pairs[i][0], n, &text), 0);
		ck_assert_str_eq(text, pairs[i][1]);
		free(text);
		ck_assert_int_eq(bytes_from_base64(pairs[i][1], out, n, &len), 0);
		ck_assert_uint_eq(len, n);
		ck_assert_mem_eq(out, pairs[i][0], n);
		if (n)
			ck_assert_int_eq(bytes_from_base64(pairs[i][1], out, n - 1, &len), -EOVERFLOW);
	}
	for (size_t i = 0; i < CL_ARRAY_LEN(bad); i++)
		ck_assert_msg(bytes_from_base64(bad[i], out, sizeof out, &len) == -EINVAL, "accepted '%s'", bad[i]);
}
END_TEST

START_TEST(test_fault)
{
	struct fault f = { 0 };
	char filler[700];

	ck_assert_int_eq(fault_set(NULL, -EIO, CL_EXIT_TPM, "x"), -EIO);
	ck_assert_int_eq(fault_wrap(NULL, -EIO, CL_EXIT_TPM, "x"), -EIO);
	ck_assert_int_eq(fault_set(&f, -ENOKEY, CL_EXIT_KEY, "no %s", "key"), -ENOKEY);
	ck_assert_int_eq(fault_set(&f, -EIO, CL_EXIT_TPM, "later"), -EIO);
	ck_assert_str_eq(f.text, "no key");
	ck_assert_int_eq(f.exit, CL_EXIT_KEY);
	ck_assert_int_eq(fault_wrap(&f, -EPERM, CL_EXIT_FAILED, "slot %d", 3), -EPERM);
	ck_assert_str_eq(f.text, "slot 3: no key");
	ck_assert_int_eq(f.exit, CL_EXIT_KEY);

	f = (struct fault){ 0 };
	ck_assert_int_eq(fault_wrap(&f, -EPERM, CL_EXIT_FAILED, "slot %d", 3), -EPERM);
	ck_assert_str_eq(f.text, "slot 3");
	ck_assert_int_eq(f.exit, CL_EXIT_FAILED);

	memset(filler, 'a', sizeof filler - 1);
	filler[sizeof filler - 1] = '\0';
	fault_wrap(&f, -EPERM, 0, "%s", filler);
	ck_assert_uint_eq(strlen(f.text), sizeof f.text - 1);
	fault_wrap(&f, -EPERM, 0, "b");
	ck_assert_uint_eq(strlen(f.text), sizeof f.text - 1);
	ck_assert(!strncmp(f.text, "b: aaa", 6));
}
END_TEST

struct seen {
	unsigned n;
	enum log_level lvl;
	char lines[4][2048];
};

static void see(enum log_level lvl, const char *line, void *arg)
{
	struct seen *s = arg;

	ck_assert_uint_lt(s->n, CL_ARRAY_LEN(s->lines));
	snprintf(s->lines[s->n++], sizeof s->lines[0], "%s", line);
	s->lvl = lvl;
	errno = 0; /* log_line must keep its caller's */
}

START_TEST(test_log_escape)
{
	static const char *const pairs[][2] = {
		{ "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x94\x91", "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x94\x91" },
		{ "a\nb\033[1m\x7f", "a\\x0ab\\x1b[1m\\x7f" },
		{ "back\\x0a", "back\\x5cx0a" },
		{ "C1 \xc2\x9b", "C1 \\xc2\\x9b" },
		{ "overlong \xc0\x8a \xe0\x80\x8a", "overlong \\xc0\\x8a \\xe0\\x80\\x8a" },
		{ "cut \xe2\x82", "cut \\xe2\\x82" },
		{ "override \xe2\x80\xae", "override \\xe2\\x80\\xae" },
	};
	struct seen s = { 0 };

	log_open("test", LOG_LVL_WARN, false);
	log_hook(see, &s);
	for (size_t i = 0; i < CL_ARRAY_LEN(pairs); i++) {
		s.n = 0;
		errno = ENOKEY;
		log_warn("%s", pairs[i][0]);
		ck_assert_int_eq(errno, ENOKEY);
		ck_assert_uint_eq(s.n, 1);
		ck_assert_int_eq(s.lvl, LOG_LVL_WARN);
		ck_assert_str_eq(s.lines[0], pairs[i][1]);
	}
	s.n = 0;
	log_info("%s", "below the level");
	ck_assert_uint_eq(s.n, 0);
	log_hook(NULL, NULL);
}
END_TEST

START_TEST(test_log_repeats)
{
	struct seen s = { 0 };

	log_open("test", LOG_LVL_INFO, false);
	log_hook(see, &s);
	for (int i = 0; i < 100; i++)
		log_err("full");
	ck_assert_uint_eq(s.n, 1);
	log_info("other");
	ck_assert_uint_eq(s.n, 3);
	ck_assert_str_eq(s.lines[0], "full");
	ck_assert_str_eq(s.lines[1], "last line repeated 99 times");
	ck_assert_str_eq(s.lines[2], "other");
	usleep(1050000);
	log_info("other"); /* a second later it is news */
	ck_assert_uint_eq(s.n, 4);
	log_hook(NULL, NULL);
}
END_TEST

/* What really goes to stderr, the count left at exit included. */
START_TEST(test_log_stderr)
{
	char got[256];
	int p[2], status;
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe(p), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		if (dup2(p[1], STDERR_FILENO) < 0)
			_exit(1);
		log_open("me", LOG_LVL_DEBUG, false);
		log_err("one");
		log_info("two\n");
		log_debug("three");
		log_debug("three");
		exit(0);
	}
	close(p[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	n = read(p[0], got, sizeof got - 1);
	close(p[0]);
	ck_assert_int_gt(n, 0);
	got[n] = '\0';
	ck_assert_str_eq(got,
			 "me: error: one\nme: two\\x0a\nme: debug: three\nme: debug: last line repeated 1 times\n");
}
END_TEST

static char dir_name[] = "/tmp/cloison-test-XXXXXX";
static int dir_fd = -1;

static void dir_make(void)
{
	strcpy(dir_name + sizeof dir_name - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir_name));
	dir_fd = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dir_fd, 0);
}

/* Removes what is inside, and returns how many entries there were. */
static unsigned dir_empty(void)
{
	DIR *d = opendir(dir_name);
	struct dirent *e;
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) < 0)
			(void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
		n++;
	}
	closedir(d);
	return n;
}

static void dir_remove(void)
{
	dir_empty();
	close(dir_fd);
	rmdir(dir_name);
}

START_TEST(test_file_atomic)
{
	static char big[300000];
	struct stat st;
	char *buf;
	size_t len;

	memset(big, 'x', sizeof big);
	ck_assert_int_eq(file_write_atomic(dir_fd, "f", "old", 3), 0);
	umask(0777);
	ck_assert_int_eq(file_write_atomic(dir_fd, "f", big, sizeof big), 0);
	umask(022);
	ck_assert_int_eq(fstatat(dir_fd, "f", &st, 0), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(file_read_all(dir_fd, "f", sizeof big, &buf, &len), 0);
	ck_assert_uint_eq(len, sizeof big);
	ck_assert(!memcmp(buf, big, len) && buf[len] == '\0');
	free(buf);
	ck_assert_int_eq(file_read_all(dir_fd, "f", sizeof big - 1, &buf, &len), -EFBIG);

	/* Errors: nothing is left behind, the old file stands. */
	ck_assert_int_eq(mkdirat(dir_fd, "d", 0700), 0);
	ck_assert_int_eq(file_write_atomic(dir_fd, "d", "x", 1), -EISDIR);
	ck_assert_int_eq(file_write_atomic(dir_fd, "../f", "x", 1), -EINVAL);
	ck_assert_int_eq(file_write_atomic(dir_fd, "", "x", 1), -EINVAL);
	memset(big, 'n', 250);
	big[250] = '\0';
	ck_assert_int_eq(file_write_atomic(dir_fd, big, "x", 1), -ENAMETOOLONG);
	ck_assert_uint_eq(dir_empty(), 2);
}
END_TEST

START_TEST(test_file_read_odd)
{
	char *buf;
	size_t len;

	ck_assert_int_eq(file_write_atomic(dir_fd, "f", "", 0), 0);
	ck_assert_int_eq(file_read_all(dir_fd, "f", 0, &buf, &len), 0);
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(buf[0], '\0');
	free(buf);
	ck_assert_int_eq(symlinkat("f", dir_fd, "link"), 0);
	ck_assert_int_eq(file_read_all(dir_fd, "link", 9, &buf, &len), -EUCLEAN);
	ck_assert_int_eq(mkfifoat(dir_fd, "fifo", 0600), 0);
	ck_assert_int_eq(file_read_all(dir_fd, "fifo", 9, &buf, &len), -EUCLEAN);
	ck_assert_int_eq(file_read_all(dir_fd, ".", 9, &buf, &len), -EUCLEAN);
	ck_assert_int_eq(file_read_all(dir_fd, "none", 9, &buf, &len), -ENOENT);
	/* A file whose size stat does not tell. */
	ck_assert_int_eq(file_read_all(AT_FDCWD, "/proc/self/maps", 1 << 20, &buf, &len), 0);
	ck_assert_uint_gt(len, 256);
	ck_assert_uint_eq(strlen(buf), len);
	free(buf);
}
END_TEST

START_TEST(test_file_full)
{
	int fd = openat(dir_fd, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600), p[2];
	char b[8];

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(file_pwrite_full(fd, "abcdef", 6, 2), 0);
	ck_assert_int_eq(file_pread_full(fd, b, 8, 0), 0);
	ck_assert_mem_eq(b, "\0\0abcdef", 8);
	ck_assert_int_eq(file_pread_full(fd, b, 8, 1), -ENODATA);
	close(fd);
	ck_assert_int_eq(file_pread_full(fd, b, 1, 0), -EBADF);

	ck_assert_int_eq(pipe(p), 0); /* short reads: the pieces come one by one */
	ck_assert_int_eq(file_write_full(p[1], "ab", 2), 0);
	ck_assert_int_eq(file_write_full(p[1], "cd", 2), 0);
	ck_assert_int_eq(file_read_full(p[0], b, 3), 0);
	ck_assert_mem_eq(b, "abc", 3);
	close(p[1]);
	ck_assert_int_eq(file_read_full(p[0], b, 2), -ENODATA);
	close(p[0]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("common");
	TCase *t = tcase_create("memory"), *files = tcase_create("files");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_integers);
	tcase_add_test(t, test_hex);
	tcase_add_test(t, test_base64);
	tcase_add_test(t, test_fault);
	tcase_add_test(t, test_log_escape);
	tcase_add_test(t, test_log_repeats);
	tcase_add_test(t, test_log_stderr);
	tcase_add_checked_fixture(files, dir_make, dir_remove);
	tcase_add_test(files, test_file_atomic);
	tcase_add_test(files, test_file_read_odd);
	tcase_add_test(files, test_file_full);
	suite_add_tcase(s, t);
	suite_add_tcase(s, files);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
