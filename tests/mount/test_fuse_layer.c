/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The FUSE layer, mounted over the engine in memory (fakefs.c), met with system calls as programs make them. The daemon
 * is a child process; what it was asked is counted in shared memory. Exit 77 where nothing can be mounted.
 */
#include "common/log.h"
#include "fs/acl.h"
#include "fs/fuse/fuse_cl.h"
#include "tests/mount/fakefs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SKIP 77
#define USER 65534u
#define MIB (1u << 20)

static struct fake_counts *counts;
static char dir[] = "/tmp/cloison-fuse-XXXXXX";
static unsigned failures;

#define CHECK(cond) \
	do { \
		if (!(cond)) { \
			printf("%s:%d: %s: %s (errno %d)\n", __FILE__, __LINE__, __func__, #cond, errno); \
			failures++; \
		} \
	} while (0)
#define FAILS(call, err) CHECK((call) == -1 && errno == (err))

/* The daemon. Its exit status: 0, or what went wrong; kept_ok: whether the file "kept" got what was written last. */
struct daemon {
	pid_t pid;
	int error; /* of fuse_cl_new */
	struct fault fault;
};

static int daemon_main(const struct fuse_cl_options *opts, int report)
{
	struct fuse_cl *s;
	struct fault f = { 0 };
	struct fs_attr attr;
	struct fs *fs = fakefs_new(counts);
	int r = fs ? fs_make(fs, FS_ROOT, "early", S_IFREG | 0600, NULL, &(struct fs_cred){ 0, 0, 0 }, &attr) : -ENOMEM;
	if (!r) {
		fs_forget(fs, attr.ino, 1);
		r = fuse_cl_new(fs, dir, opts, &s, &f);
	}
	if (write(report, &r, sizeof(r)) != sizeof(r) || write(report, &f, sizeof(f)) != sizeof(f))
		return 3;
	close(report);
	if (r)
		return 1;
	r = fuse_cl_loop(s);
	fuse_cl_free(s);

	char text[8] = "";
	bool kept_ok = fs_lookup(fs, FS_ROOT, "kept", &attr) < 0 ||
		       (fs_read(fs, attr.ino, text, sizeof(text), 0) == 4 && !memcmp(text, "last", 4));
	fakefs_free(fs);
	return r ? 2 : kept_ok ? 0 : 4;
}

static struct daemon start(const struct fuse_cl_options *opts)
{
	struct daemon d = { 0 };
	int p[2];
	memset(counts, 0, sizeof(*counts));
	if (pipe2(p, O_CLOEXEC) < 0)
		abort();
	fflush(stdout);
	d.pid = fork();
	if (!d.pid) {
		close(p[0]);
		_exit(daemon_main(opts, p[1]));
	}
	close(p[1]);
	if (read(p[0], &d.error, sizeof(d.error)) != sizeof(d.error) ||
	    read(p[0], &d.fault, sizeof(d.fault)) != sizeof(d.fault))
		d.error = -EIO;
	close(p[0]);
	return d;
}

/* Exit status of the daemon; -1: it did not end within ten seconds (then it is killed). */
static int wait_end(pid_t pid)
{
	int status;
	for (unsigned i = 0; i < 1000; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		usleep(10000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

static bool mounted(void)
{
	struct stat a, b;
	return !stat(dir, &a) && !stat("/tmp", &b) && a.st_dev != b.st_dev;
}

static void unmount(void)
{
	char cmd[128];
	snprintf(cmd, sizeof(cmd), "fusermount3 -u %s", dir);
	CHECK(geteuid() ? system(cmd) == 0 : umount2(dir, 0) == 0);
}

/* Runs fn as an ordinary user, in a child; its failures count. */
static void as_user(void (*fn)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		failures = 0;
		if (setgid(USER) || setuid(USER))
			_exit(255);
		fn();
		fflush(stdout);
		_exit(failures != 0);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static int make_file(const char *name, mode_t mode, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, mode);
	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	return fd;
}

static void put_file(const char *name, mode_t mode, const char *text)
{
	close(make_file(name, mode, text));
}

static mode_t mode_of(const char *name)
{
	struct stat st;
	CHECK(!stat(name, &st));
	return st.st_mode & 07777;
}

/* Requests whose end nobody waits for (RELEASE, FORGET). */
static bool settles_to(atomic_ulong *count, unsigned long n)
{
	for (unsigned i = 0; i < 300 && atomic_load(count) != n; i++)
		usleep(10000);
	return atomic_load(count) == n;
}

static void fill(uint8_t *p, size_t n)
{
	uint32_t x = 12345;
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
}

static void test_contents(void)
{
	size_t n = 5 * MIB + 777;
	uint8_t *a = malloc(n), *b = malloc(n);
	fill(a, n);
	int fd = open("big", O_RDWR | O_CREAT, 0644);
	CHECK(write(fd, a, n) == (ssize_t)n);
	CHECK(!fsync(fd));
	CHECK(atomic_load(&counts->fsync) == 1);
	CHECK(atomic_load(&counts->write_unaligned) == 0);
	CHECK(atomic_load(&counts->write_max) == MIB);
	CHECK(!posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	CHECK(pread(fd, b, n, 0) == (ssize_t)n && !memcmp(a, b, n));
	CHECK(atomic_load(&counts->read) > 0);
	close(fd);

	/* Readers at the same time, each past the page cache. */
	pid_t readers[2];
	for (unsigned k = 0; k < CL_ARRAY_LEN(readers); k++) {
		fflush(stdout);
		readers[k] = fork();
		if (!readers[k]) {
			for (unsigned i = 0; i < 20; i++) {
				int in = open("big", O_RDONLY);
				posix_fadvise(in, 0, 0, POSIX_FADV_DONTNEED);
				if (pread(in, b, n, 0) != (ssize_t)n || memcmp(a, b, n))
					_exit(1);
				close(in);
			}
			_exit(0);
		}
	}
	for (unsigned k = 0; k < CL_ARRAY_LEN(readers); k++)
		CHECK(wait_end(readers[k]) == 0);

	/* O_DIRECT, O_APPEND by two, mmap. */
	fd = open("big", O_RDWR | O_DIRECT);
	void *page = aligned_alloc(4096, 4096);
	CHECK(pread(fd, page, 4096, 8192) == 4096 && !memcmp(page, a + 8192, 4096));
	memset(page, 'd', 4096);
	CHECK(pwrite(fd, page, 4096, 4096) == 4096);
	close(fd);
	fd = open("big", O_RDWR);
	CHECK(pread(fd, b, 3, 8190) == 3 && b[0] == 'd' && b[2] == a[8192]);
	uint8_t *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED && map[5000] == 'd');
	map[1] = 'm';
	CHECK(!msync(map, 8192, MS_SYNC));
	munmap(map, 8192);
	close(fd);

	int one = open("log", O_WRONLY | O_CREAT | O_APPEND, 0644), two = open("log", O_WRONLY | O_APPEND);
	for (unsigned i = 0; i < 100; i++)
		CHECK(write(one, "a", 1) == 1 && write(two, "b", 1) == 1);
	close(one);
	close(two);
	fd = open("log", O_RDONLY);
	CHECK(read(fd, b, 300) == 200 && !memcmp(b, "abab", 4) && !memcmp(b + 196, "abab", 4));
	CHECK(!flock(fd, LOCK_EX | LOCK_NB));
	close(fd);
	free(a);
	free(b);
	free(page);
}

static void test_attributes(void)
{
	struct timespec t[2] = { { 1, 23 }, { 2000000000, 999999999 } };
	struct statvfs vfs;
	struct statx stx;
	struct stat st;
	char text[16];

	umask(027);
	put_file("f", 0666, "hello");
	CHECK(mode_of("f") == 0640);
	umask(022);
	CHECK(!chmod("f", 0604) && mode_of("f") == 0604);
	CHECK(!utimensat(AT_FDCWD, "f", t, 0) && !stat("f", &st));
	CHECK(st.st_atim.tv_nsec == 23 && st.st_mtim.tv_sec == 2000000000 && st.st_mtim.tv_nsec == 999999999);
	CHECK(!truncate("f", 3) && !stat("f", &st) && st.st_size == 3);
	int fd = open("f", O_RDONLY);
	CHECK(read(fd, text, sizeof(text)) == 3);
	close(fd);
	CHECK((fd = open("f", O_WRONLY | O_TRUNC)) >= 0 && !fstat(fd, &st) && st.st_size == 0);
	CHECK(write(fd, "abc", 3) == 3);
	FAILS(ioctl(fd, FS_IOC_GETFLAGS, text), ENOTTY);
	close(fd);
	CHECK(!statx(AT_FDCWD, "f", 0, STATX_ALL, &stx) && stx.stx_mask & STATX_BTIME);
	CHECK(stx.stx_btime.tv_sec > 1700000000 && stx.stx_size == 3 && stx.stx_ino == st.st_ino);

	CHECK(!symlink("f", "sym") && readlink("sym", text, sizeof(text)) == 1 && text[0] == 'f');
	CHECK(!link("f", "hard") && !stat("hard", &st) && st.st_nlink == 2);
	CHECK(!mknod("fifo", S_IFIFO | 0600, 0) && !stat("fifo", &st) && S_ISFIFO(st.st_mode));
	if (!geteuid())
		FAILS(mknod("null", S_IFCHR | 0600, 0x103), EPERM);
	CHECK(!statvfs(".", &vfs) && vfs.f_bavail == 500 && vfs.f_ffree == 1234 && vfs.f_namemax == 255);
	CHECK(vfs.f_flag & ST_NOSUID && vfs.f_flag & ST_NODEV);
	FAILS(open("none", O_RDONLY), ENOENT);
	unsigned long n = atomic_load(&counts->lookup);
	FAILS(open("none", O_RDONLY), ENOENT);
	CHECK(!stat("hard", &st) && atomic_load(&counts->lookup) == n); /* both are known */
	CHECK(!unlink("hard") && !unlink("sym") && !unlink("fifo"));

	put_file("gone", 0600, "still");
	fd = open("gone", O_RDONLY);
	CHECK(!unlink("gone") && read(fd, text, sizeof(text)) == 5);
	close(fd);
}

static void test_names(void)
{
	struct stat a, b;
	put_file("a", 0600, "a");
	put_file("b", 0600, "bb");
	FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
	CHECK(!renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
	CHECK(!stat("a", &a) && a.st_size == 2 && !stat("b", &b) && b.st_size == 1);
	FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_WHITEOUT), EINVAL);
	CHECK(!rename("a", "b") && !stat("b", &b) && b.st_ino == a.st_ino);
	FAILS(stat("a", &a), ENOENT);

	CHECK(!mkdir("d", 0755) && !mkdir("d/e", 0755));
	FAILS(rmdir("d"), ENOTEMPTY);
	FAILS(unlink("d"), EISDIR);
	CHECK(!rename("d/e", "e") && !rmdir("e") && !rmdir("d"));

	int fd = open(".", O_TMPFILE | O_RDWR, 0640);
	CHECK(fd >= 0 && atomic_load(&counts->tmpfile) == 1);
	CHECK(write(fd, "tmp", 3) == 3 && !fstat(fd, &a) && a.st_nlink == 0 && (a.st_mode & 07777) == 0640);
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(!linkat(AT_FDCWD, path, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW));
	close(fd);
	CHECK(!stat("linked", &a) && a.st_size == 3 && a.st_nlink == 1);
	unsigned long live = atomic_load(&counts->inodes);
	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	CHECK(fd >= 0);
	close(fd);
	CHECK(settles_to(&counts->inodes, live));
}

/* Lists ".", checks that each of names 0 to n-1 comes once; with stat: asks for each one's attributes. */
static void list(unsigned n, bool with_stat)
{
	uint8_t *seen = calloc(1, n);
	unsigned dots = 0;
	struct stat st;
	DIR *d = opendir(".");
	for (struct dirent *e; (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) {
			dots++;
			continue;
		}
		unsigned i = (unsigned)strtoul(e->d_name, NULL, 10);
		CHECK(i < n && !seen[i]++ && e->d_type == DT_REG);
		if (with_stat)
			CHECK(!fstatat(dirfd(d), e->d_name, &st, 0) && st.st_ino == e->d_ino);
	}
	closedir(d);
	CHECK(dots == 2 && !memchr(seen, 0, n));
	free(seen);
}

static void test_listing(void)
{
	unsigned n = 10000;
	char name[16];
	unsigned long live = atomic_load(&counts->inodes);
	CHECK(!mkdir("many", 0755) && !chdir("many"));
	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%u", i);
		close(open(name, O_CREAT | O_WRONLY, 0600));
	}
	list(n, false);
	list(n, true);
	/* The kernel's cache answers; under memory pressure it may have to be filled again first. */
	bool asked = true;
	for (unsigned i = 0; i < 5 && asked; i++) {
		unsigned long before = atomic_load(&counts->readdir) + atomic_load(&counts->readdir_plus);
		list(n, false);
		asked = atomic_load(&counts->readdir) + atomic_load(&counts->readdir_plus) != before;
	}
	CHECK(!asked);
	put_file("10000", 0600, "");
	list(n + 1, true);

	DIR *d = opendir(".");
	for (unsigned i = 0; i < 5000; i++)
		CHECK(readdir(d));
	long at = telldir(d);
	struct dirent *e = readdir(d);
	char fifth[256];
	snprintf(fifth, sizeof(fifth), "%s", e->d_name);
	rewinddir(d);
	CHECK(!strcmp(readdir(d)->d_name, "."));
	seekdir(d, at);
	CHECK(!strcmp(readdir(d)->d_name, fifth));
	closedir(d);

	for (unsigned i = 0; i <= n; i++) {
		snprintf(name, sizeof(name), "%u", i);
		CHECK(!unlink(name));
	}
	CHECK(!chdir("..") && !rmdir("many"));
	/* Every reference was given back, or the inodes would live on. */
	CHECK(settles_to(&counts->inodes, live));
}

static void test_xattrs(void)
{
	char name[256] = "user.", *value = malloc(65536), *got = malloc(65536);
	memset(name + 5, 'n', 250);
	fill((uint8_t *)value, 65536);
	put_file("x", 0600, "x");
	CHECK(!setxattr("x", name, value, 65536, XATTR_CREATE));
	FAILS(setxattr("x", name, "v", 1, XATTR_CREATE), EEXIST);
	FAILS(setxattr("x", "user.none", "v", 1, XATTR_REPLACE), ENODATA);
	CHECK(getxattr("x", name, NULL, 0) == 65536);
	CHECK(getxattr("x", name, got, 65536) == 65536 && !memcmp(value, got, 65536));
	FAILS(getxattr("x", name, got, 100), ERANGE);
	CHECK(!setxattr("x", "user.12345678", "", 0, 0)); /* 3.14.0 would cut eight bytes */
	CHECK(getxattr("x", "user.12345678", got, 10) == 0);
	CHECK(listxattr("x", NULL, 0) == 256 + 14 && listxattr("x", got, 65536) == 256 + 14);
	CHECK(!removexattr("x", name) && listxattr("x", got, 65536) == 14 && !strcmp(got, "user.12345678"));
	FAILS(removexattr("x", name), ENODATA);
	free(value);
	free(got);
}

static void test_ranges(void)
{
	uint8_t buf[4096 * 4], back[4096 * 4];
	memset(buf, 'r', sizeof(buf));
	int fd = make_file("ranges", 0600, ""), to = make_file("copy", 0600, "");
	CHECK(write(fd, buf, sizeof(buf)) == sizeof(buf));
	CHECK(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192));
	CHECK(lseek(fd, 0, SEEK_HOLE) == 4096 && lseek(fd, 4096, SEEK_DATA) == 12288);
	FAILS(lseek(fd, 20000, SEEK_DATA), ENXIO);
	FAILS(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), EOPNOTSUPP);
	CHECK(!fallocate(fd, 0, 0, 20000) && lseek(fd, 0, SEEK_END) == 20000);
	off_t in = 0, out = 1;
	CHECK(copy_file_range(fd, &in, to, &out, sizeof(buf), 0) == sizeof(buf));
	CHECK(pread(to, back, sizeof(back), 1) == sizeof(back));
	memset(buf + 4096, 0, 8192);
	CHECK(!memcmp(buf, back, sizeof(buf)));
	close(fd);
	close(to);
}

