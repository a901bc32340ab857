/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the program and its TPM helper say to each other: one packet per job there, one packet back. */
#ifndef CLOISON_TPM_WIRE_H
#define CLOISON_TPM_WIRE_H

#include "common/base.h"
#include "common/bytes.h"
#include "tpm/tpm.h"

#include <assert.h>

/*
 * Both ends are the same binary, yet the helper is the end that talks to a TPM: the program trusts nothing in a reply
 * but its shape, and takes lengths only after checking them. Packets have one fixed size, so there is nothing to
 * delimit: struct tpm_wire_request, then TPM_WIRE_SECRETS bytes; struct tpm_wire_reply, then TPM_SECRET_LEN bytes.
 * The secret bytes stand behind the struct so that recvmsg(2) can put them straight into a struct secret.
 */
#define TPM_WIRE_MAGIC 0x316d7074u /* "tpm1" */
#define TPM_AUTH_MAX 32u           /* the size of SHA-256, the objects' nameAlg: the most a TPM takes */
#define TPM_WIRE_SECRETS (TPM_SECRET_LEN + TPM_AUTH_MAX)

#define TPM_HELPER_NAME "cloison-tpm-helper" /* argv[0]; argv[1] is the socket's number, argv[2] the TCTI */
#define TPM_HELPER_FD 3

enum tpm_wire_op { TPM_WIRE_SEAL = 1, TPM_WIRE_UNSEAL = 2, TPM_WIRE_STATUS = 3 };

struct tpm_wire_blob {
	le16 len[4]; /* srk name, srk public, object public, object private */
	uint8_t srk_name[66];
	uint8_t srk_public[384];
	uint8_t public_area[384];
	uint8_t private_area[512];
};

struct tpm_wire_request {
	le32 magic;
	uint8_t op;
	uint8_t unlock;
	uint8_t auth_len;
	uint8_t zero;
	struct tpm_wire_blob blob;
};

struct tpm_wire_status {
	uint8_t in_lockout;
	uint8_t lockout_auth_set;
	uint8_t zero[2];
	le32 tries_used;
	le32 tries_max;
	le32 recovery_seconds;
	char manufacturer[4];
};

struct tpm_wire_reply {
	le32 magic;
	le32 error;    /* positive errno, 0 = done */
	uint8_t tried; /* the TPM was reached */
	uint8_t exit;  /* enum cl_exit */
	uint8_t zero[2];
	struct tpm_wire_status status;
	struct tpm_wire_blob blob;
	char text[640]; /* NUL-terminated sentence */
};

static_assert(sizeof(struct tpm_wire_blob) == 1354, "no padding in packets");
static_assert(sizeof(struct tpm_wire_request) == 8 + 1354, "no padding in packets");
static_assert(sizeof(struct tpm_wire_reply) == 12 + 20 + 1354 + 640, "no padding in packets");
static_assert(sizeof(((struct tpm_wire_reply *)0)->text) == sizeof(((struct fault *)0)->text), "same sentence");

void tpm_wire_put_blob(struct tpm_wire_blob *out, const struct tpm_blob *in);
/* -EUCLEAN when a length is larger than its array. */
int tpm_wire_get_blob(const struct tpm_wire_blob *in, struct tpm_blob *ret) CL_MUST_USE;
/* True iff no length is larger than its array. */
bool tpm_wire_blob_fits(const struct tpm_blob *b);

/* One packet, head and tail. Errors of sendmsg(2) and recvmsg(2). recv: -EPIPE at EOF, -EBADMSG on another size. */
int tpm_wire_send(int fd, const void *head, size_t head_len, const void *tail, size_t tail_len) CL_MUST_USE;
int tpm_wire_recv(int fd, void *head, size_t head_len, void *tail, size_t tail_len) CL_MUST_USE;

#endif
