/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Progress bar and progress lines. */
#include "tools/common/progress.h"

#include "common/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void progress_init(struct progress *p, const char *what, const char *target, int fd)
{
	*p = (struct progress){ .what = what, .target = target, .fd = fd };
	p->bar = fd < 0 && isatty(STDERR_FILENO) == 1;
	clock_gettime(CLOCK_MONOTONIC, &p->start);
}

static double seconds(const struct timespec *from, const struct timespec *to)
{
	return (double)(to->tv_sec - from->tv_sec) + (double)(to->tv_nsec - from->tv_nsec) / 1e9;
}

/* A line that does not get out is no reason to stop the work. */
static void put(int fd, const char *text, size_t n)
{
	if (file_write_full(fd, text, n))
		return;
}

static void draw(struct progress *p, uint64_t done, uint64_t all, const struct timespec *now)
{
	struct winsize ws = { 0 };
	unsigned width = !ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) && ws.ws_col ? ws.ws_col : 80;
	double part = all ? (double)done / (double)all : 0;
	double spent = seconds(&p->start, now);
	char left[32] = "";
	if (part > 0.01 && spent > 2) {
		unsigned rest = (unsigned)(spent / part - spent);
		snprintf(left, sizeof left, " %u:%02u left", rest / 60 % 10000, rest % 60);
	}
	char bar[41];
	unsigned len = width > 70 ? 40 : 10;
	unsigned full = (unsigned)(part * len);
	for (unsigned i = 0; i < len; i++)
		bar[i] = i < full ? '=' : i == full ? '>' : ' ';
	bar[len] = '\0';
	char line[160];
	int n = snprintf(line, sizeof line, "\r\033[K%s %3u%% [%s]%s", p->what, (unsigned)(part * 100), bar, left);
	if (n > 0)
		put(STDERR_FILENO, line, CL_MIN((size_t)n, sizeof line - 1));
	p->drawn = true;
}

void progress_step(void *arg, uint64_t done, uint64_t all)
{
	struct progress *p = arg;
	if (p->fd < 0 && !p->bar)
		return;
	if (done > all)
		done = all;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (done != all && p->last.tv_sec && seconds(&p->last, &now) < 0.1)
		return;
	p->last = now;
	if (p->bar) {
		draw(p, done, all, &now);
		return;
	}
	char line[512];
	int n = snprintf(line, sizeof line, "1 %ju %ju %.400s\n", (uintmax_t)done, (uintmax_t)all, p->target);
	if (n > 0)
		put(p->fd, line, CL_MIN((size_t)n, sizeof line - 1));
}

void progress_clear(struct progress *p)
{
	if (p->drawn)
		put(STDERR_FILENO, "\r\033[K", 4);
	p->drawn = false;
}