/* What programs see of an error of the engine: damage of either kind is EIO, everything else is itself. */
static void test_errors(void)
{
	static const struct {
		int engine, program;
	} errors[] = {
		{ EBADMSG, EIO }, { EUCLEAN, EIO }, { EIO, EIO },       { ENOMEM, ENOMEM },
		{ EROFS, EROFS }, { ENOSPC, ENOSPC }, { EDQUOT, EDQUOT },
	};
	char c, name[64];

	for (size_t k = 0; k < CL_ARRAY_LEN(errors); k++) {
		snprintf(name, sizeof(name), FAKE_READ_FAILS "%d", errors[k].engine);
		int fd = make_file(name, 0600, "");
		CHECK(!ftruncate(fd, 100));
		FAILS(pread(fd, &c, 1, 0), errors[k].program);
		close(fd);

		snprintf(name, sizeof(name), FAKE_WRITE_FAILS "%d", errors[k].engine);
		fd = make_file(name, 0600, "x"); /* into the cache */
		FAILS(fsync(fd), errors[k].program);
		FAILS(ftruncate(fd, 1000), errors[k].program);
		FAILS(fallocate(fd, 0, 0, 1000), errors[k].program);
		FAILS(fsetxattr(fd, "user.a", "b", 1, 0), errors[k].program);
		close(fd);
	}
}

