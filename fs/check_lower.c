/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fsck without a key: lower files and folders of a compartment, and the chain of its journal. */
#include "fs/repair.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OWN_LEASE, OWN_ROOT, OWN_ROOT_COPY, OWN_JOURNAL, OWN_N };
static const char *const own_files[OWN_N] = { "lease", "root", "root.copy", "journal" };

/* While a folder is listed. */
struct listing {
	struct check_comp *cc;
	int folder; /* 0 .. 255; -1: the compartment's own */
	int dirfd;  /* of it; -1: the store is no directory, there are no modes */
	bool have[OWN_N];
	bool folders[256];
	bool copies[PAGEIO_OBJ_ORPHANS + 1][2];
	uint64_t journal_size;
	int err; /* what ends the check */
};

static int count_record(void *arg, const struct journal_record *r)
{
	struct check_comp *cc = arg;

	(void)r;
	cc->records++;
	return 0;
}

static void say_mended(struct check_comp *cc, enum repair_kind kind, const char *text)
{
	REPAIR_WANT(cc, kind);
	check_say(cc, CHECK_ERROR, "%s", text);
}

static int check_journal(struct check_comp *cc, uint64_t size)
{
	struct journal *j;
	bool broken = false;
	int head[2];

	for (unsigned i = 0; i < 2; i++) {
		head[i] = journal_check_header(cc->store, cc->fc->id, i);
		if (check_is_ours(head[i]))
			return head[i];
	}
	int err = journal_open(cc->store, cc->fc->id, true, &j);
	if (check_is_ours(err))
		return err;
	if (err) {
		cc->journal_bad = true;
		if (err == -EPROTONOSUPPORT)
			check_say(cc, CHECK_ERROR, "journal: it is of a newer format");
		else if (err == -EUCLEAN)
			say_mended(cc, REPAIR_JOURNAL_NEW, "journal: both copies of its header are damaged");
		else
			check_say(cc, CHECK_ERROR, "journal: cannot be read: %s", strerror(-err));
		return 0;
	}
	for (unsigned i = 0; i < 2; i++)
		if (head[i])
			say_mended(cc, REPAIR_COMMIT,
				   i ? "journal: the second copy of its header is damaged; the other is good, "
				       "the next checkpoint writes both"
				     : "journal: the first copy of its header is damaged; the other is good, "
				       "the next checkpoint writes both");
	uint64_t want = ((uint64_t)journal_size(j) + 2) * CL_PAGE;
	if (size > want)
		REPAIR_WANT(cc, REPAIR_SIZE, .name = "journal", .a = want);
	else
		REPAIR_WANT(cc, REPAIR_COMMIT);
	if (size && size != want)
		check_say(cc, CHECK_ERROR, "journal: it has %llu bytes, expected %llu", (unsigned long long)size,
			  (unsigned long long)want);
	err = journal_scan(j, count_record, cc, &broken);
	if (err == -EIO)
		REPAIR_WANT(cc, REPAIR_NONE);
	else
		REPAIR_WANT(cc, REPAIR_JOURNAL_CUT);
	if (err == -EUCLEAN || err == -EIO) {
		cc->journal_bad = true;
		check_say(cc, CHECK_ERROR, "journal: record %llu of those that count %s",
			  (unsigned long long)cc->records + 1, err == -EIO ? "cannot be read" : "is malformed");
		err = 0;
	} else if (!err && broken) {
		cc->journal_bad = true;
		check_say(cc, CHECK_ERROR,
			  "journal: the record of transaction %llu is damaged, later ones are whole: "
			  "restore the backing directory from a backup",
			  (unsigned long long)journal_next(j));
	}
	REPAIR_WANT(cc, REPAIR_NONE);
	journal_close(j);
	return err;
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a file";
	case S_IFDIR:
		return "a folder";
	case S_IFLNK:
		return "a symbolic link";
	default:
		return "a special file";
	}
}

