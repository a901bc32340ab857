/* SPDX-License-Identifier: GPL-3.0-or-later */
/* TPMs that are absent, die at any command, hang or are full; and what a listener between us and the TPM sees. */
#include "tests/tpm/jobs.h"
#include "tpm/run.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(no_tpm)
{
	struct tpm_blob b = jobs_seal(jobs_machine.tcti, 0x51, NULL);
	struct tpm_job job = jobs_unseal(&b, NULL);
	struct tpm_status st;
	struct fault f = { 0 };

	swtpm_kill(&jobs_machine);
	ck_assert_int_eq(tpm_run(jobs_machine.tcti, &job, 1, &f), -ENODEV);
	ck_assert_int_eq(job.err, -ENODEV);
	ck_assert_int_eq(f.exit, CL_EXIT_TPM);
	ck_assert_ptr_nonnull(strstr(f.text, "no TPM can be reached at \"swtpm:path="));
	ck_assert_str_eq(f.text, job.fault.text);
	ck_assert_int_eq(tpm_get_status(jobs_machine.tcti, &st, NULL), -ENODEV);
	jobs_unseal_fails("device:/dev/tpmrm-none", &b, NULL, -ENODEV, CL_EXIT_TPM,
			  "there is no TPM at /dev/tpmrm-none");
	jobs_unseal_fails("device:/dev/null", &b, NULL, -ENODEV, CL_EXIT_TPM, "/dev/null");
	swtpm_start(&jobs_machine);
	jobs_unseal_ok(jobs_machine.tcti, &b, NULL, 0x51);
}
END_TEST

/* Kills the TPM at command 0, 1, 2, ... of what jobs does, until it gets through. Returns the number of commands. */
static unsigned kill_everywhere(const struct tpm_blob *known, const struct tpm_job *template)
{
	for (unsigned i = 0;; i++) {
		for (unsigned after = 0; after < 2; after++) {
			struct tpm_job jobs[2] = { *template, jobs_unseal(known, NULL) };
			struct swtpm_proxy proxy;
			bool killed;
			int r;

			swtpm_proxy_start(&proxy, &jobs_machine, i, after ? SWTPM_KILL_AFTER : SWTPM_KILL_BEFORE, NULL);
			r = tpm_run(proxy.tcti, jobs, 2, NULL);
			killed = swtpm_proxy_stop(&proxy, &jobs_machine);
			if (!killed || jobs[0].err == 0) {
				ck_assert_int_eq(jobs[0].err, 0);
				if (template->op == TPM_UNSEAL)
					jobs_check(&jobs[0], 0x52);
			}
			if (!killed) {
				jobs_check(&jobs[1], 0x52);
				return i;
			}
			ck_assert(r == 0 || r == -ENODEV || r == -EIO);
			ck_assert_msg(jobs[0].err == 0 || jobs[0].err == -ENODEV || jobs[0].err == -EIO,
				      "command %u: %d %s", i, jobs[0].err, jobs[0].fault.text);
			/* Also the flush at the end may be what was killed. */
			if (jobs[1].err == 0)
				jobs_check(&jobs[1], 0x52);
			else
				ck_assert(jobs[1].err == -ENODEV || jobs[1].err == -EIO);
			swtpm_start(&jobs_machine);
			jobs_unseal_ok(jobs_machine.tcti, known, NULL, 0x52);
		}
	}
}

START_TEST(tpm_killed_at_every_command)
{
	struct tpm_blob known = jobs_seal(jobs_machine.tcti, 0x52, NULL);
	struct secret *s = jobs_filled(0x53, 32, 0);
	struct tpm_job sealing = { .op = TPM_SEAL, .secret = s }, unsealing = jobs_unseal(&known, NULL);

	/* Two jobs each: connect, storage key, sessions, work, flushes. */
	ck_assert_uint_gt(kill_everywhere(&known, &unsealing), 15);
	ck_assert_uint_gt(kill_everywhere(&known, &sealing), 15);
	secret_free(s);
}
END_TEST

