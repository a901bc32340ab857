/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two copies of the header on disk. */
#include "keyring/model.h"

#include "common/file.h"
#include "common/log.h"

#include <stdlib.h>
#include <string.h>

static const char header[] = "volume.json";
static const char backup[] = "volume.json.bak";

int keyring_save(const struct keyring *k, int dirfd, struct fault *f)
{
	const char *file = header;
	char *text = NULL;
	size_t len = 0;
	struct keyring *same = NULL;
	int err = keyring_format(k, &text, &len);

	/* Both copies are replaced: never by what could not be read again. */
	if (!err)
		err = keyring_parse(text, len, file, &same, f);
	keyring_free(same);
	if (!err)
		err = file_write_atomic(dirfd, file, text, len);
	if (!err) {
		file = backup;
		err = file_write_atomic(dirfd, file, text, len);
	}
	free(text);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "cannot write %s: %s", file, strerror(-err));
	return 0;
}

static int load_copy(int dirfd, const char *file, struct keyring **ret, char **ret_text, struct fault *f)
{
	char *text = NULL;
	size_t len = 0;
	int err = file_read_all(dirfd, file, KEYRING_FILE_MAX, &text, &len);

	if (err == -EFBIG)
		return fault_set(f, -EUCLEAN, CL_EXIT_INTEGRITY, "%s is malformed: expected at most %u bytes", file,
				 KEYRING_FILE_MAX);
	if (err == -EUCLEAN)
		return fault_set(f, err, CL_EXIT_INTEGRITY, "%s is not a regular file", file);
	if (err == -ENOENT)
		return fault_set(f, err, CL_EXIT_FAILED, "%s is missing", file);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "cannot read %s: %s", file, strerror(-err));
	err = keyring_parse(text, len, file, ret, f);
	if (err)
		free(text);
	else
		*ret_text = text;
	return err;
}

/* Whether the other copy may stand in. Not for what it could not mend, nor where this one is newer than we are. */
static bool mendable(int err)
{
	return err != -ENOMEM && err != -EACCES && err != -EPERM && err != -EPROTONOSUPPORT;
}

int keyring_load(int dirfd, struct keyring **ret, struct fault *f)
{
	struct keyring *main_copy = NULL, *spare = NULL;
	char *main_text = NULL, *spare_text = NULL;
	struct fault why = { 0 }, why_spare = { 0 };
	int err = load_copy(dirfd, header, &main_copy, &main_text, &why), err_spare;

	if (err && !mendable(err))
		return fault_set(f, err, why.exit, "%s", why.text);
	err_spare = load_copy(dirfd, backup, &spare, &spare_text, &why_spare);
	if (!err && !err_spare && strcmp(main_text, spare_text) != 0 &&
	    memcmp(main_copy->uuid, spare->uuid, KEYRING_ID_LEN) == 0) {
		main_copy->spare = spare;
		spare = NULL;
	}
	if (!err) {
		*ret = main_copy;
	} else if (!err_spare) {
		log_warn("%s; its backup %s is used instead", why.text, backup);
		*ret = spare;
		spare = NULL;
		err = 0;
	} else if (err == -ENOENT && err_spare == -ENOENT) {
		(void)fault_set(f, err, CL_EXIT_FAILED, "not a cloison volume: it has no %s", header);
	} else if (err == -ENOENT) {
		err = fault_set(f, err_spare, why_spare.exit, "%s; %s", why.text, why_spare.text);
	} else {
		(void)fault_set(f, err, why.exit, "%s; %s", why.text, why_spare.text);
	}
	keyring_free(spare);
	free(main_text);
	free(spare_text);
	return err;
}
