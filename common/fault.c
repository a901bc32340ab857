/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Setting and wrapping the sentence for the user. */
#include "common/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void CL_PRINTF(3, 0) fault_vset(struct fault *f, int exit, const char *fmt, va_list ap)
{
	f->exit = exit;
	(void)vsnprintf(f->text, sizeof f->text, fmt, ap);
}

int fault_set(struct fault *f, int err, int exit, const char *fmt, ...)
{
	va_list ap;

	if (!f || f->text[0])
		return err;
	va_start(ap, fmt);
	fault_vset(f, exit, fmt, ap);
	va_end(ap);
	return err;
}

int fault_wrap(struct fault *f, int err, int exit, const char *fmt, ...)
{
	char old[sizeof f->text];
	va_list ap;
	size_t n, room;

	if (!f)
		return err;
	memcpy(old, f->text, sizeof old);
	if (old[0] && f->exit)
		exit = f->exit; /* the deepest cause knows best */
	va_start(ap, fmt);
	fault_vset(f, exit, fmt, ap);
	va_end(ap);
	if (!old[0])
		return err;
	n = strlen(f->text);
	room = sizeof f->text - n;
	(void)snprintf(f->text + n, room, ": %s", old);
	return err;
}