static const uint8_t cap_chown[20] = { [3] = 2, [4] = 1 }; /* security.capability, revision 2: CAP_CHOWN */

static void write_suid(void)
{
	int fd = open("suid", O_WRONLY);
	CHECK(write(fd, "x", 1) == 1);
	close(fd);
	CHECK(mode_of("suid") == 0777);
}

static void truncate_suid(void)
{
	CHECK(!truncate("suid", 0));
	CHECK(mode_of("suid") == 0777);
}

static void open_truncate_suid(void)
{
	int fd = open("suid", O_WRONLY | O_TRUNC);
	close(fd);
	CHECK(mode_of("suid") == 0777);
}

static void direct_suid(void)
{
	void *page = aligned_alloc(4096, 4096);
	memset(page, 1, 4096);
	int fd = open("suid", O_WRONLY | O_DIRECT);
	CHECK(write(fd, page, 4096) == 4096);
	close(fd);
	CHECK(mode_of("suid") == 0777);
	free(page);
}

static void test_privileges(void)
{
	/* The request that HANDLE_KILLPRIV_V2 spares: getxattr(security.capability) for each write. */
	int fd = make_file("plain", 0600, "");
	unsigned long before = atomic_load(&counts->getxattr);
	for (unsigned i = 0; i < 1000; i++)
		CHECK(pwrite(fd, "x", 1, i * 4096) == 1);
	CHECK(atomic_load(&counts->getxattr) <= before + 2);
	close(fd);
	if (geteuid())
		return;

	void (*ways[])(void) = { write_suid, truncate_suid, open_truncate_suid, direct_suid };
	put_file("suid", 0600, "suid");
	for (unsigned i = 0; i < CL_ARRAY_LEN(ways); i++) {
		CHECK(!chmod("suid", 06777) && !setxattr("suid", "security.capability", cap_chown, 20, 0));
		as_user(ways[i]);
		CHECK(mode_of("suid") == 0777);
		FAILS(getxattr("suid", "security.capability", NULL, 0), ENODATA);
	}
	/* root's writes leave suid alone, not the capability; chown drops both, but not the group's bit without x. */
	CHECK(!chmod("suid", 06777) && !setxattr("suid", "security.capability", cap_chown, 20, 0));
	put_file("suid", 0, "root");
	CHECK(mode_of("suid") == 06777);
	FAILS(getxattr("suid", "security.capability", NULL, 0), ENODATA);
	CHECK(!setxattr("suid", "security.capability", cap_chown, 20, 0));
	CHECK(!chown("suid", 5, 5) && mode_of("suid") == 0777);
	FAILS(getxattr("suid", "security.capability", NULL, 0), ENODATA);
	CHECK(!chmod("suid", 06766) && !chown("suid", 6, 6) && mode_of("suid") == 02766);
}

