/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asking for a secret on the terminal, echo off. */
#include "tools/common/prompt.h"

#include "common/file.h"

#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int watched[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
static volatile sig_atomic_t caught;

static void on_signal(int sig)
{
	caught = sig;
}

bool prompt_possible(void)
{
	return isatty(STDIN_FILENO) == 1;
}

/* One line, byte by byte so that nothing behind it is swallowed. *ret_len: without the newline. */
static int read_line(struct secret *s, size_t *ret_len)
{
	uint8_t *buf = secret_bytes(s);
	size_t max = secret_len(s), n = 0;
	bool over = false;
	for (;;) {
		uint8_t c;
		ssize_t got = read(STDIN_FILENO, &c, 1);
		if (got < 0)
			return -errno; /* EINTR: a watched signal */
		if (got == 0 || c == '\n')
			break;
		if (n < max)
			buf[n++] = c;
		else
			over = true;
		secret_wipe(&c, 1);
	}
	if (over)
		return -EOVERFLOW;
	*ret_len = n;
	return n ? 0 : -ENODATA;
}

int prompt_secret(const char *text, size_t max, struct secret **ret)
{
	struct termios was, off;
	if (tcgetattr(STDIN_FILENO, &was))
		return -ENOTTY;
	CL_CLEANUP(secret_freep) struct secret *s = NULL;
	int err = secret_new(max, &s);
	if (err)
		return err;

	struct sigaction old[CL_ARRAY_LEN(watched)];
	struct sigaction act = { .sa_handler = on_signal }; /* no SA_RESTART: read must come back */
	sigemptyset(&act.sa_mask);
	caught = 0;
	for (size_t i = 0; i < CL_ARRAY_LEN(watched); i++)
		sigaction(watched[i], &act, &old[i]);

	off = was;
	off.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK);
	off.c_lflag |= ICANON | ECHONL;
	size_t len = 0;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &off)) {
		err = -errno;
	} else {
		err = file_write_full(STDERR_FILENO, text, strlen(text));
		if (!err && !caught)
			err = read_line(s, &len);
		if (caught)
			err = -EINTR;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	}
	for (size_t i = 0; i < CL_ARRAY_LEN(watched); i++)
		sigaction(watched[i], &old[i], NULL);
	if (caught)
		raise(caught);
	if (err)
		return err;
	secret_trim(s, len);
	*ret = secret_steal(&s);
	return 0;
}

int prompt_new_secret(const char *text, const char *again, size_t max, struct secret **ret)
{
	CL_CLEANUP(secret_freep) struct secret *one = NULL;
	CL_CLEANUP(secret_freep) struct secret *two = NULL;
	int err = prompt_secret(text, max, &one);
	if (err)
		return err;
	err = prompt_secret(again, max, &two);
	if (err && err != -ENODATA)
		return err;
	if (err || secret_len(one) != secret_len(two) ||
	    !secret_equal(secret_cbytes(one), secret_cbytes(two), secret_len(one)))
		return -EKEYREJECTED;
	*ret = secret_steal(&one);
	return 0;
}
