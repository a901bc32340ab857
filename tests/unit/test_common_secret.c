/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tests of secret memory: contents, wiping, the pool, limits, forks; with memfd_secret and without. */
#include "common/bytes.h"
#include "common/secret.h"

#include <check.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs fn in a child of its own and returns its exit status: tests change the process, also under CK_FORK=no. */
static int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid)
		_exit(fn());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "child died of signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

/* As on a kernel without memfd_secret(2). */
static void forbid_memfd_secret(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_secret, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { CL_ARRAY_LEN(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0)
		_exit(90);
}

static bool limit_memlock(rlim_t bytes)
{
	struct rlimit l = { bytes, bytes };

	if (setrlimit(RLIMIT_MEMLOCK, &l) < 0)
		return false;
	return geteuid() || setresuid(65534, 65534, 65534) == 0; /* root is exempt from the limit */
}

START_TEST(test_contents)
{
	struct secret *s = NULL, *t;
	uint8_t src[32];

	ck_assert_int_eq(secret_new(0, &s), -EINVAL);
	ck_assert_int_eq(secret_new(65537, &s), -EINVAL);
	ck_assert_ptr_null(s);
	ck_assert_int_eq(secret_new(65536, &s), 0);
	ck_assert(bytes_are_zero(secret_cbytes(s), 65536));
	memset(secret_bytes(s), 7, 65536);
	ck_assert_uint_eq(secret_live(), 1);
	secret_free(s);

	memset(src, 9, sizeof src);
	ck_assert_int_eq(secret_new_take(src, sizeof src, &s), 0);
	ck_assert(bytes_are_zero(src, sizeof src));
	ck_assert_uint_eq(secret_len(s), 32);
	ck_assert(secret_bytes(s)[0] == 9 && secret_bytes(s)[31] == 9);
	secret_trim(s, 40);
	ck_assert_uint_eq(secret_len(s), 32);
	secret_trim(s, 5);
	ck_assert_uint_eq(secret_len(s), 5);
	ck_assert(secret_bytes(s)[4] == 9 && bytes_are_zero(secret_bytes(s) + 5, 27));
	t = secret_steal(&s);
	ck_assert_ptr_null(s);
	secret_freep(&t);
	ck_assert_ptr_null(t);

	/* A source that cannot be taken is wiped all the same. */
	memset(src, 9, sizeof src);
	ck_assert_int_eq(secret_new_take(src, 0, &s), -EINVAL);
	secret_free(NULL);
	secret_freep(&t);
	ck_assert_uint_eq(secret_live(), 0);
}
END_TEST

START_TEST(test_random_and_compare)
{
	struct secret *a, *b;
	uint8_t x[3] = { 1, 2, 3 };

	ck_assert_int_eq(secret_new_random(32, &a), 0);
	ck_assert_int_eq(secret_new_random(32, &b), 0);
	ck_assert(!secret_equal(secret_cbytes(a), secret_cbytes(b), 32));
	ck_assert(!bytes_are_zero(secret_cbytes(a), 32));
	ck_assert(secret_equal(x, "\1\2\3", 3));
	ck_assert(!secret_equal(x, "\1\2\4", 3));
	ck_assert(secret_equal(x, "\1\2\4", 2));
	secret_wipe(x, 2);
	ck_assert_mem_eq(x, "\0\0\3", 3);
	secret_free(a);
	secret_free(b);
	ck_assert_uint_eq(secret_live(), 0);
}
END_TEST

/* Many lengths live at once, freed in another order: none may overlap, freed ones are wiped and used again. */
START_TEST(test_pool)
{
	enum { N = 600 };
	static struct secret *s[N];
	struct secret *a, *b;
	uint8_t *old;

	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < N; i++) {
			if (s[i])
				continue;
			ck_assert_int_eq(secret_new(1 + i * 37 % 900, &s[i]), 0);
			ck_assert(bytes_are_zero(secret_cbytes(s[i]), secret_len(s[i])));
			memset(secret_bytes(s[i]), (int)(i % 255 + 1), secret_len(s[i]));
		}
		ck_assert_uint_eq(secret_live(), N);
		for (size_t i = 0; i < N; i++) {
			for (size_t k = 0; k < secret_len(s[i]); k++)
				ck_assert_uint_eq(secret_bytes(s[i])[k], i % 255 + 1);
			if ((i + round) % 3)
				secret_freep(&s[i]);
		}
	}
	for (size_t i = 0; i < N; i++)
		secret_freep(&s[i]);
	ck_assert_uint_eq(secret_live(), 0);

	ck_assert_int_eq(secret_new(64, &a), 0);
	ck_assert_int_eq(secret_new(64, &b), 0);
	old = secret_bytes(a);
	memset(old, 0x5a, 64);
	secret_free(a);
	ck_assert(bytes_are_zero(old, 64)); /* still mapped: b lives there too */
	ck_assert_int_eq(secret_new(64, &a), 0);
	ck_assert_ptr_eq(secret_bytes(a), old);
	secret_free(a);
	secret_free(b);
	ck_assert_uint_eq(secret_live(), 0);
}
END_TEST