#define ENTRY(tag, perm) tag, 0, perm, 0, 0xff, 0xff, 0xff, 0xff
#define NAMED(tag, perm, id) tag, 0, perm, 0, id, 0, 0, 0
static const uint8_t wide[] = { 2, 0, 0, 0, ENTRY(1, 7), NAMED(2, 7, 9), ENTRY(4, 7), ENTRY(16, 7), ENTRY(32, 5) };

static void set_acl_as_stranger(void)
{
	CHECK(!setxattr("sgid", ACL_XATTR_ACCESS, wide, sizeof(wide), 0));
}

static void read_by_acl(void)
{
	CHECK(access("acl/secret", R_OK) == 0);
	FAILS(access("acl/secret", W_OK), EACCES);
}

static void test_acls(void)
{
	uint8_t got[sizeof(wide)];
	umask(077);
	CHECK(!mkdir("acl", 0777) && mode_of("acl") == 0700);
	CHECK(!setxattr("acl", ACL_XATTR_DEFAULT, wide, sizeof(wide), 0));
	put_file("acl/f", 0640, "f"); /* no umask where a default ACL is */
	CHECK(mode_of("acl/f") == 0640);
	CHECK(getxattr("acl/f", ACL_XATTR_ACCESS, got, sizeof(got)) == sizeof(got) && got[4 + 8 * 3 + 2] == 4);
	CHECK(!chmod("acl/f", 0670) && getxattr("acl/f", ACL_XATTR_ACCESS, got, sizeof(got)) == sizeof(got));
	CHECK(got[4 + 8 * 3 + 2] == 7 && got[4 + 8 * 2 + 2] == 7);
	CHECK(!mkdir("acl/d", 0755) && getxattr("acl/d", ACL_XATTR_DEFAULT, got, sizeof(got)) == sizeof(got));
	umask(022);
	FAILS(setxattr("acl/f", ACL_XATTR_ACCESS, wide, 5, 0), EINVAL);
	if (geteuid())
		return;
	put_file("sgid", 0755, "");
	CHECK(!chown("sgid", USER, 1) && !chmod("sgid", 02755) && mode_of("sgid") == 02755);
	as_user(set_acl_as_stranger);
	CHECK(mode_of("sgid") == 0775);

	uint8_t nobody[] = { 2, 0, 0, 0, ENTRY(1, 6), 2, 0, 4, 0, 0xfe, 0xff, 0, 0, ENTRY(4, 0), ENTRY(16, 4),
			     ENTRY(32, 0) };
	CHECK(!chmod("acl", 0755));
	put_file("acl/secret", 0600, "s");
	CHECK(!setxattr("acl/secret", ACL_XATTR_ACCESS, nobody, sizeof(nobody), 0));
	as_user(read_by_acl);
}

