/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The helper process as its parent sees it: starting, asking with a deadline, ending. */
#include "tpm/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LEAVE_MS 5000 /* for the helper to flush its handles and end */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until the helper speaks or hangs up. False when the time is over. */
static bool wait_readable(int fd, int timeout_ms)
{
	const int64_t end = now_ms() + timeout_ms;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		const int64_t left = end - now_ms();
		int n = poll(&p, 1, left > 0 ? (int)left : 0);

		if (n > 0)
			return true;
		if (n == 0 || errno != EINTR)
			return false;
	}
}

static int spawn_actions(posix_spawn_file_actions_t *a, int fd)
{
	int r;

	/* The socket first: it may itself have one of the numbers that /dev/null takes. */
	if ((r = posix_spawn_file_actions_adddup2(a, fd, TPM_HELPER_FD)) ||
	    (r = posix_spawn_file_actions_addopen(a, 0, "/dev/null", O_RDWR, 0)) ||
	    (r = posix_spawn_file_actions_addopen(a, 1, "/dev/null", O_RDWR, 0)) ||
	    (r = posix_spawn_file_actions_addopen(a, 2, "/dev/null", O_RDWR, 0)))
		return -r;
	return 0;
}

static int spawn_attributes(posix_spawnattr_t *a)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	/* A group of its own: ^C at the terminal ends the program; the helper then flushes the TPM and ends. */
	if ((r = posix_spawnattr_setsigmask(a, &none)) || (r = posix_spawnattr_setsigdefault(a, &all)) ||
	    (r = posix_spawnattr_setpgroup(a, 0)) ||
	    (r = posix_spawnattr_setflags(a, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP)))
		return -r;
	return 0;
}

/*
 * This binary as an open file, out of the way of the numbers that spawn_actions() fills. Not by its path, which may
 * by now name another file or none; nor by the name /proc/self/exe, which is the tool for programs that run inside
 * one (valgrind).
 */
static int open_self(void)
{
	int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC), high;

	if (fd < 0)
		return -errno;
	high = fcntl(fd, F_DUPFD_CLOEXEC, TPM_HELPER_FD + 1);
	if (high < 0)
		high = -errno;
	close(fd);
	return high;
}

static int spawn(int fd, const char *tcti, pid_t *ret)
{
	/* The TSS prints to stderr else; nothing a user's environment could say (loader, OpenSSL, TSS) is wanted. */
	char log[] = "TSS2_LOG=all+NONE", path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char name[] = TPM_HELPER_NAME, number[] = { '0' + TPM_HELPER_FD, '\0' }, where[TPM_TCTI_MAX] = "";
	char *const argv[] = { name, number, where, NULL };
	char *const envp[] = { log, path, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char program[32];
	int self, r;

	memcpy(where, tcti, strnlen(tcti, sizeof(where) - 1));
	self = open_self();
	if (self < 0)
		return self;
	snprintf(program, sizeof(program), "/proc/self/fd/%d", self);
	r = -posix_spawn_file_actions_init(&actions);
	if (r < 0)
		goto out_self;
	r = -posix_spawnattr_init(&attributes);
	if (r < 0)
		goto out_actions;
	r = spawn_actions(&actions, fd);
	if (r == 0)
		r = spawn_attributes(&attributes);
	/* posix_spawn(3), not fork: no copy of the parent's memory, and sound in a program with threads. */
	if (r == 0)
		r = -posix_spawn(ret, program, &actions, &attributes, argv, envp);
	posix_spawnattr_destroy(&attributes);
out_actions:
	posix_spawn_file_actions_destroy(&actions);
out_self:
	close(self);
	return r;
}

int tpm_spawn_start(struct tpm_spawn *h, const char *tcti, struct fault *f)
{
	int fds[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return fault_set(f, -EIO, CL_EXIT_TPM, "no socket pair for the TPM helper: %s", strerror(errno));
	r = spawn(fds[1], tcti, &pid);
	close(fds[1]);
	if (r < 0) {
		close(fds[0]);
		return fault_set(f, -EIO, CL_EXIT_TPM, "the TPM helper (/proc/self/exe) cannot be executed: %s",
				 strerror(-r));
	}
	*h = (struct tpm_spawn){ .pid = pid, .fd = fds[0] };
	return 0;
}

void tpm_spawn_stop(struct tpm_spawn *h, bool kill_now)
{
	static const struct timespec pause = { .tv_nsec = 1000000 };
	const int64_t end = now_ms() + LEAVE_MS;

	if (!h->pid)
		return;
	/* End of file is its order to leave; its own end of the pair closing says that it did. */
	shutdown(h->fd, SHUT_WR);
	if (kill_now || !wait_readable(h->fd, LEAVE_MS))
		kill(h->pid, SIGKILL);
	/*
	 * Bounded: a process that waits in a TPM driver dies only when the driver returns. ECHILD: the program ignores
	 * SIGCHLD, there is nothing to reap.
	 */
	while (waitpid(h->pid, NULL, WNOHANG) == 0 && now_ms() < end + LEAVE_MS)
		nanosleep(&pause, NULL);
	close(h->fd);
	*h = (struct tpm_spawn){ 0 };
}

int tpm_spawn_ask(const struct tpm_spawn *h, const struct tpm_wire_request *q, const struct secret *secrets,
		  int timeout_ms, struct tpm_wire_reply *ret, struct secret *ret_secret)
{
	int r = tpm_wire_send(h->fd, q, sizeof(*q), secret_cbytes(secrets), secret_len(secrets));

	if (r < 0)
		return -EIO;
	if (!wait_readable(h->fd, timeout_ms))
		return -ETIMEDOUT;
	r = tpm_wire_recv(h->fd, ret, sizeof(*ret), secret_bytes(ret_secret), secret_len(ret_secret));
	if (r < 0 || le32_get(ret->magic) != TPM_WIRE_MAGIC || le32_get(ret->error) > 4095)
		return -EIO;
	ret->text[sizeof(ret->text) - 1] = '\0';
	return 0;
}