static void *churn(void *arg)
{
	uint8_t mark = *(const uint8_t *)arg;
	struct secret *s[8] = { NULL };
	void *bad = NULL;

	for (size_t i = 0; i < 4000; i++) {
		struct secret **p = &s[i % CL_ARRAY_LEN(s)];

		if (*p && secret_cbytes(*p)[secret_len(*p) - 1] != mark)
			bad = arg;
		secret_freep(p);
		if (secret_new(1 + i * 97 % 3000, p) < 0 || !bytes_are_zero(secret_cbytes(*p), secret_len(*p)))
			return arg;
		memset(secret_bytes(*p), mark, secret_len(*p));
	}
	for (size_t i = 0; i < CL_ARRAY_LEN(s); i++)
		secret_free(s[i]);
	return bad;
}

START_TEST(test_threads)
{
	uint8_t marks[3] = { 1, 2, 3 };
	pthread_t t[3];
	void *bad;

	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, churn, &marks[i]), 0);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(pthread_join(t[i], &bad), 0);
		ck_assert_ptr_null(bad);
	}
	ck_assert_uint_eq(secret_live(), 0);
}
END_TEST

#define FLAGS_MAX 512

/* Writes what smaps says of the mapping that holds p: " rd wr lo dd ... ". */
static void vm_flags(const void *p, char flags[static FLAGS_MAX])
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[FLAGS_MAX];
	bool here = false;

	flags[0] = '\0';
	while (f && fgets(line, sizeof line, f)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t)p >= from && (uintptr_t)p < to;
		else if (here && !strncmp(line, "VmFlags:", 8))
			snprintf(flags, FLAGS_MAX, "%s", line + 8);
	}
	if (f)
		fclose(f);
}

/* Readable, locked, not dumped, not copied to children (or wiped there). */
static bool is_protected(const void *p)
{
	char flags[FLAGS_MAX];

	vm_flags(p, flags);
	return strstr(flags, " rd ") && strstr(flags, " lo ") && strstr(flags, " dd ") &&
	       (strstr(flags, " dc ") || strstr(flags, " wf "));
}

static bool is_guard(const void *p)
{
	char flags[FLAGS_MAX];

	vm_flags(p, flags);
	return flags[0] && !strstr(flags, " rd ") && !strstr(flags, " wr ");
}

static int check_flags_and_guards(void)
{
	struct secret *s;

	if (secret_new(16384, &s) < 0)
		return 1;
	if (!is_protected(secret_bytes(s)) || !is_protected(secret_bytes(s) + 16383))
		return 2;
	if (!is_guard(secret_bytes(s) - 1) || !is_guard(secret_bytes(s) + 16384))
		return 3;
	secret_free(s);
	return secret_live() ? 4 : 0;
}

