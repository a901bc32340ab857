/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * System calls that are interrupted, that do a part, nothing, or fail, below the store and below common/file.c: whole transfers all the
 * same, no EINTR for the caller, and no loop without end.
 */
#include "common/file.h"
#include "fs/store.h"
#include "tests/model/tempdir.h"

#include <check.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SKIP 77
#define CALLS_MAX 100000u
#define SIZE ((size_t)3 * 4096 + 777)

/* What the calls do while it is set. */
static struct {
	bool interrupted; /* two of three return EINTR */
	bool in_part;     /* transfers move a third */
	bool nothing;     /* transfers move nothing */
	int fails;        /* errno of every call from number after on */
	unsigned after;
	unsigned calls;
} fault;

static bool stops(void)
{
	ck_assert_uint_lt(fault.calls++, CALLS_MAX);
	if (fault.interrupted && fault.calls % 3) {
		errno = EINTR;
		return true;
	}
	if (fault.fails && fault.calls > fault.after) {
		errno = fault.fails;
		return true;
	}
	return false;
}

static size_t part_of(size_t n)
{
	return fault.nothing ? 0 : fault.in_part ? (n + 2) / 3 : n;
}

#define REPLACE(name, params, args) \
	int __real_##name params; \
	int __wrap_##name params; \
	int __wrap_##name params \
	{ \
		return stops() ? -1 : __real_##name args; \
	}
#define REPLACE_IO(name, params, args) \
	ssize_t __real_##name params; \
	ssize_t __wrap_##name params; \
	ssize_t __wrap_##name params \
	{ \
		return stops() ? -1 : __real_##name args; \
	}

REPLACE(fdatasync, (int fd), (fd))
REPLACE(fsync, (int fd), (fd))
REPLACE(syncfs, (int fd), (fd))
REPLACE(ftruncate64, (int fd, off_t n), (fd, n))
REPLACE(fallocate64, (int fd, int mode, off_t off, off_t n), (fd, mode, off, n))
REPLACE_IO(pread64, (int fd, void *p, size_t n, off_t off), (fd, p, part_of(n), off))
REPLACE_IO(pwrite64, (int fd, const void *p, size_t n, off_t off), (fd, p, part_of(n), off))
REPLACE_IO(read, (int fd, void *p, size_t n), (fd, p, part_of(n)))
REPLACE_IO(write, (int fd, const void *p, size_t n), (fd, p, part_of(n)))

/* A part of all the pieces together: it may end within one. */
ssize_t __real_pwritev64(int fd, const struct iovec *iov, int n, off_t off);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t off);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t off)
{
	struct iovec some[STORE_IOV_MAX];
	size_t all = 0, left;

	if (stops())
		return -1;
	for (int k = 0; k < n; k++)
		all += iov[k].iov_len;
	left = part_of(all);
	for (int k = 0; k < n; k++) {
		some[k] = (struct iovec){ iov[k].iov_base, CL_MIN(iov[k].iov_len, left) };
		left -= some[k].iov_len;
	}
	return __real_pwritev64(fd, some, n, off);
}

int __real_fcntl64(int fd, int op, ...);
int __wrap_fcntl64(int fd, int op, ...);
int __wrap_fcntl64(int fd, int op, ...)
{
	va_list ap;

	va_start(ap, op);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	return stops() ? -1 : __real_fcntl64(fd, op, arg);
}

/* openat2: all that goes through it here has four arguments at the most. */
long __real_syscall(long no, ...);
long __wrap_syscall(long no, ...);
long __wrap_syscall(long no, ...)
{
	va_list ap;

	va_start(ap, no);
	long a = va_arg(ap, long), b = va_arg(ap, long), c = va_arg(ap, long), d = va_arg(ap, long);
	va_end(ap);
	return stops() ? -1 : __real_syscall(no, a, b, c, d);
}

static char path[TEMPDIR_MAX];
static struct store *s;
static int dirfd_;
static uint8_t data[SIZE], back[SIZE + 1];

static void set_up(void)
{
	memset(&fault, 0, sizeof fault);
	for (size_t k = 0; k < SIZE; k++)
		data[k] = (uint8_t)(k * 7 + k / 251);
	memset(back, 0, sizeof back);
	ck_assert_int_eq(tempdir_make(path), 0);
	ck_assert_int_eq(store_dir_open(path, &s), 0);
	dirfd_ = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dirfd_, 0);
}

