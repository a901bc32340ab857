/* SPDX-License-Identifier: GPL-3.0-or-later */
/* -o of cloisonfs and mount.cloison. */
#ifndef CLOISON_TOOLS_MOUNT_OPTS_H
#define CLOISON_TOOLS_MOUNT_OPTS_H

#include "common/base.h"
#include "common/fault.h"
#include "tools/common/unlock.h"

struct mount_opts {
	struct unlock_options key;
	bool read_only;
	bool suid, dev, exec;   /* defaults: off, off, on */
	bool allow_other;
	bool multi;              /* allow_other, and somebody else may change the files */
	unsigned commit_seconds; /* 0: not said */
	uint64_t cache_bytes;    /* 0: not said */
};

void mount_opts_init(struct mount_opts *m);
void mount_opts_done(struct mount_opts *m);
/*
 * Takes one -o list; later ones win over earlier ones. sloppy: unknown options are ignored. is_root: suid and dev may
 * be asked for. -EINVAL with a sentence that names the option.
 */
int mount_opts_parse(struct mount_opts *m, const char *list, bool sloppy, bool is_root, struct fault *f) CL_MUST_USE;

#endif
