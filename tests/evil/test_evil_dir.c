/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hostile store, on a real directory: links that lead out of it, fifos, devices, sockets and folders in the place of lower files,
 * huge sizes, a journal that grows for ever, hostile names. Nothing hangs, nothing outside is opened or changed, and what
 * is read is right or an error. Needs openat2(2).
 */
#include "tests/evil/trial.h"

#include "common/log.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LAST = SCENE_STAGES - 1, PATH_LEN = 512 };

#define MUST(x)                                                                                      \
	do {                                                                                         \
		if ((x) < 0) {                                                                       \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #x, strerror(errno)); \
			exit(EXIT_FAILURE);                                                          \
		}                                                                                    \
	} while (0)

struct hostile {
	struct scene scene;
	char top[64];     /* private folder; the volume is in it, and what is outside of the volume */
	char outside[96]; /* a file that nobody must touch */
	char away[96];    /* a folder outside, with whole copies of lower files */
	struct stat before[2];
	char what[900];
	struct scene_result r;
	struct trial_check c;
	unsigned long n, refused;
};

static const char *in_comp(const struct hostile *h, int comp, const char *name)
{
	static char path[4][PATH_LEN * 2];
	static unsigned n;
	char *p = path[n++ % 4];

	snprintf(p, sizeof path[0], "%s/v/%s/%s", h->top, h->scene.image[LAST]->comps[comp], name);
	return p;
}

static void write_file(const char *path, const struct image_file *f)
{
	uint8_t page[CL_PAGE];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	MUST(fd);
	for (size_t i = 0; i < f->n_pages; i++) {
		size_t n = image_read(f, page, CL_PAGE, i * CL_PAGE);
		if (f->pages[i])
			MUST(pwrite(fd, page, n, (off_t)(i * CL_PAGE)));
	}
	MUST(ftruncate(fd, (off_t)f->size));
	close(fd);
}

static void remove_tree(const char *path)
{
	char cmd[PATH_LEN * 2 + 16];

	snprintf(cmd, sizeof cmd, "rm -rf '%s'", path);
	if (system(cmd)) {
		fprintf(stderr, "%s: failed\n", cmd);
		exit(EXIT_FAILURE);
	}
}

/* The lower files as they were when the daemon was killed; the folders are as they should be. */
static void restore_files(struct hostile *h)
{
	const struct image *im = h->scene.image[LAST];

	for (size_t i = 0; i < im->n; i++) {
		const char *path = in_comp(h, im->files[i]->comp, im->files[i]->name);
		if (unlink(path) && errno == EISDIR)
			MUST(rmdir(path));
		write_file(path, im->files[i]);
	}
}

/* The volume as it was then. */
static void restore(struct hostile *h)
{
	char name[8], volume[PATH_LEN];

	snprintf(volume, sizeof volume, "%s/v", h->top);
	remove_tree(volume);
	MUST(mkdir(volume, 0700));
	for (int comp = 0; comp < (int)IMAGE_COMPS; comp++) {
		MUST(mkdir(in_comp(h, comp, ""), 0700));
		for (unsigned i = 0; i < 256; i++) {
			snprintf(name, sizeof name, "%02x", i);
			MUST(mkdir(in_comp(h, comp, name), 0700));
		}
	}
	restore_files(h);
}

