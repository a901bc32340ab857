/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Log lines to stderr and syslog, made safe for terminals, without floods. */
#include "common/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

/* All of it protected by lock, but for max, which is set before threads and then only read. */
static struct {
	pthread_mutex_t lock;
	const char *ident;
	enum log_level max;
	bool to_syslog;
	void (*hook)(enum log_level lvl, const char *line, void *arg);
	void *hook_arg;
	char last[LINE_MAX_BYTES];
	enum log_level last_lvl;
	int64_t last_ms;  /* when it was printed */
	unsigned repeats; /* since then */
} lg = { .lock = PTHREAD_MUTEX_INITIALIZER, .ident = "cloison", .max = LOG_LVL_INFO };

/* Length of the well-formed UTF-8 character at s that is no control character; 0 when there is none. */
static size_t printable(const unsigned char *s)
{
	uint32_t v;
	size_t n;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f && s[0] != '\\';
	n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	v = s[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) /* also stops at NUL */
			return 0;
		v = v << 6 | (s[i] & 0x3f);
	}
	if (v < 0xa0 || (n == 3 && v < 0x800) || (n == 4 && v < 0x10000) || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return 0; /* C1 controls, overlong forms, surrogates */
	if (v == 0x2028 || v == 0x2029 || (v >= 0x202a && v <= 0x202e) || (v >= 0x2066 && v <= 0x2069))
		return 0; /* line separators and direction overrides */
	return n;
}

/* Control characters, backslashes and bytes that are no UTF-8 become \xNN. Cuts at max - 1 bytes. */
static void escape(const char *in, char *out, size_t max)
{
	const unsigned char *s = (const unsigned char *)in;
	size_t o = 0;

	while (*s) {
		size_t n = printable(s);

		if (o + CL_MAX(n, (size_t)4) >= max)
			break;
		if (n) {
			memcpy(out + o, s, n);
			o += n;
			s += n;
		} else {
			(void)snprintf(out + o, max - o, "\\x%02x", *s++);
			o += 4;
		}
	}
	out[o] = '\0';
}

static void emit_locked(enum log_level lvl, const char *line)
{
	static const char *const words[] = { "error: ", "warning: ", "", "debug: " };
	static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

	if (lg.hook) {
		lg.hook(lvl, line, lg.hook_arg);
		return;
	}
	if (lg.to_syslog)
		syslog(priorities[lvl], "%s", line);
	(void)dprintf(STDERR_FILENO, "%s: %s%s\n", lg.ident, words[lvl], line);
}

static void flush_locked(void)
{
	char line[64];

	if (!lg.repeats)
		return;
	(void)snprintf(line, sizeof line, "last line repeated %u times", lg.repeats);
	lg.repeats = 0;
	emit_locked(lg.last_lvl, line);
}

static void flush_at_exit(void)
{
	pthread_mutex_lock(&lg.lock);
	flush_locked();
	pthread_mutex_unlock(&lg.lock);
}

void log_open(const char *ident, enum log_level max, bool to_syslog)
{
	static bool registered;

	pthread_mutex_lock(&lg.lock);
	lg.ident = ident;
	lg.max = max;
	lg.to_syslog = to_syslog;
	if (to_syslog)
		openlog(ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	if (!registered)
		registered = atexit(flush_at_exit) == 0;
	pthread_mutex_unlock(&lg.lock);
}

void log_hook(void (*fn)(enum log_level lvl, const char *line, void *arg), void *arg)
{
	pthread_mutex_lock(&lg.lock);
	flush_locked();
	lg.last[0] = '\0';
	lg.hook = fn;
	lg.hook_arg = arg;
	pthread_mutex_unlock(&lg.lock);
}

void log_line(enum log_level lvl, const char *fmt, ...)
{
	char raw[LINE_MAX_BYTES], line[LINE_MAX_BYTES];
	int saved_errno = errno;
	struct timespec now;
	int64_t now_ms;
	va_list ap;

	if (lvl > lg.max)
		return;
	va_start(ap, fmt);
	if (vsnprintf(raw, sizeof raw, fmt, ap) < 0)
		raw[0] = '\0';
	va_end(ap);
	escape(raw, line, sizeof line);
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;

	pthread_mutex_lock(&lg.lock);
	if (lvl == lg.last_lvl && line[0] && !strcmp(line, lg.last) && now_ms - lg.last_ms < 1000) {
		lg.repeats++;
	} else {
		flush_locked();
		emit_locked(lvl, line);
		(void)snprintf(lg.last, sizeof lg.last, "%s", line);
		lg.last_lvl = lvl;
		lg.last_ms = now_ms;
	}
	pthread_mutex_unlock(&lg.lock);
	errno = saved_errno;
}
