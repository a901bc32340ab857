/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The rule table, first form: labels are a list. */
#include "fs/access.h"

int access_check(enum access_op op, unsigned session, unsigned object, unsigned other)
{
	bool dominated = object <= session;

	switch (op) {
	case ACCESS_LOOK:
		return dominated ? 0 : -ENOENT;
	case ACCESS_READ:
		return dominated ? 0 : -EACCES;
	case ACCESS_WRITE:
	case ACCESS_ENTRY:
		return object == session ? 0 : dominated ? -EROFS : -EACCES;
	case ACCESS_MOVE:
		if (object != other)
			return -EXDEV;
		return object == session ? 0 : dominated ? -EROFS : -EACCES;
	case ACCESS_DEVICE:
		return -EPERM;
	}
	return -EACCES;
}