/* Type, mode and links of one name; its size in *ret_size. False: it is not what it must be, or cannot be looked at. */
static bool check_name(struct listing *l, const char *shown, const char *name, bool want_dir, uint64_t *ret_size)
{
	struct check_comp *cc = l->cc;
	struct store_file *file;
	struct stat st;

	*ret_size = 0;
	if (l->dirfd < 0) {
		if (want_dir)
			return true;
		int err = cc->store->ops->open(cc->store, shown, STORE_RDONLY, &file);
		if (!err) {
			err = cc->store->ops->size(cc->store, file, ret_size);
			cc->store->ops->close(cc->store, file);
		}
		cc->lower_unread |= err != 0;
		if (check_is_ours(err))
			l->err = err;
		if (err && !(cc->follow && err == -ENOENT))
			check_say(cc, CHECK_ERROR, "lower file %s cannot be read: %s", shown, strerror(-err));
		cc->lower_pages += *ret_size / CL_PAGE;
		return !err;
	}
	if (fstatat(l->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return false;
		cc->lower_unread = true;
		check_say(cc, CHECK_ERROR, "lower file %s cannot be looked at: %s", shown, strerror(errno));
		return false;
	}
	if (want_dir ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode)) {
		REPAIR_WANT(cc, REPAIR_STRAY, .name = shown);
		check_say(cc, CHECK_ERROR, "%s is %s, expected %s", shown, type_name(st.st_mode),
			  want_dir ? "a folder" : "a file");
		return false;
	}
	if ((st.st_mode & 07777) != (want_dir ? 0700u : 0600u)) {
		REPAIR_WANT(cc, REPAIR_MODE, .name = shown, .a = want_dir);
		check_say(cc, CHECK_ERROR, "lower %s %s: its mode is %04o, expected %04o", want_dir ? "folder" : "file",
			  shown, (unsigned)st.st_mode & 07777, want_dir ? 0700u : 0600u);
	}
	if (want_dir)
		return true;
	if (st.st_nlink > 1) {
		REPAIR_WANT(cc, REPAIR_UNSHARE, .name = shown);
		check_say(cc, CHECK_ERROR, "lower file %s: it has %llu names, expected 1: it is not opened like that",
			  shown, (unsigned long long)st.st_nlink);
	}
	*ret_size = (uint64_t)st.st_size;
	cc->lower_pages += (uint64_t)st.st_blocks * 512 / CL_PAGE;
	return true;
}

static bool is_hex(const char *s, size_t n)
{
	return strspn(s, "0123456789abcdef") >= n;
}

static int on_own(void *arg, const char *name, bool is_dir)
{
	struct listing *l = arg;
	struct check_comp *cc = l->cc;
	uint64_t size;

	(void)is_dir;
	for (unsigned i = 0; i < OWN_N; i++) {
		if (strcmp(name, own_files[i]))
			continue;
		uint64_t before = cc->lower_pages;
		l->have[i] = true;
		bool good = check_name(l, name, name, false, &size);
		if (i != OWN_ROOT && i != OWN_ROOT_COPY)
			cc->lower_pages = before; /* not read page by page */
		if (i == OWN_JOURNAL)
			l->journal_size = size;
		else if (good && i != OWN_LEASE && size != CL_PAGE && !cc->follow) {
			REPAIR_WANT(cc, REPAIR_SIZE, .name = name, .a = CL_PAGE);
			check_say(cc, CHECK_ERROR, "%s: it has %llu bytes, expected 4096", name,
				  (unsigned long long)size);
		}
		return 0;
	}
	if (strlen(name) == 2 && is_hex(name, 2)) {
		l->folders[strtoul(name, NULL, 16)] = check_name(l, name, name, true, &size);
		return 0;
	}
	REPAIR_WANT(cc, strcmp(name, REPAIR_TEMP_NAME) ? REPAIR_STRAY : REPAIR_TEMP, .name = name);
	check_say(cc, CHECK_ERROR, "%s is not a name that belongs there", name);
	return 0;
}

static int add_object(struct check_comp *cc, uint64_t object)
{
	uint64_t *p = check_grow(cc->lower, cc->n_lower, &cc->cap_lower, sizeof *p);

	if (!p)
		return -ENOMEM;
	cc->lower = p;
	p[cc->n_lower++] = object;
	return 0;
}

static int on_object(void *arg, const char *name, bool is_dir)
{
	struct listing *l = arg;
	struct check_comp *cc = l->cc;
	char shown[300];
	uint64_t size;

	(void)is_dir;
	snprintf(shown, sizeof shown, "%02x/%s", (unsigned)l->folder, name);
	size_t n = strlen(name);
	char digits[17] = { 0 };
	strncpy(digits, name, 16);
	uint64_t object = n >= 16 && is_hex(digits, 16) ? strtoull(digits, NULL, 16) : 0;
	bool copy = n > 16 && !strcmp(name + 16, ".copy");
	bool special = object >= PAGEIO_OBJ_INODES && object <= PAGEIO_OBJ_ORPHANS;
	if ((n != 16 && !copy) || (copy && !special) || (!special && object < PAGEIO_OBJ_FIRST) || object >> 63 ||
	    (int)(object & 0xff) != l->folder) {
		REPAIR_WANT(cc, REPAIR_STRAY, .name = shown);
		check_say(cc, CHECK_ERROR, "%s is not a name that belongs there", shown);
		return 0;
	}
	if (special)
		l->copies[object][copy] = true;
	if (!check_name(l, shown, name, false, &size))
		return 0;
	/* Of a write that a power cut tore. What is referenced there does not authenticate, and is told by the name of its file. */
	if (size % CL_PAGE && !cc->follow) {
		REPAIR_WANT(cc, REPAIR_SIZE, .name = shown, .a = (size + CL_PAGE - 1) / CL_PAGE * CL_PAGE);
		check_say(cc, CHECK_NOTE, "lower file %s: its size of %llu bytes is not a multiple of 4096", shown,
			  (unsigned long long)size);
	}
	return special ? 0 : add_object(cc, object);
}

