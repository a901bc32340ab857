/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fork, and a pipe that carries one report. */
#include "tools/common/background.h"

#include "common/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* One write below PIPE_BUF, so that it comes whole or not at all. */
struct report {
	int exit;
	char text[sizeof((struct fault *)0)->text];
};

static int wait_for(int fd, pid_t child, struct fault *f)
{
	struct report r;
	int err = file_read_full(fd, &r, sizeof r);
	if (!err) {
		r.text[sizeof r.text - 1] = '\0';
		if (r.exit)
			fault_set(f, -ECHILD, r.exit, "%s", r.text);
		return r.exit;
	}
	int status;
	pid_t got;
	do
		got = waitpid(child, &status, 0);
	while (got < 0 && errno == EINTR);
	if (got == child && WIFSIGNALED(status))
		fault_set(f, -ECHILD, CL_EXIT_FAILED,
			  "the daemon was ended by signal %d (%s) before the mount was usable", WTERMSIG(status),
			  strsignal(WTERMSIG(status)));
	else
		fault_set(f, -ECHILD, CL_EXIT_FAILED, "the daemon ended before the mount was usable");
	return CL_EXIT_FAILED;
}

/* Descriptors above the standard ones that were open when we were started: a lock file of a script, a pipe to it. */
static int inherited[64];
static size_t n_inherited;

static void note_inherited(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	n_inherited = 0;
	while (d && n_inherited < CL_ARRAY_LEN(inherited) && (e = readdir(d))) {
		int fd = atoi(e->d_name);
		if (fd > 2 && fd != dirfd(d) && !(fcntl(fd, F_GETFD) & FD_CLOEXEC)) /* ours all have it */
			inherited[n_inherited++] = fd;
	}
	if (d)
		closedir(d);
}

int background_fork(int *ret_fd, int *ret_exit, struct fault *f)
{
	int p[2];
	note_inherited();
	if (pipe2(p, O_CLOEXEC))
		return fault_set(f, -errno, CL_EXIT_FAILED, "cannot make a pipe: %s", strerror(errno));
	pid_t child = fork();
	if (child < 0) {
		int err = -errno;
		close(p[0]);
		close(p[1]);
		return fault_set(f, err, CL_EXIT_FAILED, "cannot fork: %s", strerror(-err));
	}
	if (child == 0) {
		close(p[0]);
		*ret_fd = p[1];
		return 0;
	}
	close(p[1]);
	*ret_exit = wait_for(p[0], child, f);
	close(p[0]);
	return 1;
}

int background_ready(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	int err = chdir("/") || setsid() < 0 ? -errno : 0;
	for (int i = 0; i <= 2 && !err; i++)
		if (dup2(null, i) < 0)
			err = -errno;
	if (null > 2)
		close(null);
	/* What others gave us and nobody needs any more; or they would wait for it as long as the mount lives. */
	for (size_t i = 0; i < n_inherited; i++)
		close(inherited[i]);
	n_inherited = 0;
	const struct report r = { 0 };
	if (!err)
		err = file_write_full(fd, &r, sizeof r);
	if (err == -EPIPE)
		err = 0; /* nobody waits any more; the mount stands all the same */
	if (!err)
		close(fd);
	return err;
}

void background_failed(int fd, int exit, const char *text)
{
	struct report r = { .exit = exit };
	snprintf(r.text, sizeof r.text, "%s", text);
	if (file_write_full(fd, &r, sizeof r))
		return; /* the parent is gone, and with it who would have read this */
}
