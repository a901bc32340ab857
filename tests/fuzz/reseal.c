/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Root pages taken apart and sealed again. */
#include "tests/fuzz/reseal.h"

#include "fs/seal.h"
#include "keyring/keyring.h"
#include "tests/fuzz/disk.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { NONCE = RESEAL_HEAD, TAG = 64, CIPHER = 128 };

void reseal_open(struct store *folder, const struct fs_compartment *c, uint8_t raw[static CL_PAGE],
		 uint8_t plain[static RESEAL_PLAIN])
{
	uint8_t key[SEAL_KEY_LEN];
	size_t len;
	uint8_t *file = disk_read(folder, "root", &len);

	FUZZ_CHECK(file && len == CL_PAGE, "no root page");
	memcpy(raw, file, CL_PAGE);
	free(file);
	FUZZ_OK(keyring_derive(c->key, "root", c->id, key, sizeof key));
	FUZZ_OK(seal_open_message(key, raw + NONCE, raw, RESEAL_HEAD, raw + CIPHER, RESEAL_PLAIN, plain, raw + TAG));
}

void reseal_root(const struct fs_compartment *c, uint8_t raw[static CL_PAGE], const uint8_t plain[static RESEAL_PLAIN])
{
	uint8_t key[SEAL_KEY_LEN];

	FUZZ_OK(keyring_derive(c->key, "root", c->id, key, sizeof key));
	FUZZ_OK(seal_message(key, raw + NONCE, raw, RESEAL_HEAD, plain, RESEAL_PLAIN, raw + CIPHER, raw + TAG));
}
