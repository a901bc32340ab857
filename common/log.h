/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Log lines of the daemon and the tools: stderr or syslog. Never key material, in no build. */
#ifndef CLOISON_COMMON_LOG_H
#define CLOISON_COMMON_LOG_H

#include "common/base.h"

enum log_level { LOG_LVL_ERR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

/* ident: borrowed, lives as long as the process. syslog: also send there (daemon in the background). */
void log_open(const char *ident, enum log_level max, bool to_syslog);
/*
 * One line, newline added, control characters as \xNN; keeps errno. Thread-safe. Identical consecutive lines within a
 * second are counted, not repeated.
 */
void log_line(enum log_level lvl, const char *fmt, ...) CL_PRINTF(2, 3);
/* Hook for tests: gets each line instead of stderr and syslog; must not log itself. NULL = back to stderr. */
void log_hook(void (*fn)(enum log_level lvl, const char *line, void *arg), void *arg);

#define log_err(...) log_line(LOG_LVL_ERR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LVL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LVL_DEBUG, __VA_ARGS__)

#endif