static struct fuse_cl_options options(void)
{
	struct fuse_cl_options o = FUSE_CL_OPTIONS_INIT;
	o.allow_other = !geteuid();
	o.fsname = "a,b\\c";
	return o;
}

static void enter(void)
{
	CHECK(mounted() && !chdir(dir));
}

static void test_ends(void)
{
	struct fuse_cl_options o = options();
	char path[64];
	snprintf(path, sizeof(path), "%s/kept", dir);

	/* A signal, nothing open. */
	struct daemon d = start(&o);
	CHECK(d.error == 0 && mounted());
	put_file(path, 0600, "last");
	kill(d.pid, SIGTERM);
	CHECK(wait_end(d.pid) == 0 && !mounted());

	/* A signal, a file open with changes that only the kernel has so far. */
	d = start(&o);
	int fd = make_file(path, 0600, "first");
	CHECK(!fsync(fd) && !ftruncate(fd, 4) && pwrite(fd, "last", 4, 0) == 4);
	kill(d.pid, SIGINT);
	CHECK(wait_end(d.pid) == 0 && !mounted());
	close(fd);

	/* The same, and the file is closed before patience ends. */
	d = start(&o);
	fd = make_file(path, 0600, "last");
	kill(d.pid, SIGHUP);
	usleep(300000);
	CHECK(mounted());
	close(fd);
	CHECK(wait_end(d.pid) == 0 && !mounted());

	/* Two signals: no patience. */
	d = start(&o);
	fd = make_file(path, 0600, "last");
	kill(d.pid, SIGTERM);
	usleep(300000);
	kill(d.pid, SIGTERM);
	usleep(900000);
	CHECK(waitpid(d.pid, NULL, WNOHANG) == d.pid && !mounted());
	close(fd);

	/* Unmounted while a file is open: it stays usable, the daemon serves it to the end. */
	d = start(&o);
	fd = make_file(path, 0600, "not");
	snprintf(path, sizeof(path), "fusermount3 -uz %s", dir);
	CHECK(geteuid() ? system(path) == 0 : umount2(dir, MNT_DETACH) == 0);
	usleep(300000);
	CHECK(waitpid(d.pid, NULL, WNOHANG) == 0 && !mounted());
	CHECK(pwrite(fd, "last", 4, 0) == 4 && !fsync(fd));
	close(fd);
	CHECK(wait_end(d.pid) == 0);
}

