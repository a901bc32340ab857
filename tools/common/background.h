/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Going into the background so that the caller learns how the start went. */
#ifndef CLOISON_TOOLS_BACKGROUND_H
#define CLOISON_TOOLS_BACKGROUND_H

#include "common/base.h"
#include "common/fault.h"

/*
 * Forks. 0: this is the child, which reports through *ret_fd. 1: this is the parent; the child has reported:
 * *ret_exit and f hold its exit code and sentence. -errno: no child. Before any thread.
 */
int background_fork(int *ret_fd, int *ret_exit, struct fault *f) CL_MUST_USE;
/*
 * Child: all is well. Leaves terminal, session and working directory behind, then lets the parent go. -errno: still
 * attached.
 */
int background_ready(int fd) CL_MUST_USE;
/* Child: it went wrong; the parent says so. */
void background_failed(int fd, int exit, const char *text);

#endif