static void tear_down(void)
{
	memset(&fault, 0, sizeof fault);
	close(dirfd_);
	s->ops->free(s);
	tempdir_remove(path);
}

static struct store_file *open_file(void)
{
	struct store_file *f = NULL;

	ck_assert_int_eq(s->ops->open(s, "a", STORE_CREATE, &f), 0);
	return f;
}

static void expect_back(struct store_file *f, uint64_t off)
{
	size_t got = 0;

	ck_assert_int_eq(s->ops->pread(s, f, back, SIZE + 1, off, &got), 0);
	ck_assert_uint_eq(got, SIZE);
	ck_assert_mem_eq(back, data, SIZE);
}

START_TEST(test_transfers)
{
	struct iovec iov[] = { { data, 1 }, { data, 0 }, { data + 1, 4096 }, { data + 4097, 4095 }, { data + 8192, 0 },
			       { data + 8192, SIZE - 8192 } };

	fault.interrupted = _i & 1;
	fault.in_part = _i & 2;
	struct store_file *f = open_file();
	ck_assert_int_eq(s->ops->pwrite(s, f, data, SIZE, 100), 0);
	expect_back(f, 100);
	ck_assert_int_eq(s->ops->truncate(s, f, 0), 0);
	ck_assert_int_eq(s->ops->pwritev(s, f, iov, CL_ARRAY_LEN(iov), 50), 0);
	expect_back(f, 50);
	s->ops->close(s, f);
}
END_TEST

START_TEST(test_interrupted)
{
	struct store *sub;

	fault.interrupted = true;
	ck_assert_int_eq(s->ops->mkdir(s, "d"), 0);
	ck_assert_int_eq(s->ops->sub(s, "d", &sub), 0);
	sub->ops->free(sub);
	struct store_file *f = open_file();
	ck_assert_int_eq(s->ops->truncate(s, f, 3 * CL_PAGE), 0);
	int err = s->ops->allocate(s, f, 0, CL_PAGE);
	ck_assert_msg(err == 0 || err == -EOPNOTSUPP, "%d", err);
	err = s->ops->punch(s, f, 0, CL_PAGE);
	ck_assert_msg(err == 0 || err == -EOPNOTSUPP, "%d", err);
	ck_assert_int_eq(s->ops->sync(s, f), 0);
	ck_assert_int_eq(s->ops->sync_dir(s, "."), 0);
	ck_assert_int_eq(s->ops->sync_dir(s, "d"), 0);
	ck_assert_int_eq(s->ops->sync_all(s), 0);
	ck_assert_int_eq(s->ops->lock(s, f, STORE_EXCLUSIVE), 0);
	ck_assert_int_eq(s->ops->lock(s, f, STORE_UNLOCK), 0);
	ck_assert_int_eq(s->ops->rename(s, "a", "d/b"), 0);
	ck_assert_int_eq(s->ops->unlink(s, "d/b"), 0);
	s->ops->close(s, f);
}
END_TEST

/* What a disk that is full or broken says comes through as it is, also behind a part. */
START_TEST(test_fails)
{
	static const int errnos[] = { EIO, ENOSPC, EDQUOT, EAGAIN };
	struct iovec iov[] = { { data, 4096 }, { data + 4096, SIZE - 4096 } };
	struct store_file *f = open_file();
	size_t got;

	fault.in_part = true;
	fault.fails = errnos[_i];
	for (unsigned after = 0; after < 3; after++) {
		fault.after = after;
		fault.calls = 0;
		ck_assert_int_eq(s->ops->pwrite(s, f, data, SIZE, 0), -errnos[_i]);
		fault.calls = 0;
		ck_assert_int_eq(s->ops->pwritev(s, f, iov, 2, 0), -errnos[_i]);
		iov[0] = (struct iovec){ data, 4096 };
		iov[1] = (struct iovec){ data + 4096, SIZE - 4096 };
	}
	fault.after = fault.calls = 0;
	ck_assert_int_eq(s->ops->pread(s, f, back, SIZE, 0, &got), -errnos[_i]);
	ck_assert_int_eq(s->ops->sync(s, f), -errnos[_i]);
	ck_assert_int_eq(s->ops->sync_all(s), -errnos[_i]);
	ck_assert_int_eq(s->ops->truncate(s, f, 1), -errnos[_i]);
	ck_assert_int_eq(s->ops->punch(s, f, 0, CL_PAGE), -errnos[_i]);
	ck_assert_int_eq(s->ops->lock(s, f, STORE_SHARED), -errnos[_i]);
	fault.fails = 0;
	s->ops->close(s, f);
}
END_TEST