static void look_outside(const struct hostile *h, struct stat st[2])
{
	MUST(stat(h->outside, &st[0]));
	MUST(stat(h->away, &st[1]));
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void check_outside(struct hostile *h)
{
	struct stat now[2];

	look_outside(h, now);
	for (unsigned i = 0; i < 2; i++)
		if (!same_time(now[i].st_atim, h->before[i].st_atim) ||
		    !same_time(now[i].st_mtim, h->before[i].st_mtim) || now[i].st_size != h->before[i].st_size ||
		    now[i].st_mode != h->before[i].st_mode)
			trial_fail("%s: something outside was read or changed", h->what);
}

static bool may_refuse(int err)
{
	return SCENE_LOST(err) || err == -ENOENT || err == -EUCLEAN;
}

/* Opens and reads: one commit, from the oldest one on. True: it was refused, or something cannot be read. */
static bool read_it(struct hostile *h, bool writes, unsigned oldest)
{
	const struct fs_config cfg = { .no_threads = true, .read_only = !writes };
	char path[PATH_LEN + 8], first[sizeof h->r.wrong] = "";
	struct fault why = { 0 };
	struct store *store;
	struct fs *fs;
	int n = LAST;

	snprintf(path, sizeof path, "%s/v", h->top);
	MUST(store_dir_open(path, &store));
	int err = fs_open(store, h->scene.comps, 2, &cfg, &fs, &why);
	if (err) {
		if (!may_refuse(err) || !why.text[0])
			trial_fail("%s: refused with %d: %s", h->what, err, why.text);
		h->refused += !writes;
		store->ops->free(store);
		return true;
	}
	for (; n >= (int)oldest; n--) {
		scene_read(&h->scene.state[n], fs, NULL, 0, &h->r);
		if (!h->r.wrong[0])
			break;
		if (!first[0])
			strcpy(first, h->r.wrong);
	}
	if (n < (int)oldest)
		trial_fail("%s: %s", h->what, first);
	err = fs_close(fs);
	if (err && !writes)
		trial_fail("%s: closing: %d", h->what, err);
	store->ops->free(store);
	return h->r.errors;
}

static void on_finding(void *arg, const char *path, const char *text, bool fixed)
{
	(void)arg;
	(void)path;
	(void)text;
	(void)fixed;
}

static uint64_t fsck(struct hostile *h)
{
	const struct fs_config cfg = { .no_threads = true };
	struct fs_check check = { .report = on_finding };
	char path[PATH_LEN + 8];
	struct fault why = { 0 };
	struct store *store;

	snprintf(path, sizeof path, "%s/v", h->top);
	MUST(store_dir_open(path, &store));
	int err = fs_check(store, h->scene.comps, 2, &cfg, &check, &why);
	if (err)
		trial_fail("%s: fsck: %d: %s", h->what, err, why.text);
	store->ops->free(store);
	return check.ret_errors;
}

/* One change, which is in place. odd: fsck must say so, whatever a reader finds. */
static void judge(struct hostile *h, unsigned oldest, bool odd)
{
	alarm(60); /* a fifo, a device or a file without end must not hold anybody */
	look_outside(h, h->before);
	h->n++;
	bool bad = read_it(h, false, oldest);
	uint64_t errors = fsck(h);
	if (!errors && (odd || bad))
		trial_fail("%s: fsck says nothing%s", h->what, bad ? ", and a reader has errors" : "");
	read_it(h, true, oldest);
	check_outside(h);
	alarm(0);
}

/* ---- things in the place of a lower file */

static void make_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char dir[PATH_LEN], was[PATH_LEN];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	/* A path may be longer than such an address. */
	snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
	snprintf(a.sun_path, sizeof a.sun_path, "%.40s", strrchr(path, '/') + 1);
	MUST(fd);
	if (!getcwd(was, sizeof was))
		exit(EXIT_FAILURE);
	MUST(chdir(dir));
	MUST(bind(fd, (struct sockaddr *)&a, sizeof a));
	MUST(chdir(was));
	close(fd);
}

/* A size that the filesystem takes, up to 2^60. */
static void make_huge(const char *path)
{
	for (unsigned bit = 60; bit > 30; bit--)
		if (!truncate(path, (off_t)1 << bit))
			return;
}

enum thing {
	LINK_OUTSIDE,
	LINK_PASSWD,
	LINK_OBJECT,
	LINK_SELF,
	LINK_COPY,
	FIFO,
	DEV_NULL,
	DEV_ZERO,
	SOCKET,
	FOLDER,
	SECOND_NAME,
	NAME_OF_OTHER,
	HUGE,
	NOTHING_IN_IT,
	THINGS
};
static const char *const thing_names[] = { "a symlink to a file outside",
					   "a symlink to /etc/passwd",
					   "a symlink to an object",
					   "a symlink to itself",
					   "a symlink to its own copy outside",
					   "a fifo",
					   "/dev/null",
					   "/dev/zero",
					   "a socket",
					   "a folder",
					   "a file with a second name outside",
					   "another name of another object",
					   "a huge file",
					   "an empty file" };