/* An I/O error kills the connection for the TPM library, not for the jobs that follow. */
START_TEST(connection_is_made_anew)
{
	struct tpm_blob b = jobs_seal(jobs_machine.tcti, 0x57, NULL);
	struct tpm_job jobs[] = { jobs_unseal(&b, NULL), jobs_unseal(&b, NULL), jobs_unseal(&b, NULL) };
	struct swtpm_proxy proxy;

	/* Connecting is past; nothing is left behind in the TPM yet. */
	swtpm_proxy_start(&proxy, &jobs_machine, 2, SWTPM_HANG_UP, NULL);
	jobs_run(proxy.tcti, jobs, CL_ARRAY_LEN(jobs));
	ck_assert(!swtpm_proxy_stop(&proxy, &jobs_machine));
	ck_assert_int_eq(jobs[0].err, -ENODEV);
	ck_assert_ptr_nonnull(strstr(jobs[0].fault.text, "the TPM went away while"));
	jobs_check(&jobs[1], 0x57);
	jobs_check(&jobs[2], 0x57);
}
END_TEST

/* A server that takes the connection and says nothing; it looks at its client meanwhile. */
static _Noreturn void silent_server(int listener)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	char path[64], env[4096];
	int client, fd;
	unsigned fds = 0;
	ssize_t n;
	DIR *d;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	client = accept(listener, NULL, NULL);
	if (client < 0 || getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		_exit(1);
	/* Only root may look: the helper is not dumpable. */
	snprintf(path, sizeof(path), "/proc/%d/fd", peer.pid);
	d = opendir(path);
	if (geteuid() != 0)
		_exit(d ? 2 : 0);
	if (!d)
		_exit(3);
	while (readdir(d))
		fds++;
	closedir(d);
	snprintf(path, sizeof(path), "/proc/%d/environ", peer.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, env, sizeof(env));
	/* ".", "..", three times /dev/null, its socket, and at most two to us: nothing inherited. */
	if (fds > 8)
		_exit(4);
	if (n < 8 || memmem(env, (size_t)n, "CLOISON_TEST_SECRET", 19) ||
	    !memmem(env, (size_t)n, "TSS2_LOG=all+NONE", 17))
		_exit(5);
	pause();
	_exit(6);
}

