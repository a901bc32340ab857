/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Descriptors and locked memory. */
#include "tools/common/limits.h"

#include "common/log.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES_WANTED 65536u
#define FILES_LEAST 4096u

void limits_raise_files(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r))
		return;
	if (r.rlim_max < FILES_LEAST) {
		const struct rlimit more = { .rlim_cur = FILES_LEAST, .rlim_max = FILES_LEAST };
		if (!setrlimit(RLIMIT_NOFILE, &more))
			return;
	}
	r.rlim_cur = CL_MAX(r.rlim_cur, CL_MIN(r.rlim_max, (rlim_t)FILES_WANTED));
	if (setrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur < FILES_LEAST)
		log_warn("only %ju open files are allowed (ulimit -n); %u are better", (uintmax_t)r.rlim_cur,
			 FILES_LEAST);
}

/* CAP_IPC_LOCK lifts RLIMIT_MEMLOCK (mlock(2)). */
static bool may_lock_all(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	if (syscall(SYS_capget, &head, caps))
		return false;
	return caps[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK);
}

void limits_lock_memory(void)
{
	/*
	 * With a finite limit, mlockall(MCL_FUTURE) would make later allocations and threads fail. Keys are locked one
	 * by one in any case (common/secret.c); this is about file contents in the daemon's memory.
	 */
	const struct rlimit all = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
	if (!may_lock_all() && setrlimit(RLIMIT_MEMLOCK, &all))
		log_info("memory is not locked (ulimit -l): contents of files and keys of open files may reach swap space; label keys do not");
	else if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		log_warn("memory is not locked: %s: contents of files and keys of open files may reach swap space; label keys do not",
			 strerror(errno));
}