/* A file handle, as NFS keeps them, outlives the mount: the second kernel has never looked up its file. */
static void test_handles(void)
{
	struct fuse_cl_options o = options();
	struct {
		struct file_handle h;
		char room[MAX_HANDLE_SZ];
	} handle = { .h.handle_bytes = MAX_HANDLE_SZ };
	struct stat st;
	int mount_id;

	for (unsigned round = 0; round < 2; round++) {
		struct daemon d = start(&o);
		enter();
		if (!round) {
			CHECK(!stat("early", &st));
			CHECK(!name_to_handle_at(AT_FDCWD, "early", &handle.h, &mount_id, 0));
		} else {
			struct stat again;
			int at = open(".", O_RDONLY), fd = open_by_handle_at(at, &handle.h, O_RDONLY);
			CHECK(fd >= 0 && !fstat(fd, &again) && again.st_ino == st.st_ino);
			close(fd);
			close(at);
		}
		CHECK(!chdir("/"));
		unmount();
		CHECK(wait_end(d.pid) == 0);
	}
}

static void test_other_options(void)
{
	struct fuse_cl_options o = options();
	struct stat st;
	o.no_open = true;
	struct daemon d = start(&o);
	enter();
	put_file("f", 0644, "hello");
	put_file("f", 0644, "you");
	CHECK(!stat("f", &st) && st.st_size == 3);
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
	CHECK(settles_to(&counts->inodes, 3));
	CHECK(atomic_load(&counts->open) == 0 && atomic_load(&counts->close) == 0);
	if (!geteuid())
		test_privileges();
	CHECK(!chdir("/"));
	unmount();
	CHECK(wait_end(d.pid) == 0);

	o = options();
	o.multi = true;
	o.ro = true;
	d = start(&o);
	enter();
	unsigned long before = atomic_load(&counts->getattr);
	CHECK(!stat(".", &st) && !stat(".", &st) && atomic_load(&counts->getattr) >= before + 2);
	FAILS(mkdir("d", 0700), EROFS);
	CHECK(!chdir("/"));
	unmount();
	CHECK(wait_end(d.pid) == 0);
}

