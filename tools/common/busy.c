/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A volume that its last daemon is just leaving. */
#include "tools/common/busy.h"

#include "tools/common/mtab.h"

#include <time.h>

#define WAIT_MS 10000
#define STEP_MS 50

bool busy_again(const char *dir, unsigned *waited_ms, char **ret_target)
{
	struct mtab_entry e;
	*ret_target = NULL;
	if (!mtab_find_source(dir, &e)) {
		*ret_target = e.target;
		e.target = NULL;
		mtab_entry_done(&e);
		return false;
	}
	if (*waited_ms >= WAIT_MS)
		return false;
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	nanosleep(&step, NULL);
	*waited_ms += STEP_MS;
	return true;
}
