/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One timed phase of the benchmark: does it on the given path and prints the nanoseconds it took. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base.h"

#define BLOCK (1u << 20)
#define SMALL_MAX 4096u /* bytes of the largest small file; they are 1, 2, 3 or 4 KiB */

extern char **environ;

static uint64_t seed;
static unsigned char *block;

static void CL_PRINTF(1, 2) __attribute__((noreturn)) die(const char *format, ...)
{
	int err = errno;
	va_list args;

	va_start(args, format);
	fputs("workload: ", stderr);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(err));
	exit(1);
}

/* splitmix64: any seed will do, even 0. */
static uint64_t next_random(void)
{
	uint64_t z = (seed += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint32_t *shuffled(uint32_t n)
{
	uint32_t *order = malloc(n * sizeof(*order));
	uint32_t i, j, swap;

	if (!order)
		die("memory");
	for (i = 0; i < n; i++)
		order[i] = i;
	for (i = n; i > 1; i--) {
		j = (uint32_t)(next_random() % i);
		swap = order[i - 1];
		order[i - 1] = order[j];
		order[j] = swap;
	}
	return order;
}

/* No two blocks of a file are the same, so nothing below can store one of them for another. */
static void stamp(uint64_t where)
{
	memcpy(block, &where, sizeof(where));
}

static void check_stamp(const char *path, uint64_t where)
{
	if (memcmp(block, &where, sizeof(where)) == 0)
		return;
	errno = EILSEQ;
	die("%s: wrong data at %llu", path, (unsigned long long)where);
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		die("%s", path);
	return fd;
}

static void close_or_die(const char *path, int fd)
{
	if (close(fd) < 0)
		die("%s: close", path);
}

static void read_at(const char *path, int fd, size_t size, uint64_t off)
{
	ssize_t n = pread(fd, block, size, (off_t)off);

	if (n != (ssize_t)size) {
		if (n >= 0)
			errno = EIO;
		die("%s: read %zu at %llu", path, size, (unsigned long long)off);
	}
}

static void write_at(const char *path, int fd, size_t size, uint64_t off)
{
	ssize_t n = pwrite(fd, block, size, (off_t)off);

	if (n != (ssize_t)size) {
		if (n >= 0)
			errno = EIO;
		die("%s: write %zu at %llu", path, size, (unsigned long long)off);
	}
}

/* Data, that is: n bytes in blocks of 1 MiB, fsync at the end. */
static void seq_write(const char *path, uint64_t n)
{
	int fd = open_or_die(path, O_WRONLY | O_CREAT | O_TRUNC);
	uint64_t off;

	for (off = 0; off < n; off += BLOCK) {
		stamp(off);
		write_at(path, fd, BLOCK, off);
	}
	if (fsync(fd) < 0)
		die("%s: fsync", path);
	close_or_die(path, fd);
}

static void seq_read(const char *path, uint64_t n)
{
	int fd = open_or_die(path, O_RDONLY);
	uint64_t off;

	for (off = 0; off < n; off += BLOCK) {
		read_at(path, fd, BLOCK, off);
		check_stamp(path, off);
	}
	close_or_die(path, fd);
}

static uint32_t pages_of(const char *path, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		die("%s", path);
	if (st.st_size < (off_t)CL_PAGE) {
		errno = EINVAL;
		die("%s: too small", path);
	}
	return (uint32_t)(st.st_size / CL_PAGE);
}

/* n different pages in random order. */
static void random_read(const char *path, uint64_t n)
{
	int fd = open_or_die(path, O_RDONLY);
	uint32_t pages = pages_of(path, fd);
	uint32_t *order = shuffled(pages);
	uint64_t i;

	for (i = 0; i < n; i++)
		read_at(path, fd, CL_PAGE, (uint64_t)order[i % pages] * CL_PAGE);
	close_or_die(path, fd);
	free(order);
}

/* The same with writes: all of them and one fsync, or each with its fdatasync. */
static void random_write(const char *path, uint64_t n, bool sync_each)
{
	int fd = open_or_die(path, O_RDWR);
	uint32_t pages = pages_of(path, fd);
	uint32_t *order = shuffled(pages);
	uint64_t i;

	for (i = 0; i < n; i++) {
		stamp(next_random());
		write_at(path, fd, CL_PAGE, (uint64_t)order[i % pages] * CL_PAGE);
		if (sync_each && fdatasync(fd) < 0)
			die("%s: fdatasync", path);
	}
	if (!sync_each && fsync(fd) < 0)
		die("%s: fsync", path);
	close_or_die(path, fd);
	free(order);
}

static void small_name(char name[static 16], const char *prefix, uint32_t i)
{
	snprintf(name, 16, "%s%07u", prefix, (unsigned int)(i % 10000000));
}

static size_t small_size(uint32_t i)
{
	return 1024 * (1 + i % (SMALL_MAX / 1024));
}

enum small_op { SMALL_CREATE, SMALL_STAT, SMALL_READ, SMALL_RENAME, SMALL_UNLINK };

static void small_one(enum small_op op, uint32_t i)
{
	char name[16], to[16];
	struct stat st;
	int fd;

	small_name(name, op == SMALL_UNLINK ? "new" : "old", i);
	switch (op) {
	case SMALL_CREATE:
		fd = open_or_die(name, O_WRONLY | O_CREAT | O_EXCL);
		stamp(i);
		write_at(name, fd, small_size(i), 0);
		close_or_die(name, fd);
		break;
	case SMALL_STAT:
		if (lstat(name, &st) < 0 || st.st_size != (off_t)small_size(i))
			die("%s: stat", name);
		break;
	case SMALL_READ:
		fd = open_or_die(name, O_RDONLY);
		read_at(name, fd, small_size(i), 0);
		check_stamp(name, i);
		close_or_die(name, fd);
		break;
	case SMALL_RENAME:
		small_name(to, "new", i);
		if (rename(name, to) < 0)
			die("%s: rename", name);
		break;
	case SMALL_UNLINK:
		if (unlink(name) < 0)
			die("%s: unlink", name);
		break;
	}
}

/* n files in the one directory dir; created in the order of their names, met again in a random one. */
static void small_files(enum small_op op, const char *dir, uint64_t n)
{
	uint32_t *order = shuffled((uint32_t)n);
	uint32_t i;

	if (chdir(dir) < 0)
		die("%s", dir);
	for (i = 0; i < n; i++)
		small_one(op, op == SMALL_CREATE ? i : order[i]);
	free(order);
}

/* A real program, its output thrown away. */
static void run_program(char **argv)
{
	posix_spawn_file_actions_t actions;
	int status, err;
	pid_t pid;

	err = posix_spawn_file_actions_init(&actions);
	if (!err)
		err = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (!err)
		err = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	if (err) {
		errno = err;
		die("%s", argv[0]);
	}
	if (waitpid(pid, &status, 0) < 0)
		die("%s: wait", argv[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		errno = ECHILD;
		die("%s: status %d", argv[0], status);
	}
	posix_spawn_file_actions_destroy(&actions);
}

static bool run_phase(const char *phase, const char *path, uint64_t n)
{
	static const char *const small[] = {
		[SMALL_CREATE] = "create", [SMALL_STAT] = "stat",     [SMALL_READ] = "read",
		[SMALL_RENAME] = "rename", [SMALL_UNLINK] = "unlink",
	};
	unsigned int op;

	if (strcmp(phase, "seqwrite") == 0)
		seq_write(path, n);
	else if (strcmp(phase, "seqread") == 0)
		seq_read(path, n);
	else if (strcmp(phase, "randread") == 0)
		random_read(path, n);
	else if (strcmp(phase, "randwrite") == 0)
		random_write(path, n, false);
	else if (strcmp(phase, "overwrite") == 0)
		random_write(path, n, true);
	else {
		for (op = 0; op < CL_ARRAY_LEN(small) && strcmp(phase, small[op]) != 0; op++)
			;
		if (op == CL_ARRAY_LEN(small))
			return false;
		small_files((enum small_op)op, path, n);
	}
	return true;
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int main(int argc, char **argv)
{
	uint64_t start, i;
	bool known = true;

	if (argc < 3 || (strcmp(argv[1], "run") != 0 && argc != 5)) {
		fprintf(stderr,
			"usage: workload seqwrite|seqread FILE BYTES SEED\n"
			"       workload randread|randwrite|overwrite FILE TIMES SEED\n"
			"       workload create|stat|read|rename|unlink DIR FILES SEED\n"
			"       workload run PROGRAM [ARGUMENT]...\n");
		return 2;
	}
	if (argc == 5)
		seed = strtoull(argv[4], NULL, 10);
	block = aligned_alloc(CL_PAGE, BLOCK);
	if (!block)
		die("memory");
	for (i = 0; i < BLOCK / sizeof(uint64_t); i++)
		((uint64_t *)(void *)block)[i] = next_random();
	start = now();
	if (strcmp(argv[1], "run") == 0)
		run_program(argv + 2);
	else
		known = run_phase(argv[1], argv[2], strtoull(argv[3], NULL, 10));
	if (!known) {
		fprintf(stderr, "workload: no phase is called '%s'\n", argv[1]);
		return 2;
	}
	printf("%llu\n", (unsigned long long)(now() - start));
	free(block);
	return 0;
}