static void test_refusals(void)
{
	struct fuse_cl_options o = options();
	struct daemon d = start(&o), second = start(&o);
	CHECK(second.error == -EBUSY && strstr(second.fault.text, dir));
	CHECK(wait_end(second.pid) == 1);
	unmount();
	CHECK(wait_end(d.pid) == 0);

	CHECK(!rmdir(dir));
	d = start(&o);
	CHECK(d.error == -ENOENT && strstr(d.fault.text, dir) && wait_end(d.pid) == 1);
	close(open(dir, O_CREAT | O_WRONLY, 0600));
	d = start(&o);
	CHECK(d.error == -ENOTDIR && strstr(d.fault.text, "not a directory") && wait_end(d.pid) == 1);
	CHECK(!unlink(dir) && !mkdir(dir, 0700));

	/* The daemon is killed: the next one says what lies there. */
	d = start(&o);
	kill(d.pid, SIGKILL);
	waitpid(d.pid, NULL, 0);
	d = start(&o);
	CHECK(d.error == -ENOTCONN && strstr(d.fault.text, "without its daemon") && wait_end(d.pid) == 1);
	unmount();
}

static void quiet(enum log_level level CL_UNUSED, const char *line CL_UNUSED, void *arg CL_UNUSED)
{
}

int main(void)
{
	static void (*const tests[])(void) = { test_contents, test_attributes, test_names, test_listing, test_xattrs,
					       test_ranges, test_errors, test_privileges, test_acls };
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED || !mkdtemp(dir))
		return 99;
	if (!getenv("FUSE_LAYER_DEBUG"))
		log_hook(quiet, NULL);
	struct fuse_cl_options o = options();
	o.debug = getenv("FUSE_LAYER_DEBUG");
	struct daemon d = start(&o);
	if (d.error) {
		printf("SKIP: %s\n", d.fault.text);
		rmdir(dir);
		return SKIP;
	}
	enter();
	for (unsigned i = 0; i < CL_ARRAY_LEN(tests); i++) {
		tests[i]();
		CHECK(settles_to(&counts->opens, 0));
	}
	CHECK(!chdir("/"));
	unmount();
	CHECK(wait_end(d.pid) == 0);

	test_ends();
	test_other_options();
	if (!geteuid())
		test_handles();
	test_refusals();
	CHECK(!rmdir(dir));
	printf("%u failures\n", failures);
	return failures != 0;
}