static int check_flags_without_memfd(void)
{
	forbid_memfd_secret();
	return check_flags_and_guards();
}

START_TEST(test_flags)
{
	ck_assert_int_eq(in_child(check_flags_and_guards), 0);
	ck_assert_int_eq(in_child(check_flags_without_memfd), 0);
}
END_TEST

/* 10000 keys at a page each would take 40 MiB. */
static int many_in_two_mib(void)
{
	static struct secret *s[10000];

	if (!limit_memlock(2 << 20))
		return 1;
	for (size_t i = 0; i < CL_ARRAY_LEN(s); i++)
		if (secret_new(32, &s[i]) < 0)
			return 2;
	for (size_t i = 0; i < CL_ARRAY_LEN(s); i++)
		secret_free(s[i]);
	return secret_live() ? 3 : 0;
}

static int many_without_memfd(void)
{
	forbid_memfd_secret();
	return many_in_two_mib();
}

static int none_when_not_lockable(void)
{
	struct secret *s = NULL;
	int err;

	if (!limit_memlock(0))
		return 1;
	err = secret_new(32, &s);
	return (err == -EPERM || err == -EAGAIN) && !s && !secret_live() ? 0 : 2;
}

static int error_at_the_limit(void)
{
	struct secret *s[5] = { NULL };
	int err = 0, n = 0;

	if (!limit_memlock(64 << 10))
		return 1;
	while (!err && n < 5) {
		err = secret_new(16384, &s[n]);
		n++;
	}
	for (int i = 0; i < 5; i++)
		secret_free(s[i]);
	return err == -EAGAIN && n == 5 ? 0 : 2;
}

static int error_at_the_limit_without_memfd(void)
{
	forbid_memfd_secret();
	return error_at_the_limit();
}

START_TEST(test_memlock)
{
	ck_assert_int_eq(in_child(many_in_two_mib), 0);
	ck_assert_int_eq(in_child(many_without_memfd), 0);
	ck_assert_int_eq(in_child(none_when_not_lockable), 0);
	ck_assert_int_eq(in_child(error_at_the_limit), 0);
	ck_assert_int_eq(in_child(error_at_the_limit_without_memfd), 0);
}
END_TEST

static struct secret *parents;
static const uint8_t *parents_bytes;

static int child_of_owner(void)
{
	struct secret *mine;
	char got[8] = "";
	int p[2];

	if (secret_bytes(parents) || secret_cbytes(parents) || secret_live())
		return 1;
	if (pipe(p) < 0)
		return 2;
	/* The raw address must be unmapped or hold zeros. */
	if (write(p[1], parents_bytes, 8) == 8) {
		if (read(p[0], got, 8) != 8 || !bytes_are_zero(got, 8))
			return 3;
	} else if (errno != EFAULT) {
		return 4;
	}
	if (secret_new(32, &mine) < 0 || !is_protected(secret_bytes(mine)))
		return 5;
	memset(secret_bytes(mine), 1, 32);
	secret_trim(parents, 1);
	secret_free(parents);
	if (secret_live() != 1)
		return 6;
	secret_free(mine);
	return secret_live() ? 7 : 0;
}

static int fork_test(void)
{
	if (secret_new(32, &parents) < 0)
		return 10;
	parents_bytes = secret_bytes(parents);
	memcpy(secret_bytes(parents), "the key of today", 16);
	if (in_child(child_of_owner))
		return 11;
	if (memcmp(parents_bytes, "the key of today", 16)) /* and the parent keeps it */
		return 12;
	secret_free(parents);
	return secret_live() ? 13 : 0;
}

static int fork_test_without_memfd(void)
{
	forbid_memfd_secret();
	return fork_test();
}

START_TEST(test_fork)
{
	ck_assert_int_eq(in_child(fork_test), 0);
	ck_assert_int_eq(in_child(fork_test_without_memfd), 0);
}
END_TEST

