/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Progress of long work: a bar on a terminal, or lines for a program. */
#ifndef CLOISON_TOOLS_PROGRESS_H
#define CLOISON_TOOLS_PROGRESS_H

#include "common/base.h"

#include <time.h>

/* Belongs to one thread. what, target: borrowed. */
struct progress {
	const char *what;
	const char *target;
	int fd;     /* lines "1 DONE ALL TARGET" as e2fsck(8) -C writes them; -1 = none */
	bool bar;   /* on stderr */
	bool drawn; /* the bar is on the screen */
	struct timespec start, last;
};

/* fd -1: a bar if stderr is a terminal, else nothing. */
void progress_init(struct progress *p, const char *what, const char *target, int fd);
/* Has the shape of fs_check's callback. Draws ten times a second at most, and at the end. */
void progress_step(void *p, uint64_t done, uint64_t all);
/* Clears the bar; before anything else is printed, too. */
void progress_clear(struct progress *p);

#endif
