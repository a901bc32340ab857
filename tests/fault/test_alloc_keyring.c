/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every allocation fails in turn while volume.json is made, written, read and unlocked: memory that is out is neither a damaged header
 * nor a wrong passphrase, what was on the disk stays, and nothing leaks. A failure names the allocation:
 * repeat with --call. --long: each of them, not every seventh.
 */
#include "common/log.h"
#include "fs/seal.h"
#include "keyring/keyring.h"
#include "tests/fault/failing_alloc.h"
#include "tests/model/tempdir.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LABELS 2u

static const char passphrase_text[] = "correct horse battery staple";

/* A TPM that hides nothing: private is the secret itself. */
static int tpm_run(void *arg, struct keyring_tpm_job *jobs, size_t n, struct fault *f)
{
	static const uint16_t len[4] = { 34, 40, 17, 32 };

	(void)arg;
	for (size_t k = 0; k < n; k++) {
		struct keyring_tpm_job *j = &jobs[k];
		if (j->seal) {
			memcpy(j->blob.len, len, sizeof len);
			for (unsigned part = 0; part < 3; part++)
				memset(j->blob.bytes[part], (int)part + 1, len[part]);
			memcpy(j->blob.bytes[3], secret_cbytes(j->secret), 32);
			continue;
		}
		j->err = secret_new(32, &j->secret);
		if (j->err)
			return fault_set(f, j->err, CL_EXIT_FAILED, "no memory for what the TPM gives");
		memcpy(secret_bytes(j->secret), j->blob.bytes[3], 32);
	}
	return 0;
}

static bool left_out, said_damage; /* log lines since a stage began */

static const struct keyring_tpm tpm = { .run = tpm_run };

struct world {
	char path[TEMPDIR_MAX];
	int dirfd;
	struct secret *passphrase;
	struct keyring *made;
	struct secret *keys[LABELS];
	struct keyring *loaded;
	bool with_tpm;
};

static const struct keyring_new_label labels[LABELS] = {
	{ .text = "LOW" }, { .text = "HIGH", .dir = "high" },
};

static int create(struct world *w, struct fault *f)
{
	struct keyring_new spec = { .name = "example", .labels = labels, .n_labels = LABELS, .scrypt_log2_n = 10,
				    .tpm = w->with_tpm ? &tpm : NULL, .passphrase = w->passphrase };

	return keyring_create(&spec, &w->made, w->keys, f);
}

static int save(struct world *w, struct fault *f)
{
	return keyring_save(w->made, w->dirfd, f);
}

static int load(struct world *w, struct fault *f)
{
	return keyring_load(w->dirfd, &w->loaded, f);
}

static bool right_keys(const struct world *w, const struct keyring_unlocked *u, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		size_t rank = u[k].label.rank;
		if (rank >= LABELS || strcmp(u[k].label.text, labels[rank].text) ||
		    !secret_equal(secret_cbytes(u[k].key), secret_cbytes(w->keys[rank]), 32))
			return false;
	}
	return true;
}

static int unlock_by(struct world *w, struct fault *f, bool all)
{
	struct keyring_offer offer = { .tpm = w->with_tpm ? &tpm : NULL, .passphrase = w->passphrase };
	struct keyring_unlocked *u = NULL;
	size_t n = 0;
	int err = all ? keyring_unlock_all(w->loaded, &offer, &u, &n, f) : keyring_unlock(w->loaded, &offer, "HIGH", &u, &n, f);

	if (err)
		return err;
	/* Of all that can be opened one may be left out, with a line in the log, when the cipher library fails; none may be wrong. */
	bool ok = right_keys(w, u, n) && (n == LABELS || (all && n && left_out));
	keyring_unlocked_free(u, n);
	return ok ? 0 : -EILSEQ;
}

static int unlock(struct world *w, struct fault *f)
{
	return unlock_by(w, f, false);
}

static int unlock_all(struct world *w, struct fault *f)
{
	return unlock_by(w, f, true);
}

