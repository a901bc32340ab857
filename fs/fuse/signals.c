/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signals that ask the daemon to end, made into an event of the loop. */
#include "fs/fuse/internal.h"

#include <signal.h>
#include <unistd.h>

static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
static struct sigaction before[CL_ARRAY_LEN(signals)];
static bool taken[CL_ARRAY_LEN(signals)];
static atomic_uint seen;
static atomic_int event_fd = -1;

/* Whichever thread gets it. */
static void on_signal(int sig CL_UNUSED)
{
	int saved = errno;
	uint64_t one = 1;
	atomic_fetch_add(&seen, 1);
	ssize_t n = write(atomic_load(&event_fd), &one, sizeof(one));
	(void)n;
	errno = saved;
}

int fuse_cl_signals_take(int wake_fd)
{
	int none = -1;
	if (!atomic_compare_exchange_strong(&event_fd, &none, wake_fd))
		return -EBUSY;
	atomic_store(&seen, 0);
	for (size_t i = 0; i < CL_ARRAY_LEN(signals); i++) {
		struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
		if (signals[i] == SIGPIPE)
			sa.sa_handler = SIG_IGN;
		taken[i] = !sigaction(signals[i], NULL, &before[i]) && !(before[i].sa_flags & SA_SIGINFO) &&
			   before[i].sa_handler == SIG_DFL && !sigaction(signals[i], &sa, NULL);
	}
	return 0;
}

unsigned fuse_cl_signals_seen(void)
{
	return atomic_load(&seen);
}

void fuse_cl_signals_leave(void)
{
	for (size_t i = 0; i < CL_ARRAY_LEN(signals); i++)
		if (taken[i])
			sigaction(signals[i], &before[i], NULL);
	atomic_store(&event_fd, -1);
}
