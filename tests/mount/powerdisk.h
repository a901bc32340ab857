/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files and folders in memory as a disk sees them: what programs read, what is durable, and in which steps the one came
 * from the other. fsync of a file makes its data and size durable, fsync of a folder its names; nothing else does. When the
 * power fails each step that is not durable is kept, lost, or kept in some of its sectors of 512 bytes.
 *
 * One thread. Numbers are of nodes; POWERDISK_ROOT is there from the beginning. Results: 0 or negative errno.
 */
#ifndef CLOISON_TESTS_MOUNT_POWERDISK_H
#define CLOISON_TESTS_MOUNT_POWERDISK_H

#include "common/base.h"

#include <time.h>

#define POWERDISK_ROOT 1u
#define POWERDISK_NAME_MAX 255u

struct powerdisk;

struct powerdisk_attr {
	uint64_t ino, size;
	uint32_t mode, nlink, uid, gid;
	struct timespec mtime;
};

enum powerdisk_loss {
	POWERDISK_DROP, /* all that is not durable is lost */
	POWERDISK_KEEP, /* nothing is lost, as when only a process was killed */
	POWERDISK_MIX   /* each step by a throw of the dice */
};

struct powerdisk *powerdisk_new(uint64_t size_max);
void powerdisk_free(struct powerdisk *d);

/* Each of these counts a reference to *ret, to be given back. */
int powerdisk_lookup(struct powerdisk *d, uint64_t dir, const char *name, struct powerdisk_attr *ret) CL_MUST_USE;
int powerdisk_make(struct powerdisk *d, uint64_t dir, const char *name, uint32_t mode, uint32_t uid, uint32_t gid,
		   struct powerdisk_attr *ret) CL_MUST_USE;
void powerdisk_forget(struct powerdisk *d, uint64_t ino, uint64_t n);

int powerdisk_getattr(struct powerdisk *d, uint64_t ino, struct powerdisk_attr *ret) CL_MUST_USE;
int powerdisk_chmod(struct powerdisk *d, uint64_t ino, uint32_t mode) CL_MUST_USE; /* durable at once: no test is about it */
int powerdisk_remove(struct powerdisk *d, uint64_t dir, const char *name, bool folder) CL_MUST_USE;
int powerdisk_rename(struct powerdisk *d, uint64_t dir, const char *name, const char *to) CL_MUST_USE; /* in one folder */
/* The n-th name, from 0 on, or -ENOENT. */
int powerdisk_entry(struct powerdisk *d, uint64_t dir, uint64_t n, const char **ret_name, struct powerdisk_attr *ret) CL_MUST_USE;

ssize_t powerdisk_read(struct powerdisk *d, uint64_t ino, void *buf, size_t n, uint64_t off) CL_MUST_USE;
int powerdisk_write(struct powerdisk *d, uint64_t ino, const void *buf, size_t n, uint64_t off) CL_MUST_USE;
int powerdisk_truncate(struct powerdisk *d, uint64_t ino, uint64_t size) CL_MUST_USE;
int powerdisk_punch(struct powerdisk *d, uint64_t ino, uint64_t off, uint64_t n) CL_MUST_USE;
int powerdisk_sync(struct powerdisk *d, uint64_t ino) CL_MUST_USE;

/* The power fails, and is back. Returns how many steps were not durable. */
uint64_t powerdisk_cut(struct powerdisk *d, enum powerdisk_loss loss, uint64_t seed);

#endif
