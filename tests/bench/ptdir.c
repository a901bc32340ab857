/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Directory listings for the benchmark's passthrough. */
#include "tests/bench/pt.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/ptnode.h"

#define DIR_BUFFER (64u << 10)

struct pt_dir {
	int fd;
	off_t next; /* cookie of the entry at buf + pos */
	size_t pos, len;
	char buf[DIR_BUFFER];
};

static struct pt_dir *dir_of(const struct fuse_file_info *fi)
{
	return (struct pt_dir *)(uintptr_t)fi->fh;
}

static void pt_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pt_dir *dir = malloc(sizeof(*dir));
	int err;

	if (!dir) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	dir->next = 0;
	dir->pos = dir->len = 0;
	dir->fd = openat(ptnode_fd(ino), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0) {
		err = errno;
		free(dir);
		fuse_reply_err(req, err);
		return;
	}
	fi->fh = (uint64_t)(uintptr_t)dir;
	fi->cache_readdir = 1;
	fi->keep_cache = 1;
	if (fuse_reply_open(req, fi)) {
		close(dir->fd);
		free(dir);
	}
}

static void pt_releasedir(fuse_req_t req, CL_UNUSED fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pt_dir *dir = dir_of(fi);

	close(dir->fd);
	free(dir);
	fuse_reply_err(req, 0);
}

static void pt_fsyncdir(fuse_req_t req, CL_UNUSED fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	pt_reply_result(req, datasync ? fdatasync(dir_of(fi)->fd) : fsync(dir_of(fi)->fd));
}

/*
 * The entry at the cookie dir->next; NULL with errno 0 at the end. Needs no lock: the kernel reads an open directory
 * one request at a time.
 */
static const struct dirent64 *dir_peek(struct pt_dir *dir)
{
	ssize_t n;

	errno = 0;
	if (dir->pos >= dir->len) {
		n = getdents64(dir->fd, dir->buf, sizeof(dir->buf));
		if (n <= 0)
			return NULL;
		dir->pos = 0;
		dir->len = (size_t)n;
	}
	return (const struct dirent64 *)(const void *)(dir->buf + dir->pos);
}

/* Size of the record written to out; more than room if it was not. Takes the reference READDIRPLUS gives the kernel. */
static size_t add_entry(fuse_req_t req, fuse_ino_t ino, const struct dirent64 *ent, char *out, size_t room, bool plus)
{
	struct fuse_entry_param entry = { .attr = { .st_ino = ent->d_ino, .st_mode = (mode_t)ent->d_type << 12 } };
	bool dots = strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0;
	size_t size;

	if (!plus)
		return fuse_add_direntry(req, out, room, ent->d_name, &entry.attr, ent->d_off);
	size = fuse_add_direntry_plus(req, NULL, 0, ent->d_name, &entry, ent->d_off);
	if (size > room)
		return size;
	if (!dots && pt_make_entry(ino, ent->d_name, &entry) < 0)
		return 0; /* removed since it was listed */
	return fuse_add_direntry_plus(req, out, room, ent->d_name, &entry, ent->d_off);
}

static void list_directory(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct pt_dir *dir = dir_of(fi);
	const struct dirent64 *ent;
	size_t used = 0, n;
	char *out = malloc(size);

	if (!out) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (off != dir->next) {
		lseek(dir->fd, off, SEEK_SET);
		dir->next = off;
		dir->pos = dir->len = 0;
	}
	while ((ent = dir_peek(dir)) != NULL) {
		n = add_entry(req, ino, ent, out + used, size - used, plus);
		if (n > size - used)
			break;
		used += n;
		dir->pos += ent->d_reclen;
		dir->next = ent->d_off;
	}
	if (!ent && errno && !used)
		fuse_reply_err(req, errno);
	else
		fuse_reply_buf(req, out, used);
	free(out);
}

static void pt_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	list_directory(req, ino, size, off, fi, false);
}

static void pt_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	list_directory(req, ino, size, off, fi, true);
}

void pt_dir_ops(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = pt_opendir;
	ops->releasedir = pt_releasedir;
	ops->fsyncdir = pt_fsyncdir;
	ops->readdir = pt_readdir;
	ops->readdirplus = pt_readdirplus;
}