static int read_text(const char *text, size_t n, size_t max, struct secret **ret)
{
	int p[2], err;

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(write(p[1], text, n), (ssize_t)n);
	close(p[1]);
	err = secret_read_fd(p[0], max, ret);
	close(p[0]);
	return err;
}

START_TEST(test_read)
{
	static const struct {
		const char *text;
		size_t n, max, len;
		int err;
	} cases[] = {
		{ "1234", 4, 4, 4, 0 },
		{ "1234\n", 5, 4, 4, 0 },
		{ "1234\n\n", 6, 8, 5, 0 }, /* only one newline goes */
		{ "1234\n\n", 6, 4, 0, -EOVERFLOW },
		{ "12345", 5, 4, 0, -EOVERFLOW },
		{ "12345\n", 6, 4, 0, -EOVERFLOW },
		{ "1234567890", 10, 4, 0, -EOVERFLOW },
		{ "a\0b", 3, 4, 3, 0 },
		{ "", 0, 4, 0, -ENODATA },
		{ "\n", 1, 4, 0, -ENODATA },
		{ "1", 1, 0, 0, -EINVAL },
		{ "1", 1, 65537, 0, -EINVAL },
		{ "1", 1, 65536, 1, 0 },
	};

	for (size_t i = 0; i < CL_ARRAY_LEN(cases); i++) {
		struct secret *s = NULL;
		int err = read_text(cases[i].text, cases[i].n, cases[i].max, &s);

		ck_assert_msg(err == cases[i].err, "case %zu: %d", i, err);
		ck_assert_int_eq(s != NULL, !err);
		if (s) {
			ck_assert_uint_eq(secret_len(s), cases[i].len);
			ck_assert_mem_eq(secret_cbytes(s), cases[i].text, cases[i].len);
		}
		secret_free(s);
	}
	ck_assert_uint_eq(secret_live(), 0);
}
END_TEST

START_TEST(test_read_file)
{
	char name[] = "/tmp/cloison-test-XXXXXX";
	int fd = mkstemp(name), keep = dup(STDIN_FILENO);
	struct secret *s = NULL;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "open sesame\n", 12), 12);
	ck_assert_int_eq(secret_read_file(name, 64, &s), 0);
	ck_assert_uint_eq(secret_len(s), 11);
	secret_freep(&s);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	ck_assert_int_ge(dup2(fd, STDIN_FILENO), 0);
	ck_assert_int_eq(secret_read_file("-", 64, &s), 0);
	ck_assert_mem_eq(secret_cbytes(s), "open sesame", 11);
	secret_freep(&s);
	if (keep >= 0)
		ck_assert_int_ge(dup2(keep, STDIN_FILENO), 0);
	close(keep);
	close(fd);
	unlink(name);
	ck_assert_int_eq(secret_read_file(name, 64, &s), -ENOENT);
	ck_assert_int_eq(secret_read_file("/tmp", 64, &s), -EISDIR);
	ck_assert_uint_eq(secret_live(), 0);
}
END_TEST

static int harden(void)
{
	struct rlimit l;

	if (secret_harden_process() < 0)
		return 1;
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 && !getrlimit(RLIMIT_CORE, &l) && !l.rlim_cur && !l.rlim_max ? 0
														    : 2;
}

START_TEST(test_harden)
{
	ck_assert_int_eq(in_child(harden), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("secret");
	TCase *t = tcase_create("secret");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_contents);
	tcase_add_test(t, test_random_and_compare);
	tcase_add_test(t, test_pool);
	tcase_add_test(t, test_threads);
	tcase_add_test(t, test_flags);
	tcase_add_test(t, test_memlock);
	tcase_add_test(t, test_fork);
	tcase_add_test(t, test_read);
	tcase_add_test(t, test_read_file);
	tcase_add_test(t, test_harden);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
