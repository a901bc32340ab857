/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Software TPMs for tests. */
#include "tests/tpm/swtpm.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

#define SRK 0x81000001u
/* TPM 2.0 Part 2; the macros of tss2 shift a bit out of an int. */
#define FIRST_TRANSIENT 0x80000000u
#define FIRST_LOADED_SESSION 0x02000000u
#define FIRST_SAVED_SESSION 0x03000000u
#define START_MS 20000

bool swtpm_installed(void)
{
	return access("/usr/bin/swtpm", X_OK) == 0 || access("/usr/local/bin/swtpm", X_OK) == 0;
}

static void pause_ms(unsigned ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	ck_assert(strlen(path) < sizeof(a.sun_path));
	memcpy(a.sun_path, path, strlen(path) + 1);
	return a;
}

static int try_connect(const char *path)
{
	const struct sockaddr_un a = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void swtpm_start(struct swtpm *t)
{
	char state[64], server[96], ctrl[96], path[48], log[96];
	int fd = -1;

	snprintf(path, sizeof(path), "%s/s", t->dir);
	snprintf(state, sizeof(state), "dir=%s", t->dir);
	snprintf(server, sizeof(server), "type=unixio,path=%s/s", t->dir);
	snprintf(ctrl, sizeof(ctrl), "type=unixio,path=%s/s.ctrl", t->dir);
	snprintf(log, sizeof(log), "file=%s/log,level=1", t->dir);
	unlink(path);
	t->pid = fork();
	ck_assert_int_ge(t->pid, 0);
	if (t->pid == 0) {
		/* A test that fails leaves no TPM behind. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server, "--ctrl", ctrl,
		       "--flags", "not-need-init,startup-clear", "--seccomp", "action=none", "--log", log,
		       (char *)NULL);
		_exit(127);
	}
	for (unsigned ms = 0; ms < START_MS && fd < 0; ms += 5) {
		pause_ms(5);
		ck_assert_msg(waitpid(t->pid, NULL, WNOHANG) == 0, "swtpm does not start: see %s/log", t->dir);
		fd = try_connect(path);
	}
	ck_assert_msg(fd >= 0, "swtpm does not listen on %s", path);
	close(fd);
	snprintf(t->tcti, sizeof(t->tcti), "swtpm:path=%s", path);
}

void swtpm_new(struct swtpm *t)
{
	memset(t, 0, sizeof(*t));
	strcpy(t->dir, "/tmp/cl-tpm-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(t->dir));
	swtpm_start(t);
}

void swtpm_kill(struct swtpm *t)
{
	if (!t->pid)
		return;
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
	t->pid = 0;
}

void swtpm_free(struct swtpm *t)
{
	static const char *const files[] = { "s",     "s.ctrl", "log",    "tpm2-00.permall", "tpm2-00.volatilestate",
					     ".lock", "p",      "p.ctrl", "traffic" };
	char path[96];

	swtpm_kill(t);
	for (size_t i = 0; i < CL_ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", t->dir, files[i]);
		unlink(path);
	}
	ck_assert_msg(rmdir(t->dir) == 0, "%s is not empty", t->dir);
}

/* ---- proxy ---- */

struct relay {
	int listener;
	char upstream[64];
	pid_t victim; /* 0: none */
	unsigned strike_at;
	enum swtpm_strike strike;
	bool *killed; /* shared with the test */
	int log;      /* -1: none */
};

/* Passes what can be read on; false at the end. */
static bool pass(int from, int to, int log)
{
	char buf[8192];
	ssize_t n = read(from, buf, sizeof(buf));

	if (n <= 0 || write(to, buf, (size_t)n) != n)
		return false;
	return log < 0 || write(log, buf, (size_t)n) == n;
}

static _Noreturn void relay_kill(const struct relay *r)
{
	/* Said before it is done: what follows, the client may notice before we can say anything. */
	*r->killed = true;
	kill(r->victim, SIGKILL);
	_exit(0);
}

/* Until either side closes. n: commands seen so far. */
static void relay_connection(const struct relay *r, int client, unsigned *n)
{
	int up = try_connect(r->upstream);
	struct pollfd p[2] = { { .fd = client, .events = POLLIN }, { .fd = up, .events = POLLIN } };

	while (up >= 0 && poll(p, 2, -1) > 0) {
		if (p[0].revents) {
			char first;
			bool strike;

			if (recv(client, &first, 1, MSG_PEEK) != 1)
				break;
			strike = r->victim && (*n)++ == r->strike_at;
			if (strike && r->strike == SWTPM_KILL_BEFORE)
				relay_kill(r);
			if ((strike && r->strike == SWTPM_HANG_UP) || !pass(client, up, r->log))
				break;
			if (strike)
				relay_kill(r);
		}
		if (p[1].revents && !pass(up, client, r->log))
			break;
	}
	if (up >= 0)
		close(up);
}

static _Noreturn void relay_run(const struct relay *r)
{
	for (unsigned n = 0;;) {
		int client = accept(r->listener, NULL, NULL);

		if (client < 0)
			_exit(0);
		relay_connection(r, client, &n);
		close(client);
	}
}

static pid_t relay_start(struct relay *r, const char *path)
{
	const struct sockaddr_un a = address(path);
	pid_t pid;

	unlink(path);
	r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(r->listener, 0);
	ck_assert_int_eq(bind(r->listener, (const struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(r->listener, 8), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		relay_run(r);
	}
	close(r->listener);
	return pid;
}

void swtpm_proxy_start(struct swtpm_proxy *p, const struct swtpm *t, unsigned strike_at, enum swtpm_strike strike,
		       const char *file)
{
	struct relay data = { .strike_at = strike_at, .strike = strike, .log = -1 };
	struct relay ctrl = { .log = -1 };
	char path[64];

	if (strike_at != SWTPM_NEVER)
		data.victim = t->pid;
	p->killed = mmap(NULL, sizeof(*p->killed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(p->killed != MAP_FAILED);
	data.killed = p->killed;
	if (file) {
		data.log = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		ck_assert_int_ge(data.log, 0);
	}
	snprintf(data.upstream, sizeof(data.upstream), "%s/s", t->dir);
	snprintf(ctrl.upstream, sizeof(ctrl.upstream), "%s/s.ctrl", t->dir);
	snprintf(path, sizeof(path), "%s/p", t->dir);
	snprintf(p->tcti, sizeof(p->tcti), "swtpm:path=%.48s", path);
	p->pids[0] = relay_start(&data, path);
	snprintf(path, sizeof(path), "%s/p.ctrl", t->dir);
	p->pids[1] = relay_start(&ctrl, path);
	if (data.log >= 0)
		close(data.log);
}

bool swtpm_proxy_stop(struct swtpm_proxy *p, struct swtpm *t)
{
	bool killed;

	for (size_t i = 0; i < CL_ARRAY_LEN(p->pids); i++) {
		kill(p->pids[i], SIGKILL);
		ck_assert_int_eq(waitpid(p->pids[i], NULL, 0), p->pids[i]);
	}
	killed = *p->killed;
	munmap(p->killed, sizeof(*p->killed));
	if (killed)
		swtpm_kill(t);
	return killed;
}

/* ---- another client ---- */

struct client {
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *e;
};

static struct client client_open(const struct swtpm *t)
{
	struct client c = { 0 };

	ck_assert_uint_eq(Tss2_TctiLdr_Initialize(t->tcti, &c.tcti), TSS2_RC_SUCCESS);
	ck_assert_uint_eq(Esys_Initialize(&c.e, c.tcti, NULL), TSS2_RC_SUCCESS);
	return c;
}

/* Leaves everything in the TPM as it is, as a client that crashed does. */
static void client_close(struct client *c)
{
	Esys_Finalize(&c->e);
	Tss2_TctiLdr_Finalize(&c->tcti);
}

static ESYS_TR client_primary(struct client *c, uint16_t unique_len)
{
	static const TPM2B_SENSITIVE_CREATE sensitive = { 0 };
	static const TPML_PCR_SELECTION pcrs = { 0 };
	static const TPM2B_DATA outside = { 0 };
	const TPM2B_PUBLIC template = {
		.publicArea = {
			.type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT |
					    TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA |
					    TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH,
			.parameters.eccDetail = {
				.symmetric = {
					.algorithm = TPM2_ALG_AES,
					.keyBits.aes = 128,
					.mode.aes = TPM2_ALG_CFB,
				},
				.scheme.scheme = TPM2_ALG_NULL,
				.curveID = TPM2_ECC_NIST_P256,
				.kdf.scheme = TPM2_ALG_NULL,
			},
			.unique.ecc = { .x.size = unique_len, .y.size = unique_len },
		},
	};
	ESYS_TR key = ESYS_TR_NONE;

	ck_assert_uint_eq(Esys_CreatePrimary(c->e, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
					     &sensitive, &template, &outside, &pcrs, &key, NULL, NULL, NULL, NULL),
			  TSS2_RC_SUCCESS);
	return key;
}

void swtpm_leak(const struct swtpm *t, unsigned transients, unsigned sessions)
{
	static const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
	struct client c = client_open(t);

	for (unsigned i = 0; i < transients; i++)
		client_primary(&c, 0);
	for (unsigned i = 0; i < sessions; i++) {
		ESYS_TR s;

		ck_assert_uint_eq(Esys_StartAuthSession(c.e, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
							ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none, TPM2_ALG_SHA256, &s),
				  TSS2_RC_SUCCESS);
	}
	client_close(&c);
}

/* Handles of a kind; flush: give each back. */
static unsigned client_handles(struct client *c, TPM2_HANDLE first, bool flush)
{
	TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;
	unsigned n;

	ck_assert_uint_eq(Esys_GetCapability(c->e, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first,
					     64, &more, &data),
			  TSS2_RC_SUCCESS);
	n = data->data.handles.count;
	for (unsigned i = 0; flush && i < n; i++) {
		ESYS_TR tr;

		ck_assert_uint_eq(Esys_TR_FromTPMPublic(c->e, data->data.handles.handle[i], ESYS_TR_NONE, ESYS_TR_NONE,
							ESYS_TR_NONE, &tr),
				  TSS2_RC_SUCCESS);
		ck_assert_uint_eq(Esys_FlushContext(c->e, tr), TSS2_RC_SUCCESS);
	}
	Esys_Free(data);
	return n;
}

void swtpm_flush_all(const struct swtpm *t)
{
	struct client c = client_open(t);

	client_handles(&c, FIRST_TRANSIENT, true);
	client_handles(&c, FIRST_LOADED_SESSION, true);
	client_close(&c);
}

unsigned swtpm_count_handles(const struct swtpm *t)
{
	struct client c = client_open(t);
	unsigned n = client_handles(&c, FIRST_TRANSIENT, false) + client_handles(&c, FIRST_LOADED_SESSION, false) +
		     client_handles(&c, FIRST_SAVED_SESSION, false);

	client_close(&c);
	return n;
}

void swtpm_evict_srk(const struct swtpm *t)
{
	struct client c = client_open(t);
	ESYS_TR key, gone;

	ck_assert_uint_eq(Esys_TR_FromTPMPublic(c.e, SRK, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &key),
			  TSS2_RC_SUCCESS);
	ck_assert_uint_eq(Esys_EvictControl(c.e, ESYS_TR_RH_OWNER, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
					    SRK, &gone),
			  TSS2_RC_SUCCESS);
	client_close(&c);
}

void swtpm_put_other_srk(const struct swtpm *t)
{
	struct client c = client_open(t);
	ESYS_TR key = client_primary(&c, 32), kept;

	ck_assert_uint_eq(Esys_EvictControl(c.e, ESYS_TR_RH_OWNER, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
					    SRK, &kept),
			  TSS2_RC_SUCCESS);
	ck_assert_uint_eq(Esys_FlushContext(c.e, key), TSS2_RC_SUCCESS);
	client_close(&c);
}

void swtpm_clear(const struct swtpm *t)
{
	struct client c = client_open(t);

	ck_assert_uint_eq(Esys_Clear(c.e, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE),
			  TSS2_RC_SUCCESS);
	client_close(&c);
}

void swtpm_reset_lockout(const struct swtpm *t)
{
	struct client c = client_open(t);

	ck_assert_uint_eq(Esys_DictionaryAttackLockReset(c.e, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE,
							 ESYS_TR_NONE),
			  TSS2_RC_SUCCESS);
	client_close(&c);
}

void swtpm_set_owner_password(const struct swtpm *t, const char *password)
{
	struct client c = client_open(t);
	TPM2B_AUTH auth = { .size = (uint16_t)strlen(password) };

	ck_assert_uint_le(auth.size, sizeof(auth.buffer));
	memcpy(auth.buffer, password, auth.size);
	ck_assert_uint_eq(Esys_HierarchyChangeAuth(c.e, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
						   &auth),
			  TSS2_RC_SUCCESS);
	client_close(&c);
}
