/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a running daemon leaves in /run for umount.cloison and `cloison status`: a small file named after the mount's
 * device number, locked for as long as the daemon lives.
 *
 * The kernel's unmount returns when the daemon has been told, not when it has finished. The lock is what can be waited
 * for: it goes when the daemon ends, however it ends, and then the file's last word says how the volume was left.
 *
 * Place: /run/cloison (root's mounts) or $XDG_RUNTIME_DIR/cloison. 0700, files 0600: a session's label is nobody
 * else's business. Contents: name=value, each ended by a NUL.
 */
#ifndef CLOISON_TOOLS_RECORD_H
#define CLOISON_TOOLS_RECORD_H

#include "common/base.h"

struct record_info {
	char *dir, *target, *label, *uuid, *options; /* NULL: not known */
	char *state;                                 /* "mounted", "closed", or what went wrong */
	pid_t pid;
};
void record_info_done(struct record_info *i);

struct record; /* the daemon's end */
/*
 * major, minor: device number of the mount; info is copied. -ENOENT: no place to put it (no /run, no
 * XDG_RUNTIME_DIR).
 */
int record_new(unsigned major, unsigned minor, const struct record_info *info, struct record **ret) CL_MUST_USE;
/*
 * Writes how the volume was left ("closed" or a sentence) and takes the name away. The lock stays until the process
 * ends. NULL is allowed.
 */
void record_finish(struct record *r, const char *state);

/*
 * Opens the record of a mount of user uid, to be read or waited for. Only a file of that user or of root counts.
 * -ENOENT.
 */
int record_open(unsigned major, unsigned minor, uid_t uid, int *ret_fd) CL_MUST_USE;
int record_read(int fd, struct record_info *ret) CL_MUST_USE;
/* Waits until the daemon has ended. wait false: -EAGAIN when it has not. */
int record_wait(int fd, bool wait) CL_MUST_USE;

#endif
