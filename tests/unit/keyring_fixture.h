/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For the tests of keyring/: a TPM made of memory, and small volumes in directories that go away with the test. */
#ifndef CLOISON_TESTS_UNIT_KEYRING_FIXTURE_H
#define CLOISON_TESTS_UNIT_KEYRING_FIXTURE_H

#include "keyring/keyring.h"
#include "keyring/model.h"

#define FIXTURE_PIN "271828"
#define FIXTURE_PASSPHRASE "correct horse battery staple"
#define FIXTURE_OBJECTS 256u

/* Seals under a seed and counts. An object's public area starts with its id; one TPM = one seed. */
struct fixture_tpm {
	uint8_t seed[32];
	unsigned runs;       /* calls of run() */
	unsigned unseals;    /* jobs of these that unseal */
	unsigned wrong;      /* wrong authValues counted */
	unsigned lockout_at; /* locks up when wrong reaches it; 0 = never */
	int run_error;       /* run() fails as a whole */
	size_t n_objects;
	struct {
		uint8_t id[16];
		unsigned tries; /* unseal jobs on it */
	} objects[FIXTURE_OBJECTS];
	struct keyring_tpm tpm; /* to be offered */
};
void fixture_tpm_init(struct fixture_tpm *t, uint8_t seed);
/* Unseal jobs so far on the object with this public area. */
unsigned fixture_tries(const struct fixture_tpm *t, const struct keyring_part *public_area);

struct secret *fixture_secret(const char *text);

/* A volume with the labels of fixture_text, on disk and in memory. */
struct fixture {
	char dir[64];
	int dirfd;
	struct fixture_tpm tpm;
	struct secret *pin, *passphrase;
	struct secret *keys[KEYRING_MAX_LABELS]; /* in the order of the labels */
	size_t n;
	struct keyring *made;       /* as keyring_create gave it */
	struct keyring *k;          /* as keyring_load gave it */
	struct keyring_offer offer; /* what it was made with; tests take things out */
};
extern const char *const fixture_text[];
/* ways: one letter per label, 'h' host or 'p' PIN. with: 't' a tpm2 slot, 'r' a recovery passphrase. */
void fixture_make(struct fixture *x, const char *ways, const char *with);
void fixture_done(struct fixture *x);
/* Index of label i's compartment in k. */
size_t fixture_compartment(const struct fixture *x, const struct keyring *k, size_t i);
/* The lock of label i in the first slot of this type. */
struct keyring_lock *fixture_lock(const struct fixture *x, struct keyring *k, enum keyring_slot_type type, size_t i);
struct keyring_slot *fixture_slot(struct keyring *k, enum keyring_slot_type type);
/* Unlocks label i (-1: NULL) and checks keys and records of it and those below; returns the error. */
int fixture_unlock(const struct fixture *x, const struct keyring *k, int i, struct fault *f);
/* Replaces or removes (text NULL) a file of the volume. */
void fixture_write(const struct fixture *x, const char *name, const char *text, size_t len);

/* Log lines since fixture_log_start, one after the other. */
void fixture_log_start(void);
const char *fixture_log(void);

#endif