START_TEST(silent_tpm_meets_a_deadline)
{
	struct tpm_blob b = jobs_seal(jobs_machine.tcti, 0x54, NULL);
	struct tpm_job jobs[2] = { jobs_unseal(&b, NULL), jobs_unseal(&b, NULL) };
	char tcti[64];
	int listeners[2], status;
	int inherited = open("/dev/null", O_RDONLY); /* not close-on-exec, on purpose */
	pid_t server;

	for (size_t i = 0; i < CL_ARRAY_LEN(listeners); i++) {
		struct sockaddr_un a = { .sun_family = AF_UNIX };

		snprintf(a.sun_path, sizeof(a.sun_path), "%s/p%s", jobs_machine.dir, i ? ".ctrl" : "");
		listeners[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ck_assert_int_ge(listeners[i], 0);
		ck_assert_int_eq(bind(listeners[i], (const struct sockaddr *)&a, sizeof(a)), 0);
		ck_assert_int_eq(listen(listeners[i], 4), 0);
	}
	snprintf(tcti, sizeof(tcti), "swtpm:path=%s/p", jobs_machine.dir);
	server = fork();
	if (server == 0)
		silent_server(listeners[0]);
	ck_assert_int_eq(setenv("CLOISON_TEST_SECRET", "1", 1), 0);
	ck_assert_int_eq(tpm_run_within(tcti, jobs, 2, 700, NULL), 0);
	ck_assert_int_eq(jobs[0].err, -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(jobs[0].fault.text, "did not answer within 1 seconds"));
	ck_assert_int_eq(jobs[1].err, -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(jobs[1].fault.text, "not tried"));
	unsetenv("CLOISON_TEST_SECRET");
	kill(server, SIGKILL);
	ck_assert_int_eq(waitpid(server, &status, 0), server);
	ck_assert_msg(WIFSIGNALED(status) || (geteuid() != 0 && WEXITSTATUS(status) == 0), "the helper is not bare: %d",
		      WEXITSTATUS(status));
	close(listeners[0]);
	close(listeners[1]);
	close(inherited);
	jobs_unseal_ok(jobs_machine.tcti, &b, NULL, 0x54);
}
END_TEST

START_TEST(leaks_of_another_client)
{
	struct secret *pin = jobs_filled(0x73, 32, 0);
	struct tpm_blob host = jobs_seal(jobs_machine.tcti, 0x55, NULL),
			locked = jobs_seal(jobs_machine.tcti, 0x56, pin);

	/* What is left suffices: two objects (a persistent key takes a place while it is used), two sessions. */
	swtpm_leak(&jobs_machine, 1, 1);
	jobs_unseal_ok(jobs_machine.tcti, &host, NULL, 0x55);
	jobs_unseal_ok(jobs_machine.tcti, &locked, pin, 0x56);
	swtpm_leak(&jobs_machine, 1, 0);
	jobs_unseal_fails(jobs_machine.tcti, &host, NULL, -EAGAIN, CL_EXIT_TPM, "tpm2_flushcontext");
	swtpm_flush_all(&jobs_machine);
	swtpm_leak(&jobs_machine, 0, 2);
	jobs_unseal_fails(jobs_machine.tcti, &locked, pin, -EAGAIN, CL_EXIT_TPM, "tpm2_flushcontext");
	swtpm_flush_all(&jobs_machine);
	jobs_unseal_ok(jobs_machine.tcti, &host, NULL, 0x55);
	jobs_unseal_ok(jobs_machine.tcti, &locked, pin, 0x56);
	secret_free(pin);
}
END_TEST

START_TEST(bus_shows_no_secret)
{
	struct secret *pin = jobs_filled(0x7a, 32, 0), *s;
	struct tpm_job job = { .op = TPM_SEAL, .unlock = TPM_UNLOCK_PIN, .auth = pin };
	struct swtpm_proxy proxy;
	char file[64], *traffic;
	size_t len;
	FILE *in;

	ck_assert_int_eq(secret_new_random(TPM_SECRET_LEN, &s), 0);
	job.secret = s;
	snprintf(file, sizeof(file), "%s/traffic", jobs_machine.dir);
	swtpm_proxy_start(&proxy, &jobs_machine, SWTPM_NEVER, SWTPM_HANG_UP, file);
	jobs_run(proxy.tcti, &job, 1);
	ck_assert_int_eq(job.err, 0);
	job.op = TPM_UNSEAL;
	jobs_run(proxy.tcti, &job, 1);
	ck_assert_int_eq(job.err, 0);
	ck_assert(secret_equal(secret_cbytes(s), secret_cbytes(job.secret), TPM_SECRET_LEN));
	ck_assert(!swtpm_proxy_stop(&proxy, &jobs_machine));
	traffic = malloc(1 << 20);
	in = fopen(file, "r");
	len = fread(traffic, 1, 1 << 20, in);
	fclose(in);
	/* It did listen to all of it: the public area goes in clear. */
	ck_assert_ptr_nonnull(memmem(traffic, len, job.blob.public_area, job.blob.public_len));
	for (size_t i = 0; i + 8 <= TPM_SECRET_LEN; i += 8)
		ck_assert_ptr_null(memmem(traffic, len, secret_cbytes(s) + i, 8));
	ck_assert_ptr_null(memmem(traffic, len, secret_cbytes(pin), 8));
	free(traffic);
	secret_free(job.secret);
	secret_free(s);
	secret_free(pin);
}
END_TEST

void jobs_add_gone_tests(TCase *t)
{
	tcase_add_test(t, no_tpm);
	tcase_add_test(t, tpm_killed_at_every_command);
	tcase_add_test(t, connection_is_made_anew);
	tcase_add_test(t, silent_tpm_meets_a_deadline);
	tcase_add_test(t, leaks_of_another_client);
	tcase_add_test(t, bus_shows_no_secret);
}