START_TEST(test_nothing)
{
	struct iovec iov[] = { { data, 4096 }, { data + 4096, SIZE - 4096 } };
	struct store_file *f = open_file();
	int fd = openat(dirfd_, "b", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	size_t got = 99;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(s->ops->pwrite(s, f, data, SIZE, 0), 0);
	fault.nothing = true;
	ck_assert_int_eq(s->ops->pwrite(s, f, data, SIZE, 0), -EIO);
	ck_assert_int_eq(s->ops->pwritev(s, f, iov, 2, 0), -EIO);
	ck_assert_int_eq(s->ops->pread(s, f, back, SIZE, 0, &got), 0);
	ck_assert_uint_eq(got, 0);
	ck_assert_int_eq(file_pwrite_full(fd, data, SIZE, 0), -EIO);
	ck_assert_int_eq(file_write_full(fd, data, SIZE), -EIO);
	ck_assert_int_eq(file_pread_full(fd, back, SIZE, 0), -ENODATA);
	ck_assert_int_eq(file_read_full(fd, back, SIZE), -ENODATA);
	ck_assert_int_eq(file_write_atomic(dirfd_, "c", data, SIZE), -EIO);
	ck_assert_int_eq(faccessat(dirfd_, "c", F_OK, 0), -1);
	close(fd);
	s->ops->close(s, f);
}
END_TEST

/* Whole files, under the same troubles. */
START_TEST(test_files)
{
	char *buf = NULL;
	size_t len = 0;
	int fd;

	fault.interrupted = _i & 1;
	fault.in_part = _i & 2;
	ck_assert_int_eq(file_write_atomic(dirfd_, "c", data, SIZE), 0);
	ck_assert_int_eq(file_read_all(dirfd_, "c", SIZE, &buf, &len), 0);
	ck_assert_uint_eq(len, SIZE);
	ck_assert_mem_eq(buf, data, SIZE);
	free(buf);
	fd = openat(dirfd_, "c", O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(file_pwrite_full(fd, data, SIZE, 10), 0);
	ck_assert_int_eq(file_pread_full(fd, back, SIZE, 10), 0);
	ck_assert_mem_eq(back, data, SIZE);
	memset(back, 0, sizeof back);
	ck_assert_int_eq(file_write_full(fd, data, SIZE), 0);
	ck_assert_int_eq((int)lseek(fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(file_read_full(fd, back, SIZE), 0);
	ck_assert_mem_eq(back, data, SIZE);
	close(fd);
}
END_TEST

/* The old file stands until the new one is whole. */
START_TEST(test_replace_fails)
{
	char *buf = NULL;
	size_t len = 0;

	ck_assert_int_eq(file_write_atomic(dirfd_, "c", "old", 3), 0);
	for (unsigned after = 0; after < 3; after++) {
		memset(&fault, 0, sizeof fault);
		fault.in_part = true;
		fault.fails = ENOSPC;
		fault.after = after;
		ck_assert_int_eq(file_write_atomic(dirfd_, "c", data, SIZE), -ENOSPC);
		memset(&fault, 0, sizeof fault);
		ck_assert_int_eq(file_read_all(dirfd_, "c", SIZE, &buf, &len), 0);
		ck_assert_uint_eq(len, 3);
		ck_assert_mem_eq(buf, "old", 3);
		free(buf);
	}
}
END_TEST

int main(void)
{
	/* Without openat2(2) there is no store: valgrind knows none. */
	if (getenv("CLOISON_TEST_MEMORY")) {
		puts("openat2 is not to be had here");
		return SKIP;
	}
	Suite *suite = suite_create("syscalls");
	TCase *tc = tcase_create("syscalls");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, test_transfers, 0, 4);
	tcase_add_test(tc, test_interrupted);
	tcase_add_loop_test(tc, test_fails, 0, 4);
	tcase_add_test(tc, test_nothing);
	tcase_add_loop_test(tc, test_files, 0, 4);
	tcase_add_test(tc, test_replace_fails);
	suite_add_tcase(suite, tc);
	SRunner *sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