static const struct stage {
	const char *name;
	int (*run)(struct world *w, struct fault *f);
} stages[] = {
	{ "create", create }, { "save", save }, { "load", load }, { "unlock", unlock }, { "unlock all", unlock_all }, { "save again", save },
};

static void on_log(enum log_level lvl, const char *line, void *arg)
{
	(void)lvl;
	(void)arg;
	left_out = left_out || strstr(line, "what other key slots open is open");
	if (strstr(line, "malformed") || strstr(line, "does not authenticate") || strstr(line, "damaged")) {
		fprintf(stderr, "fault: the log claims damage: %s\n", line);
		said_damage = true;
	}
}

static bool run_stage(struct world *w, const struct stage *s)
{
	for (unsigned tries = 0; tries < 2; tries++) {
		struct fault f = { 0 };
		unsigned long before = failing_alloc.hits;
		left_out = false;
		failing_alloc.armed = true;
		int err = s->run(w, &f);
		failing_alloc.armed = false;
		if (!err && !said_damage)
			return true;
		bool excused = (err == -ENOMEM || err == -EIO) && failing_alloc.hits > before && *f.text && f.exit != CL_EXIT_INTEGRITY &&
			       f.exit != CL_EXIT_KEY && f.exit != CL_EXIT_POLICY;
		if (!excused || said_damage) {
			fprintf(stderr, "fault: %s: error %d, exit status %d: %s\n", s->name, err, f.exit, f.text);
			return false;
		}
	}
	fprintf(stderr, "fault: %s: it fails again although nothing does\n", s->name);
	return false;
}

static bool run_one(unsigned long call, bool with_tpm)
{
	char text[sizeof passphrase_text];
	struct world w = { .with_tpm = with_tpm };
	bool ok = true;

	failing_alloc = (struct failing_alloc){ .fail_at = call };
	memcpy(text, passphrase_text, sizeof text);
	if (tempdir_make(w.path) || (w.dirfd = open(w.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
	    secret_new_take(text, sizeof text - 1, &w.passphrase)) {
		fprintf(stderr, "fault: no directory, or no memory\n");
		return false;
	}
	said_damage = false;
	for (size_t k = 0; k < CL_ARRAY_LEN(stages) && ok; k++)
		ok = run_stage(&w, &stages[k]);
	keyring_free(w.made);
	keyring_free(w.loaded);
	for (size_t k = 0; k < LABELS; k++)
		secret_free(w.keys[k]);
	secret_free(w.passphrase);
	close(w.dirfd);
	tempdir_remove(w.path);
	if (ok && secret_live()) {
		fprintf(stderr, "fault: %zu secrets are left\n", secret_live());
		ok = false;
	}
	return ok;
}

int main(int argc, char **argv)
{
	unsigned long only = argc == 3 && !strcmp(argv[1], "--call") ? strtoul(argv[2], NULL, 0) : 0;
	unsigned stride = getenv("CLOISON_TEST_MEMORY") ? 397 : getenv("CLOISON_TEST_SHORT") ? 61 : 7;
	bool ok = true;

	if (argc == 2 && !strcmp(argv[1], "--long"))
		stride = 1;

	log_hook(on_log, NULL);
	for (unsigned tpm_too = 0; tpm_too < 2 && ok; tpm_too++) {
		if (!run_one(0, tpm_too))
			return 1;
		unsigned long n = failing_alloc.calls;
		for (unsigned long call = only ? only : 1; call <= (only ? only : n) && ok; call += stride) {
			ok = run_one(call, tpm_too);
			if (!ok)
				fprintf(stderr, "fault: FAILED%s: repeat with --call %lu\n", tpm_too ? " with a TPM" : "", call);
		}
		printf("%s: %lu allocations\n", tpm_too ? "with a TPM" : "passphrase", n);
	}
	log_hook(NULL, NULL);
	return !ok;
}
