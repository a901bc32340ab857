/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of mount options: what is ours, what mount(8) adds and we ignore, what does not exist. */
#include "tools/common/mount_opts.h"

#include "tools/common/opts.h"

#include <stdlib.h>
#include <string.h>

void mount_opts_init(struct mount_opts *m)
{
	*m = (struct mount_opts){ .exec = true };
}

void mount_opts_done(struct mount_opts *m)
{
	unlock_options_done(&m->key);
}

/*
 * Options that mount(8), fstab(5) and systemd.mount(5) put into the list for their own use, and those about access
 * times, which the kernel leaves to a FUSE filesystem: the filesystem keeps them relatime in its own way.
 */
static const char *const ignored[] = {
	"defaults", "auto",       "noauto",     "user",       "nouser",     "users",       "owner",
	"group",    "_netdev",    "nofail",     "silent",     "loud",       "async",       "atime",
	"noatime",  "diratime",   "nodiratime", "relatime",   "norelatime", "strictatime", "nostrictatime",
	"lazytime", "nolazytime", "iversion",   "noiversion", "nomand",
};

static bool is_ignored(const char *name, const char *value)
{
	if (!strncmp(name, "x-", 2) || !strncmp(name, "X-", 2) || !strcmp(name, "comment"))
		return true;
	for (size_t i = 0; i < CL_ARRAY_LEN(ignored); i++)
		if (!strcmp(ignored[i], name))
			return !value || !strcmp(name, "user"); /* user=NAME is what mount(8) writes down */
	return false;
}

static int take_flag(struct mount_opts *m, const char *name, const char *value, bool is_root, struct fault *f)
{
	const struct {
		const char *name;
		bool *flag;
		bool to;
		bool root_only;
	} flags[] = {
		{ "ro", &m->read_only, true, false },      { "rw", &m->read_only, false, false },
		{ "nosuid", &m->suid, false, false },      { "suid", &m->suid, true, true },
		{ "nodev", &m->dev, false, false },        { "dev", &m->dev, true, true },
		{ "noexec", &m->exec, false, false },      { "exec", &m->exec, true, false },
		{ "allow_other", &m->allow_other, true, false }, { "multi", &m->multi, true, false },
	};
	for (size_t i = 0; i < CL_ARRAY_LEN(flags); i++) {
		if (strcmp(flags[i].name, name))
			continue;
		if (value)
			return fault_set(f, -EINVAL, CL_EXIT_USAGE, "option %s takes no value", name);
		if (flags[i].root_only && !is_root)
			return fault_set(f, -EPERM, CL_EXIT_USAGE, "option %s is for root alone", name);
		*flags[i].flag = flags[i].to;
		return 1;
	}
	return 0;
}

static int take(struct mount_opts *m, const char *name, const char *value, bool is_root, struct fault *f)
{
	int got = unlock_option(&m->key, name, value, f);
	if (!got)
		got = take_flag(m, name, value, is_root, f);
	if (got)
		return got;
	if (!strcmp(name, "commit")) {
		uint64_t v;
		got = opts_number("option commit", value, 1, 3600, &v, f);
		if (got)
			return got;
		m->commit_seconds = (unsigned)v;
		return 1;
	}
	if (!strcmp(name, "cache")) {
		got = opts_size("option cache", value, 4u << 20, (uint64_t)1 << 40, &m->cache_bytes, f);
		return got ? got : 1;
	}
	if (!strcmp(name, "sync") || !strcmp(name, "dirsync") || !strcmp(name, "mand"))
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "option %s is not available in this version", name);
	if (!strcmp(name, "anchor"))
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "option anchor is not available in this version");
	if (!strcmp(name, "remount"))
		return fault_set(
			f, -EINVAL, CL_EXIT_USAGE,
			"option remount: a mounted volume cannot change its options; unmount it and mount it again");
	return is_ignored(name, value);
}

int mount_opts_parse(struct mount_opts *m, const char *list, bool sloppy, bool is_root, struct fault *f)
{
	char *copy = strdup(list);
	if (!copy)
		return fault_set(f, -ENOMEM, CL_EXIT_FAILED, "out of memory");
	char *cursor = copy, *name, *value;
	int got;
	while ((got = opts_list_next(&cursor, &name, &value, f)) > 0) {
		got = take(m, name, value, is_root, f);
		if (got < 0)
			break;
		if (!got && !sloppy) {
			got = fault_set(f, -EINVAL, CL_EXIT_USAGE, "unknown option %s", name);
			break;
		}
	}
	free(copy);
	return got < 0 ? got : 0;
}
