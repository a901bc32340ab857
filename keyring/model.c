/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The header in memory: looking things up in it, checking its texts, letting it go. */
#include "keyring/model.h"

#include <stdlib.h>
#include <string.h>

void keyring_free(struct keyring *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->n_slots; i++)
		free(k->slots[i].locks);
	free(k->slots);
	free(k->compartments);
	keyring_free(k->spare);
	free(k);
}

const uint8_t *keyring_uuid(const struct keyring *k)
{
	return k->uuid;
}

const char *keyring_name(const struct keyring *k)
{
	return k->name;
}

size_t keyring_n_compartments(const struct keyring *k)
{
	return k->n_compartments;
}

const uint8_t *keyring_compartment_id(const struct keyring *k, size_t i)
{
	return i < k->n_compartments ? k->compartments[i].id : NULL;
}

size_t keyring_n_slots(const struct keyring *k)
{
	return k->n_slots;
}

int keyring_slot(const struct keyring *k, size_t i, struct keyring_slot_info *ret)
{
	const struct keyring_slot *s;

	if (i >= k->n_slots)
		return -ENOENT;
	s = &k->slots[i];
	*ret = (struct keyring_slot_info){ .is_tpm2 = s->type == KEYRING_TPM2, .n_locks = s->n_locks };
	memcpy(ret->id, s->id, sizeof ret->id);
	for (size_t j = 0; j < s->n_locks; j++)
		if (ret->is_tpm2 && s->locks[j].unlock == KEYRING_PIN)
			ret->n_pin++;
	return 0;
}

ssize_t keyring_find_compartment(const struct keyring *k, const uint8_t id[static KEYRING_ID_LEN])
{
	for (size_t i = 0; i < k->n_compartments; i++)
		if (!memcmp(k->compartments[i].id, id, KEYRING_ID_LEN))
			return (ssize_t)i;
	return -1;
}

ssize_t keyring_find_lock(const struct keyring_slot *s, const uint8_t id[static KEYRING_ID_LEN])
{
	for (size_t i = 0; i < s->n_locks; i++)
		if (!memcmp(s->locks[i].compartment, id, KEYRING_ID_LEN))
			return (ssize_t)i;
	return -1;
}

bool keyring_kdf_ok(const struct keyring_kdf *kdf)
{
	if (kdf->log2n < KEYRING_LOG2N_MIN || kdf->log2n > KEYRING_LOG2N_MAX || !kdf->r || kdf->r > KEYRING_R_MAX ||
	    !kdf->p || kdf->p > KEYRING_P_MAX)
		return false;
	return (uint64_t)kdf->r << kdf->log2n <= KEYRING_MEMORY_MAX &&
	       (uint64_t)kdf->p * kdf->r << kdf->log2n <= KEYRING_WORK_MAX;
}

/* Length of the UTF-8 sequence at b (RFC 3629 section 4: shortest form, no surrogates), 0 = none; *cp its character. */
static size_t utf8_next(const uint8_t *b, size_t n, uint32_t *cp)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = b[0] < 0x80 ? 1 : b[0] >> 5 == 6 ? 2 : b[0] >> 4 == 14 ? 3 : b[0] >> 3 == 30 ? 4 : 0;

	if (!len || len > n)
		return 0;
	*cp = len == 1 ? b[0] : b[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if (b[i] >> 6 != 2)
			return 0;
		*cp = *cp << 6 | (b[i] & 0x3fu);
	}
	if (*cp < least[len] || *cp > 0x10ffff || (*cp >= 0xd800 && *cp <= 0xdfff))
		return 0;
	return len;
}

bool keyring_text_ok(const char *text, size_t n)
{
	const uint8_t *b = (const uint8_t *)text;

	for (size_t i = 0; i < n;) {
		uint32_t cp = 0;
		size_t len = utf8_next(b + i, n - i, &cp);

		if (!len || cp < 0x20 || (cp >= 0x7f && cp < 0xa0))
			return false;
		i += len;
	}
	return true;
}

bool keyring_dir_ok(const char *dir)
{
	size_t n = strlen(dir);

	return n && n <= KEYRING_DIR_MAX && keyring_text_ok(dir, n) && !strchr(dir, '/') && strcmp(dir, ".") != 0 &&
	       strcmp(dir, "..") != 0;
}

bool keyring_copies_differ(const struct keyring *k)
{
	return k->spare != NULL;
}
