/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Software TPMs for tests: one in a directory of its own, a proxy in front of it, and a second client beside us. */
#ifndef CLOISON_TESTS_TPM_SWTPM_H
#define CLOISON_TESTS_TPM_SWTPM_H

#include "common/base.h"

struct swtpm {
	char dir[32];
	char tcti[64];
	pid_t pid; /* 0: does not run */
};

/* True iff swtpm is installed. */
bool swtpm_installed(void);

/* All of these end the test (ck_abort) when they cannot do their work. */
void swtpm_new(struct swtpm *t);   /* fresh state, running */
void swtpm_start(struct swtpm *t); /* on the state it has */
void swtpm_kill(struct swtpm *t);  /* SIGKILL: like a power cut */
void swtpm_free(struct swtpm *t);

/*
 * A proxy between a client and t, with a name of its own (tcti). Writes all bytes that pass to file, if not NULL. When
 * command number strike_at (from 0) arrives it does what strike says, once.
 */
enum swtpm_strike {
	SWTPM_KILL_BEFORE, /* kills t, which does not see the command */
	SWTPM_KILL_AFTER,  /* kills t when it has the command, before there is an answer */
	SWTPM_HANG_UP      /* closes the connection; t does not see the command, and lives on */
};
#define SWTPM_NEVER (~0u)
struct swtpm_proxy {
	char tcti[64];
	pid_t pids[2];
	bool *killed; /* owned */
};
void swtpm_proxy_start(struct swtpm_proxy *p, const struct swtpm *t, unsigned strike_at, enum swtpm_strike strike,
		       const char *file);
/* True iff it was it that killed t (which is reaped then). */
bool swtpm_proxy_stop(struct swtpm_proxy *p, struct swtpm *t);

/* What another client may do to a TPM without resource manager. */
void swtpm_leak(const struct swtpm *t, unsigned transients, unsigned sessions);
void swtpm_flush_all(const struct swtpm *t);
unsigned swtpm_count_handles(const struct swtpm *t); /* transient objects and sessions, loaded or saved */
void swtpm_evict_srk(const struct swtpm *t);
void swtpm_put_other_srk(const struct swtpm *t); /* unique = two times 32 zero bytes */
void swtpm_clear(const struct swtpm *t);         /* TPM2_Clear: new owner seed */
void swtpm_reset_lockout(const struct swtpm *t);
void swtpm_set_owner_password(const struct swtpm *t, const char *password);

#endif
