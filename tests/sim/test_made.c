/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Power cuts while a volume is made, and while its header is replaced. A volume that is not finished has no header, so all that
 * is asked of it is that it is refused in good order; once it is finished it opens. A header is the old one or the new one.
 */
#include "common/file.h"
#include "common/log.h"
#include "fs/fs.h"
#include "fs/seal.h"
#include "tests/model/ref.h"
#include "tests/sim/simnode.h"

#include <check.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define LABELS 2u
#define ULL(x) ((unsigned long long)(x))

static struct fs_compartment comps[LABELS];
static const struct fs_config cfg = { .journal_pages = 64, .no_threads = true };

static void quiet(enum log_level level CL_UNUSED, const char *line CL_UNUSED, void *arg CL_UNUSED)
{
}

static void make_keys(void)
{
	log_hook(quiet, NULL);
	ck_assert_int_eq(seal_init(), 0);
	for (unsigned i = 0; i < LABELS; i++) {
		uint8_t key[32];
		struct secret *s;
		memset(key, 0x40 + (int)i, sizeof key);
		ck_assert_int_eq(secret_new_take(key, sizeof key, &s), 0);
		comps[i] = (struct fs_compartment){ .rank = i, .dir = i ? "upper" : NULL, .key = s };
		memset(comps[i].id, 0x90 + (int)i, 16);
	}
}

static void forget_keys(void)
{
	for (unsigned i = 0; i < LABELS; i++)
		secret_free((struct secret *)(uintptr_t)comps[i].key);
	seal_done();
	log_hook(NULL, NULL);
}

static int open_all(struct store *s, struct fault *f)
{
	struct fs_check check = { 0 };
	struct fs_attr a;
	struct fs *fs;
	int err = fs_open(s, comps, LABELS, &cfg, &fs, f);

	if (err)
		return err;
	err = fs_lookup(fs, FS_ROOT, "upper", &a);
	if (!err)
		fs_forget(fs, a.ino, 1);
	else
		fault_set(f, err, 1, "there is no gate yet");
	int err2 = fs_close(fs);
	if (!err && !err2)
		err = fs_check(s, comps, LABELS, &cfg, &check, f);
	return err ? err : err2 ? err2 : check.ret_errors ? -EBADMSG : 0;
}

START_TEST(test_format)
{
	struct simdisk *d = simdisk_new();
	struct store *s = simdisk_store(d);
	struct fault f = { 0 };
	uint64_t rng = 1;
	size_t step = getenv("CLOISON_TEST_SHORT") ? 41 : 3;

	make_keys();
	simdisk_record(d);
	ck_assert_msg(!fs_format(s, comps, LABELS, 0, 0, &cfg, &f), "%s", f.text);
	size_t n = simdisk_log(d), opened = 0;
	for (size_t at = n;; at -= CL_MIN(at, step)) {
		for (unsigned how = 0; how < SIM_CUTS; how++) {
			struct simdisk *left = simdisk_cut(d, at, (enum sim_cut)how, &rng);
			struct store *after = simdisk_store(left);
			f = (struct fault){ 0 };
			int err = open_all(after, &f);
			ck_assert_msg(at < n || !err, "finished, but lost (%u): %s", how, f.text);
			ck_assert_msg(!err || *f.text, "at %zu (%u): no word of what is wrong: %s", at, how, strerror(-err));
			opened += !err;
			after->ops->free(after);
			simdisk_free(left);
		}
		if (!at)
			break;
	}
	ck_assert_uint_ge(opened, SIM_CUTS);
	s->ops->free(s);
	simdisk_free(d);
	forget_keys();
}
END_TEST

/* The calls of common/file.c that change something, on the simulated disk; they come here by the linker's --wrap. */
#define FAKE 5000 /* descriptors from here on are nodes of the disk */

static struct simdisk *disk; /* NULL: the calls are real */
static uint64_t taken;       /* bytes written to each file so far: one file at a time */

int __real_openat64(int dirfd, const char *name, int flags, ...);
ssize_t __real_write(int fd, const void *buf, size_t n);
int __real_fsync(int fd);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_unlinkat(int dirfd, const char *name, int flags);
int __real_close(int fd);
int __real_fchmod(int fd, mode_t mode);
int __real_fchown(int fd, uid_t uid, gid_t gid);
int __wrap_openat64(int dirfd, const char *name, int flags, ...);
ssize_t __wrap_write(int fd, const void *buf, size_t n);
int __wrap_fsync(int fd);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_unlinkat(int dirfd, const char *name, int flags);
int __wrap_close(int fd);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fchown(int fd, uid_t uid, gid_t gid);

static void name_op(enum sim_kind kind, const char *name, const char *to, uint32_t child)
{
	struct sim_op op = { .kind = kind, .child = child };

	strncpy(op.name, name, SIM_NAME - 1);
	if (to)
		strncpy(op.to, to, SIM_NAME - 1);
	simdisk_do(disk, &op);
}