/* False: cannot be made here. */
static bool put(struct hostile *h, const char *path, enum thing t)
{
	char other[PATH_LEN * 2];

	snprintf(other, sizeof other, "%s/copy", h->away);
	if (t != HUGE && t != NOTHING_IN_IT && t != SECOND_NAME && t != LINK_COPY)
		MUST(unlink(path));
	switch (t) {
	case LINK_OUTSIDE:
		MUST(symlink(h->outside, path));
		break;
	case LINK_PASSWD:
		MUST(symlink("/etc/passwd", path));
		break;
	case LINK_OBJECT:
		MUST(symlink(in_comp(h, 0, "12/0000000000000012"), path));
		break;
	case LINK_SELF:
		MUST(symlink(path, path));
		break;
	case LINK_COPY: /* what it leads to is right, and still not opened */
		unlink(other);
		MUST(rename(path, other));
		MUST(symlink(other, path));
		break;
	case FIFO:
		MUST(mkfifo(path, 0600));
		break;
	case DEV_NULL:
		return mknod(path, S_IFCHR | 0600, 0x103) == 0;
	case DEV_ZERO:
		return mknod(path, S_IFCHR | 0600, 0x105) == 0;
	case SOCKET:
		make_socket(path);
		break;
	case FOLDER:
		MUST(mkdir(path, 0700));
		break;
	case SECOND_NAME:
		unlink(other);
		MUST(link(path, other));
		break;
	case NAME_OF_OTHER:
		MUST(link(in_comp(h, 1, "root"), path));
		break;
	case HUGE:
		make_huge(path);
		break;
	default:
		MUST(truncate(path, 0));
	}
	return true;
}

static void instead_of_files(struct hostile *h, const struct trial_options *o)
{
	static const char *const files[] = { "journal",
					     "root",
					     "root.copy",
					     "01/0000000000000001",
					     "01/0000000000000001.copy",
					     "02/0000000000000002",
					     "11/0000000000000011",
					     "13/0000000000000013",
					     "lease" };

	restore(h);
	for (size_t i = 0; i < CL_ARRAY_LEN(files); i++)
		for (unsigned t = 0; t < THINGS; t++) {
			/* An empty lease is as good as any. */
			uint64_t chance = o->seed + i * THINGS + t;
			if ((!strcmp(files[i], "lease") && t >= HUGE) || trial_rand(&chance) % 100 >= o->share)
				continue;
			restore_files(h);
			snprintf(h->what, sizeof h->what, "%s is %s", files[i], thing_names[t]);
			if (put(h, in_comp(h, 0, files[i]), t))
				judge(h, strcmp(files[i], "journal") ? LAST : 0, t < HUGE);
		}
}

/* ---- folders */

static void instead_of_folders(struct hostile *h)
{
	static const char *const folders[] = { "12", "01", "" };
	char path[PATH_LEN * 2], moved[PATH_LEN];

	snprintf(moved, sizeof moved, "%s/moved", h->away);

	for (size_t i = 0; i < CL_ARRAY_LEN(folders); i++)
		for (unsigned t = 0; t < 4; t++) {
			static const char *const names[] = { "a symlink to its copy outside", "missing", "a file",
							     "a symlink to another one" };
			restore(h);
			snprintf(path, sizeof path, "%s", in_comp(h, 0, folders[i]));
			path[strlen(path) - (folders[i][0] == '\0')] = '\0'; /* no slash at the end */
			snprintf(h->what, sizeof h->what, "folder \"%s\" is %s", folders[i], names[t]);
			remove_tree(moved);
			MUST(rename(path, moved));
			if (t == 0)
				MUST(symlink(moved, path));
			else if (t == 2)
				MUST(close(open(path, O_WRONLY | O_CREAT, 0600)));
			else if (t == 3)
				MUST(symlink(in_comp(h, folders[i][0] ? 0 : 1, folders[i][0] ? "10" : ""), path));
			judge(h, LAST, true);
		}
	remove_tree(moved);
}

/* ---- a journal that grows while it is read, and pages that change */

static pid_t start(void (*fn)(const char *path), const char *path)
{
	pid_t pid = fork();

	MUST(pid);
	if (pid)
		return pid;
	alarm(120);
	fn(path);
	_exit(0);
}

static void append_for_ever(const char *path)
{
	static uint8_t junk[16 * CL_PAGE];
	int fd = open(path, O_WRONLY | O_APPEND);
	struct stat st;

	memcpy(junk, "CLOISONT", 8);
	while (fd >= 0 && write(fd, junk, sizeof junk) > 0)
		if (!fstat(fd, &st) && st.st_size > (64 << 20) && ftruncate(fd, 162 * CL_PAGE))
			break;
}

