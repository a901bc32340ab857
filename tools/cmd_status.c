/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cloison status: what is mounted on a mount point. */
#include "tools/cloison.h"

#include "tools/common/json_out.h"
#include "tools/common/mtab.h"
#include "tools/common/record.h"
#include "tools/common/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct status {
	struct mtab_entry e;
	struct record_info info; /* as far as this user may see it */
	bool alive;
	bool has_space;          /* not even root may look into another user's mount */
	struct statvfs space;
};

static int look(const char *path, struct status *s, struct fault *f)
{
	char *target = NULL;
	int err = mtab_canonical(path, &target);
	if (!err)
		err = mtab_find(target, &s->e);
	if (err == -ENOENT) { /* the last component may be a symlink */
		char *real = realpath(path, NULL);
		if (!real && errno == ENOENT)
			return free(target), fault_set(f, err, CL_EXIT_FAILED, "%s: %s", path, strerror(ENOENT));
		if (real)
			err = mtab_find(real, &s->e);
		free(real);
	}
	if (!err && strcmp(s->e.type, MTAB_TYPE))
		err = -ENOENT;
	free(target);
	if (err == -ENOENT)
		return fault_set(f, err, CL_EXIT_FAILED, "%s is not a mount point of cloison", path);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "%s: %s", path, strerror(-err));
	bool answers = !statvfs(s->e.target, &s->space);
	s->alive = answers || (errno != ENOTCONN && errno != ECONNABORTED);
	s->has_space = answers && s->space.f_blocks; /* zeros: the kernel does not let us look in */
	int fd;
	if (!record_open(s->e.major, s->e.minor, mtab_owner(&s->e), &fd)) {
		err = record_read(fd, &s->info);
		close(fd);
	}
	return err;
}

static int print_json(const struct status *s)
{
	json_t *v = json_pack("{s:o, s:o, s:b, s:b, s:o, s:o, s:o}", "mountpoint", json_out_text(s->e.target), "volume",
			      json_out_text(s->e.source), "alive", s->alive, "read_only", s->e.read_only, "uuid",
			      json_out_text(s->info.uuid), "label", json_out_text(s->info.label), "pid",
			      s->info.pid ? json_integer(s->info.pid) : json_null());
	if (v && s->has_space) {
		json_int_t unit = (json_int_t)s->space.f_frsize;
		json_object_set_new(v, "bytes", json_integer((json_int_t)s->space.f_blocks * unit));
		json_object_set_new(v, "bytes_available", json_integer((json_int_t)s->space.f_bavail * unit));
		json_object_set_new(v, "files", json_integer((json_int_t)(s->space.f_files - s->space.f_ffree)));
	}
	return json_out(v);
}

static void print(const struct status *s)
{
	say_line("mount point  %s", s->e.target);
	say_line("volume       %s", s->e.source);
	if (s->info.uuid)
		say_line("uuid         %s", s->info.uuid);
	if (s->info.label)
		say_line("label        %s", s->info.label);
	printf("access       %s\n", s->e.read_only ? "read-only" : "read and write");
	if (s->info.pid)
		printf("daemon       %d%s\n", (int)s->info.pid, s->alive ? "" : ", dead: unmount it");
	else if (!s->alive)
		printf("daemon       dead: unmount it\n");
	if (!s->has_space)
		return;
	double mib = (double)s->space.f_frsize / (1024 * 1024);
	printf("space        %.0f MiB, %.0f MiB available\nfiles        %ju\n", (double)s->space.f_blocks * mib,
	       (double)s->space.f_bavail * mib, (uintmax_t)(s->space.f_files - s->space.f_ffree));
}

int cmd_status(struct cmd *c, struct fault *f)
{
	struct status s = { 0 };
	int err = look(c->path, &s, f);
	if (!err && c->json)
		err = print_json(&s);
	else if (!err)
		print(&s);
	if (!err && !s.alive)
		err = fault_set(f, -ENOTCONN, CL_EXIT_FAILED, "%s: its daemon is dead; unmount it", s.e.target);
	record_info_done(&s.info);
	mtab_entry_done(&s.e);
	return err;
}
