/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A line in libmount's table. */
#include "tools/common/utab.h"

#include "common/log.h"
#include "tools/common/mtab.h"

#include <libmount.h>
#include <string.h>
#include <unistd.h>

static int update(struct libmnt_update *u, const char *target, struct libmnt_fs *fs)
{
	if (!u)
		return -ENOMEM;
	int err = mnt_update_set_fs(u, 0, target, fs); /* 1: there is no table */
	return err < 0 ? err : err ? 0 : mnt_update_table(u, NULL);
}

void utab_add(const char *source, const char *target)
{
	if (geteuid() != 0)
		return; /* the table is root's */
	struct libmnt_update *u = mnt_new_update();
	struct libmnt_fs *fs = mnt_new_fs();
	int err = u && fs ? 0 : -ENOMEM;
	if (!err)
		err = mnt_fs_set_source(fs, source);
	if (!err)
		err = mnt_fs_set_target(fs, target);
	if (!err)
		err = mnt_fs_set_fstype(fs, MTAB_TYPE);
	if (!err)
		err = mnt_fs_set_options(fs, "rw,uhelper=cloison");
	if (!err)
		err = update(u, NULL, fs);
	if (err)
		log_info("mount %s is not in libmount's table (%s): umount(8) does not wait for its end", target,
			 strerror(-err));
	mnt_unref_fs(fs);
	mnt_free_update(u);
}

void utab_remove(const char *target)
{
	if (geteuid() != 0)
		return;
	struct libmnt_update *u = mnt_new_update();
	int err = update(u, target, NULL);
	if (err)
		log_info("mount %s stays in libmount's table: %s", target, strerror(-err));
	mnt_free_update(u);
}