static void change_for_ever(const char *path)
{
	int fd = open(path, O_RDWR);
	struct stat st;
	uint8_t b;

	if (fd < 0 || fstat(fd, &st) || st.st_size == 0)
		return;
	for (uint64_t seed = 1;;) {
		off_t at = (off_t)(trial_rand(&seed) % (uint64_t)st.st_size);
		if (pread(fd, &b, 1, at) != 1)
			return;
		b ^= 1;
		if (pwrite(fd, &b, 1, at) != 1)
			return;
	}
}

static void while_it_runs(struct hostile *h, unsigned rounds)
{
	static const char *const files[] = { "root", "01/0000000000000001", "12/0000000000000012", "journal" };

	restore(h);
	pid_t pid = start(append_for_ever, in_comp(h, 0, "journal"));
	for (unsigned i = 0; i < rounds; i++) {
		snprintf(h->what, sizeof h->what, "the journal grows");
		alarm(60);
		read_it(h, i == rounds - 1, 0);
		fsck(h);
		alarm(0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (size_t k = 0; k < CL_ARRAY_LEN(files); k++) {
		restore_files(h);
		pid = start(change_for_ever, in_comp(h, 0, files[k]));
		for (unsigned i = 0; i < rounds; i++) {
			snprintf(h->what, sizeof h->what, "%s changes all the time", files[k]);
			alarm(60);
			read_it(h, false, 0);
			fsck(h);
			alarm(0);
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

/* Names that do not belong there: told, and nothing else. */
static void hostile_names(struct hostile *h)
{
	static const char *const where[] = { "", "12/" };
	char longest[256], path[PATH_LEN];
	const char *const names[] = { "line\nfeed", "\033[2J\033]0;x\007",   "..copy", "\xff\xfe",
				      "-rf",        "0000000000000012.COPY", longest };

	memset(longest, 'n', 255);
	longest[255] = '\0';
	restore(h);
	for (size_t i = 0; i < CL_ARRAY_LEN(where); i++)
		for (size_t k = 0; k < CL_ARRAY_LEN(names); k++) {
			snprintf(path, sizeof path, "%s%s", where[i], names[k]);
			MUST(close(open(in_comp(h, 0, path), O_WRONLY | O_CREAT, 0600)));
		}
	snprintf(h->what, sizeof h->what, "hostile names");
	look_outside(h, h->before);
	if (read_it(h, false, LAST))
		trial_fail("%s: something cannot be read", h->what);
	uint64_t errors = fsck(h);
	if (errors != CL_ARRAY_LEN(where) * CL_ARRAY_LEN(names))
		trial_fail("%s: fsck has %llu errors", h->what, (unsigned long long)errors);
}

int main(int argc, char **argv)
{
	bool brief = getenv("CLOISON_TEST_SHORT");
	struct trial_options o = { .seed = (uint64_t)time(NULL), .share = brief ? 12 : 100 };
	static struct hostile h;
	int fd;

	if (getenv("CLOISON_TEST_MEMORY")) {
		puts("needs openat2(2)");
		return 77;
	}
	if (argc > 1)
		o.seed = strtoull(argv[1], NULL, 0);
	printf("seed %llu\n", (unsigned long long)o.seed);
	/* Thousands of small files, and syncs: in memory, where there is such a place. */
	snprintf(h.top, sizeof h.top, "%s/cloison-evil-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(h.top))
		return EXIT_FAILURE;
	snprintf(h.outside, sizeof h.outside, "%s/outside", h.top);
	snprintf(h.away, sizeof h.away, "%s/away", h.top);
	MUST(mkdir(h.away, 0700));
	fd = open(h.outside, O_WRONLY | O_CREAT, 0600);
	MUST(write(fd, "nobody's business\n", 18));
	close(fd);
	scene_make(&h.scene);
	instead_of_files(&h, &o);
	instead_of_folders(&h);
	hostile_names(&h);
	while_it_runs(&h, brief ? 1 : 10);
	printf("%lu things in the place of files and folders, %lu refused\n", h.n, h.refused);
	scene_free(&h.scene);
	scene_done();
	remove_tree(h.top);
	return trial_failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