static int list_folder(struct listing *l, const char *name, int (*fn)(void *arg, const char *name, bool is_dir))
{
	struct check_comp *cc = l->cc;
	int top = store_dir_fd(cc->store);

	l->dirfd = top < 0 ? -1 : openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int err = top >= 0 && l->dirfd < 0 ? -errno : cc->store->ops->list(cc->store, name, fn, l);
	err = l->err ? l->err : err;
	if (l->dirfd >= 0)
		close(l->dirfd);
	if (check_is_ours(err))
		return err;
	if (err) {
		cc->lower_unsure = true;
		check_say(cc, CHECK_ERROR, "lower folder %s cannot be listed: %s", name, strerror(-err));
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

bool check_lower_has(const struct check_comp *cc, uint64_t object)
{
	return cc->n_lower && bsearch(&object, cc->lower, cc->n_lower, sizeof object, by_number);
}

/* An object with two copies has none or both, except while the journal still has pages of it. */
static void check_copies(const struct listing *l)
{
	char name[STORE_NAME_MAX];

	for (uint64_t object = PAGEIO_OBJ_INODES;
	     object <= PAGEIO_OBJ_ORPHANS && !l->cc->records && !l->cc->journal_bad; object++)
		for (unsigned copy = 0; copy < 2; copy++) {
			if (l->copies[object][copy] || (!l->copies[object][!copy] && object == PAGEIO_OBJ_ORPHANS))
				continue;
			pageio_name(object, copy, name);
			if (!l->folders[object & 0xff])
				continue;
			REPAIR_WANT(l->cc, REPAIR_TOUCH, .a = object, .b = copy);
			check_say(l->cc, CHECK_ERROR, "lower file %s is missing", name);
		}
}

static void check_missing(const struct listing *l)
{
	static const enum repair_kind mend[OWN_N] = { REPAIR_LEASE, REPAIR_COMMIT, REPAIR_COMMIT, REPAIR_JOURNAL_NEW };
	unsigned n = 0;

	for (unsigned i = 0; i < OWN_N; i++) {
		REPAIR_WANT(l->cc, mend[i]);
		if (!l->have[i])
			check_say(l->cc, CHECK_ERROR, "%s is missing", own_files[i]);
	}
	for (unsigned i = 0; i < 256; i++)
		n += !l->folders[i];
	for (unsigned i = 0; i < 256 && n <= 8; i++) {
		REPAIR_WANT(l->cc, REPAIR_FOLDER);
		if (!l->folders[i])
			check_say(l->cc, CHECK_ERROR, "lower folder %02x is missing", i);
	}
	REPAIR_WANT(l->cc, n > 8 ? REPAIR_FOLDER : REPAIR_NONE);
	if (n > 8)
		check_say(l->cc, CHECK_ERROR, "%u of its 256 lower folders are missing", n);
}

int check_lower(struct check_comp *cc)
{
	struct listing l = { .cc = cc, .folder = -1 };
	struct stat st;
	char name[4];
	int fd = store_dir_fd(cc->store);

	if (fd >= 0 && !fstat(fd, &st) && (st.st_mode & 07777) != 0700) {
		REPAIR_WANT(cc, REPAIR_MODE, .name = ".", .a = 1);
		check_say(cc, CHECK_ERROR, "its folder %s: its mode is %04o, expected 0700", cc->id,
			  (unsigned)st.st_mode & 07777);
	}
	int err = list_folder(&l, ".", on_own);
	if (err)
		return err;
	if (cc->lower_unsure) /* nothing is known then; what needs the files will say so */
		return 0;
	check_missing(&l);
	for (l.folder = 0; l.folder < 256 && !err; l.folder++) {
		if (!l.folders[l.folder])
			continue;
		snprintf(name, sizeof name, "%02x", (unsigned)l.folder);
		err = list_folder(&l, name, on_object);
	}
	if (err)
		return err;
	if (cc->n_lower)
		qsort(cc->lower, cc->n_lower, sizeof *cc->lower, by_number);
	if (cc->follow)
		return 0; /* the journal moves, and copies may be just being made */
	if (l.have[OWN_JOURNAL])
		err = check_journal(cc, l.journal_size);
	else
		cc->journal_bad = true;
	if (!err)
		check_copies(&l);
	return err;
}
