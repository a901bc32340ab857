/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asking for a secret on the terminal. */
#ifndef CLOISON_TOOLS_PROMPT_H
#define CLOISON_TOOLS_PROMPT_H

#include "common/base.h"
#include "common/secret.h"

/* True iff there is somebody to ask: stdin is a terminal. */
bool prompt_possible(void);
/*
 * Writes text to stderr and reads one line from stdin with echo off, straight into a secret of at most max bytes.
 * -ENODATA: nothing was typed; -EOVERFLOW; -ENOTTY: stdin is no terminal; -EINTR. A signal that ends the process
 * gives the terminal its echo back first.
 */
int prompt_secret(const char *text, size_t max, struct secret **ret) CL_MUST_USE;
/* Asks twice. -EKEYREJECTED when the two differ. */
int prompt_new_secret(const char *text, const char *again, size_t max, struct secret **ret) CL_MUST_USE;

#endif