int __wrap_openat64(int dirfd, const char *name, int flags, ...)
{
	if (!disk)
		return __real_openat64(dirfd, name, flags, 0600);
	uint32_t node = simnode_find(&disk->now, 0, name);
	if (flags & O_CREAT) {
		ck_assert_uint_eq(node, SIM_NOBODY);
		node = simnode_new(&disk->now, false);
		name_op(SIM_LINK, name, NULL, node);
		taken = 0;
	}
	if (node != SIM_NOBODY)
		return FAKE + (int)node;
	errno = ENOENT;
	return -1;
}

ssize_t __wrap_write(int fd, const void *buf, size_t n)
{
	if (!disk || fd < FAKE)
		return __real_write(fd, buf, n);
	n = CL_MIN(n, 700u); /* in pieces */
	struct sim_op op = { .kind = SIM_WRITE, .node = (uint32_t)(fd - FAKE), .off = taken, .len = n };
	op.data = ref_alloc(sizeof *op.data + n);
	op.data->refs = 1;
	memcpy(op.data->bytes, buf, n);
	taken += n;
	simdisk_do(disk, &op);
	return (ssize_t)n;
}

int __wrap_fsync(int fd)
{
	if (!disk || fd < FAKE)
		return __real_fsync(fd);
	simdisk_do(disk, &(struct sim_op){ .kind = fd == FAKE ? SIM_SYNC_DIR : SIM_SYNC, .node = (uint32_t)(fd - FAKE) });
	return 0;
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	if (!disk)
		return __real_renameat(from_fd, from, to_fd, to);
	name_op(SIM_RENAME, from, to, simnode_find(&disk->now, 0, from));
	return 0;
}

int __wrap_unlinkat(int dirfd, const char *name, int flags)
{
	if (!disk)
		return __real_unlinkat(dirfd, name, flags);
	name_op(SIM_UNLINK, name, NULL, SIM_NOBODY);
	return 0;
}

int __wrap_close(int fd)
{
	return disk && fd >= FAKE ? 0 : __real_close(fd);
}

int __wrap_fchmod(int fd, mode_t mode)
{
	return disk && fd >= FAKE ? 0 : __real_fchmod(fd, mode);
}

int __wrap_fchown(int fd, uid_t uid, gid_t gid)
{
	return disk && fd >= FAKE ? 0 : __real_fchown(fd, uid, gid);
}

/* Which of the texts a file has; -1: another, or none. */
static int text_of(struct simdisk *d, const char *name, const char *const *texts, size_t n)
{
	uint32_t node = simnode_find(&d->now, 0, name);
	char buf[4096];

	for (size_t i = 0; node != SIM_NOBODY && i < n; i++) {
		size_t len = strlen(texts[i]);
		if (d->now.v[node].size != len)
			continue;
		simnode_read(&d->now, node, buf, len, 0);
		if (!memcmp(buf, texts[i], len))
			return (int)i;
	}
	return -1;
}

/* Both copies of the header, replaced one after the other, twice: as every change of the key slots does. */
START_TEST(test_header)
{
	static const char *const names[] = { "volume.json", "volume.json.bak" };
	char one[1500], two[2500], three[1000];
	const char *const texts[] = { one, two, three };
	const size_t sizes[] = { sizeof one, sizeof two, sizeof three };
	size_t done[3][2]; /* place in the log where each version of each copy was finished */
	uint64_t rng = 2;

	disk = simdisk_new();
	simdisk_record(disk);
	for (unsigned v = 0; v < 3; v++) {
		memset((char *)(uintptr_t)texts[v], 'a' + (int)v, sizes[v] - 1);
		((char *)(uintptr_t)texts[v])[sizes[v] - 1] = '\0';
		for (unsigned c = 0; c < 2; c++) {
			ck_assert_int_eq(file_write_atomic(AT_FDCWD, names[c], texts[v], sizes[v] - 1), 0);
			done[v][c] = simdisk_log(disk);
		}
	}
	struct simdisk *d = disk;
	disk = NULL;
	for (size_t at = 0; at <= simdisk_log(d); at++) {
		for (unsigned k = 0; k < 8 * SIM_CUTS; k++) {
			struct simdisk *left = simdisk_cut(d, at, (enum sim_cut)(k % SIM_CUTS), &rng);
			for (unsigned c = 0; c < 2; c++) {
				int safe = at < done[0][c] ? -1 : at < done[1][c] ? 0 : at < done[2][c] ? 1 : 2;
				int got = text_of(left, names[c], texts, 3);
				ck_assert_msg(got >= safe && got <= safe + 1, "at %zu (%u): %s has version %d, expected %d or the next",
					      at, k % SIM_CUTS, names[c], got, safe);
				ck_assert_msg(got >= 0 || simnode_find(&left->now, 0, names[c]) == SIM_NOBODY,
					      "at %zu (%u): %s is torn", at, k % SIM_CUTS, names[c]);
			}
			simdisk_free(left);
		}
	}
	simdisk_free(d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("made");
	TCase *tc = tcase_create("made");

	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	(void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, test_format);
	tcase_add_test(tc, test_header);
	suite_add_tcase(s, tc);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
