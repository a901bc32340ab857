/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sentences, help and exit codes of the commands. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "tools/common/say.h"

#include "common/file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unversioned"
#endif

static const char *command = "cloison";

void say_init(const char *name)
{
	command = name;
}

const char *say_name(void)
{
	return command;
}

void say_clean(char *s)
{
	for (unsigned char *p = (unsigned char *)s; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			p[0] = p[1] = '?'; /* C1 controls in UTF-8: U+009B begins an escape sequence */
	}
}

void say_line(const char *fmt, ...)
{
	char *line = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	say_clean(line);
	puts(line);
	free(line);
}

void say(const char *fmt, ...)
{
	char line[1024];
	int n = snprintf(line, sizeof line, "%s: ", command);
	if (n < 0 || (size_t)n >= sizeof line)
		return;
	va_list ap;
	va_start(ap, fmt);
	int m = vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	size_t len = CL_MIN((size_t)n + (size_t)m, sizeof line - 2);
	line[len] = '\0';
	say_clean(line);
	line[len] = '\n';
	if (file_write_full(STDERR_FILENO, line, len + 1))
		return; /* nowhere left to say it */
}

int say_exit_of(int err)
{
	switch (err) {
	case 0:
		return CL_EXIT_OK;
	case -ENOKEY:
	case -EKEYREJECTED:
	case -EKEYEXPIRED:
	case -EKEYREVOKED:
		return CL_EXIT_KEY;
	case -EBADMSG:
	case -EUCLEAN:
		return CL_EXIT_INTEGRITY;
	default:
		return CL_EXIT_FAILED;
	}
}

int say_fault(const struct fault *f, int err, const char *what)
{
	if (f && f->text[0])
		say("%s", f->text);
	else if (what)
		say("%s: %s", what, strerror(-err));
	else
		say("%s", strerror(-err));
	int code = f && f->exit ? f->exit : say_exit_of(err);
	if (code == CL_EXIT_OK)
		code = CL_EXIT_FAILED;
	if (code == CL_EXIT_USAGE)
		say("try '%s --help'", command);
	return code;
}

int say_end(int exit_code)
{
	if ((fflush(stdout) == EOF || ferror(stdout)) && exit_code == CL_EXIT_OK) {
		say("standard output: %s", strerror(errno));
		return CL_EXIT_FAILED;
	}
	return exit_code;
}

int say_help(const char *text)
{
	fputs(text, stdout);
	return say_end(CL_EXIT_OK);
}

int say_version(void)
{
	printf("%s (cloison) %s\n", command, PACKAGE_VERSION);
	return say_end(CL_EXIT_OK);
}
