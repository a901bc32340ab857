/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the commands say to people: one sentence on stderr, an exit code that scripts can rely on. */
#ifndef CLOISON_TOOLS_SAY_H
#define CLOISON_TOOLS_SAY_H

#include "common/base.h"
#include "common/fault.h"

/* name: the command as people call it, borrowed. Before anything else. */
void say_init(const char *name);
const char *say_name(void);

/* "name: sentence" on stderr, as one write. Control characters become '?', so that no name can play on the terminal. */
void say(const char *fmt, ...) CL_PRINTF(1, 2);
/* Replaces control characters (C0, DEL, C1 in UTF-8) by '?': names, and records that another user wrote, must not steer a terminal. */
void say_clean(char *s);
/* A line on stdout, cleaned. */
void say_line(const char *fmt, ...) CL_PRINTF(1, 2);
/*
 * Says f's sentence, or what err means when it has none; what (may be NULL) stands in front of the latter. Returns
 * f->exit, or the exit code that fits err. A usage error also says where help is.
 */
int say_fault(const struct fault *f, int err, const char *what);
/* The exit code for a negative errno of the libraries. */
int say_exit_of(int err);

/* Prints help, or name and version, on stdout. CL_EXIT_OK, or CL_EXIT_FAILED when stdout cannot be written. */
int say_help(const char *text);
int say_version(void);
/* Flushes stdout; CL_EXIT_FAILED with a sentence when something printed did not get out, else exit. */
int say_end(int exit);

#endif
