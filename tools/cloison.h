/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The verbs of cloison(8). Not for others. */
#ifndef CLOISON_TOOLS_CLOISON_H
#define CLOISON_TOOLS_CLOISON_H

#include "common/base.h"
#include "common/fault.h"
#include "keyring/keyring.h"
#include "tools/common/unlock.h"

/* What a verb gets: its operand and the options that all verbs share. */
struct cmd {
	const char *path;          /* mount point or volume directory, as given */
	struct unlock_options key;
	bool key_was_given;        /* any of the key options */
	bool json;
};

/* Each prints its result on stdout. 0, or negative errno with a sentence. */
int cmd_status(struct cmd *c, struct fault *f) CL_MUST_USE;
int cmd_key_list(struct cmd *c, struct fault *f) CL_MUST_USE;
int cmd_label_list(struct cmd *c, struct fault *f) CL_MUST_USE;

/* The header of the volume that path is, or that is mounted there. *ret_dir: its directory, malloc'ed. */
int cmd_load(const char *path, struct keyring **ret, char **ret_dir, struct fault *f) CL_MUST_USE;

#endif
