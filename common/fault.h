/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A sentence for the user that travels from where a cause is known to where it is printed, once. */
#ifndef CLOISON_COMMON_FAULT_H
#define CLOISON_COMMON_FAULT_H

#include "common/base.h"

/*
 * text: one lower-case sentence: what failed, what was expected, what to do. exit: enum cl_exit, 0 = not set.
 * Never holds key material, nor a label that the reader may not know. Zero-initialise before use.
 */
struct fault {
	int exit;
	char text[640];
};

/* Sets both, unless a text is set already (the first, deepest cause wins). f may be NULL. Returns err. */
int fault_set(struct fault *f, int err, int exit, const char *fmt, ...) CL_PRINTF(4, 5);
/* Puts "what: " in front of a text that is set already; sets it as fault_set would when there is none. Returns err. */
int fault_wrap(struct fault *f, int err, int exit, const char *fmt, ...) CL_PRINTF(4, 5);

#endif
