/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The daemon's runtime record. */
#include "tools/common/record.h"

#include "common/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_MAX 65536u

struct record {
	int fd;
	int dirfd;
	char name[32];
	struct record_info info; /* owned */
};

void record_info_done(struct record_info *i)
{
	free(i->dir);
	free(i->target);
	free(i->label);
	free(i->uuid);
	free(i->options);
	free(i->state);
	*i = (struct record_info){ 0 };
}

/* The folder for a user's mounts. A user cannot lead root anywhere: no symlinks, and the owner is checked. */
static int open_folder(uid_t uid, bool make)
{
	char path[4096];
	const char *run = getenv("XDG_RUNTIME_DIR");
	int n;
	if (uid == 0)
		n = snprintf(path, sizeof path, "/run/cloison");
	else if (uid == getuid() && run && *run == '/')
		n = snprintf(path, sizeof path, "%s/cloison", run);
	else
		n = snprintf(path, sizeof path, "/run/user/%u/cloison", (unsigned)uid);
	if (n < 0 || (size_t)n >= sizeof path)
		return -ENAMETOOLONG;
	if (make && mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	struct stat st;
	if (fstat(fd, &st) || st.st_uid != uid) {
		close(fd);
		return -EACCES;
	}
	return fd;
}

static int put(char *buf, size_t *len, const char *name, const char *value)
{
	if (!value)
		return 0;
	int n = snprintf(buf + *len, RECORD_MAX - *len, "%s=%s", name, value);
	if (n < 0 || (size_t)n >= RECORD_MAX - *len)
		return -EOVERFLOW;
	*len += (size_t)n + 1;
	return 0;
}

static int write_info(int fd, const struct record_info *i)
{
	char *buf = malloc(RECORD_MAX);
	if (!buf)
		return -ENOMEM;
	char pid[16];
	snprintf(pid, sizeof pid, "%d", (int)i->pid);
	size_t len = 0;
	const struct {
		const char *name, *value;
	} all[] = {
		{ "pid", pid },        { "state", i->state }, { "dir", i->dir },
		{ "target", i->target }, { "uuid", i->uuid }, { "label", i->label },
		{ "options", i->options },
	};
	int err = 0;
	for (size_t k = 0; k < CL_ARRAY_LEN(all) && !err; k++)
		err = put(buf, &len, all[k].name, all[k].value);
	if (!err)
		err = file_pwrite_full(fd, buf, len, 0);
	if (!err && ftruncate(fd, (off_t)len))
		err = -errno;
	free(buf);
	return err;
}

static int copy_info(const struct record_info *from, struct record_info *to)
{
	const struct {
		const char *from;
		char **to;
	} all[] = {
		{ from->dir, &to->dir },     { from->target, &to->target },   { from->label, &to->label },
		{ from->uuid, &to->uuid },   { from->options, &to->options }, { from->state, &to->state },
	};
	to->pid = from->pid;
	for (size_t i = 0; i < CL_ARRAY_LEN(all); i++) {
		if (!all[i].from)
			continue;
		*all[i].to = strdup(all[i].from);
		if (!*all[i].to)
			return -ENOMEM;
	}
	return 0;
}

int record_new(unsigned major, unsigned minor, const struct record_info *info, struct record **ret)
{
	struct record *r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	int err = 0;
	char tmp[48];
	snprintf(r->name, sizeof r->name, "%u:%u", major, minor);
	snprintf(tmp, sizeof tmp, "%s.%d", r->name, (int)getpid());
	r->fd = -1;
	r->dirfd = -1;
	err = copy_info(info, &r->info);
	if (err)
		goto fail;
	r->dirfd = open_folder(geteuid(), true);
	if (r->dirfd < 0) {
		err = r->dirfd;
		goto fail;
	}
	(void)!unlinkat(r->dirfd, tmp, 0); /* left by a daemon with this pid that was killed here */
	r->fd = openat(r->dirfd, tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	/*
	 * Locked before it has its name; a record of that name is of a daemon that was killed: device numbers come
	 * again.
	 */
	if (r->fd < 0 || flock(r->fd, LOCK_EX | LOCK_NB)) {
		err = -errno;
		goto fail;
	}
	err = write_info(r->fd, info);
	if (!err && renameat(r->dirfd, tmp, r->dirfd, r->name))
		err = -errno;
	if (err) {
		(void)!unlinkat(r->dirfd, tmp, 0);
		goto fail;
	}
	*ret = r;
	return 0;
fail:
	if (r->fd >= 0)
		close(r->fd);
	if (r->dirfd >= 0)
		close(r->dirfd);
	record_info_done(&r->info);
	free(r);
	return err;
}

void record_finish(struct record *r, const char *state)
{
	if (!r)
		return;
	free(r->info.state);
	r->info.state = strdup(state);
	if (!r->info.state || write_info(r->fd, &r->info))
		(void)!ftruncate(r->fd, 0); /* no state at all reads as "not closed" */
	/* The device number may belong to another mount by now, and the name to its record. */
	struct stat mine, named;
	if (!fstat(r->fd, &mine) && !fstatat(r->dirfd, r->name, &named, AT_SYMLINK_NOFOLLOW) && mine.st_dev == named.st_dev &&
	    mine.st_ino == named.st_ino)
		(void)!unlinkat(r->dirfd, r->name, 0);
	close(r->dirfd);
	/* r->fd stays open, and with it the lock, until the kernel has buried the process. */
	record_info_done(&r->info);
	free(r);
}

int record_open(unsigned major, unsigned minor, uid_t uid, int *ret_fd)
{
	int dirfd = open_folder(uid, false);
	if (dirfd < 0)
		return dirfd;
	char name[32];
	snprintf(name, sizeof name, "%u:%u", major, minor);
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int err = fd < 0 ? -errno : 0;
	close(dirfd);
	if (err)
		return err;
	struct stat st;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != uid) {
		close(fd);
		return -EACCES;
	}
	*ret_fd = fd;
	return 0;
}

static int take(struct record_info *i, const char *item)
{
	const struct {
		const char *name;
		char **to;
	} known[] = {
		{ "dir=", &i->dir },   { "target=", &i->target }, { "label=", &i->label },
		{ "uuid=", &i->uuid }, { "state=", &i->state },   { "options=", &i->options },
	};
	for (size_t k = 0; k < CL_ARRAY_LEN(known); k++) {
		size_t n = strlen(known[k].name);
		if (strncmp(item, known[k].name, n))
			continue;
		free(*known[k].to);
		*known[k].to = strdup(item + n);
		return *known[k].to ? 0 : -ENOMEM;
	}
	if (!strncmp(item, "pid=", 4))
		i->pid = (pid_t)strtol(item + 4, NULL, 10);
	return 0;
}

int record_read(int fd, struct record_info *ret)
{
	char *buf = malloc(RECORD_MAX + 1);
	if (!buf)
		return -ENOMEM;
	struct record_info i = { 0 };
	ssize_t n = pread(fd, buf, RECORD_MAX, 0);
	int err = n < 0 ? -errno : 0;
	if (!err) {
		buf[n] = '\0';
		for (const char *p = buf; p < buf + n && !err; p += strlen(p) + 1)
			err = take(&i, p);
	}
	free(buf);
	if (err) {
		record_info_done(&i);
		return err;
	}
	*ret = i;
	return 0;
}

int record_wait(int fd, bool wait)
{
	while (flock(fd, LOCK_SH | (wait ? 0 : LOCK_NB))) {
		if (errno == EWOULDBLOCK)
			return -EAGAIN;
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}
