/* SPDX-License-Identifier: GPL-3.0-or-later */
/* umount.cloison: unmounts, and returns when the daemon has written everything. */
#include "tools/common/mtab.h"
#include "tools/common/opts.h"
#include "tools/common/record.h"
#include "tools/common/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
	"Usage: umount.cloison MOUNTPOINT [-flnrv]\n"
	"Unmounts a cloison volume; returns when everything is on disk. umount(8) runs it as umount.fuse.cloison.\n\n"
	"  -l           lazy: take the mount away now, let it end when nobody uses it any more; does not wait\n"
	"  -f           force: end requests that are under way\n"
	"  -v           say what is done\n"
	"  -n, -r, -t TYPE, -N NAMESPACE   for umount(8)\n"
	"  --help, --version\n";

static const struct option longs[] = { OPTS_COMMON };

#define FOREIGN_WAIT_MS 60000u

struct umount {
	bool lazy, force, verbose, help, version;
	char *target;
	struct mtab_entry e;
	int record; /* -1: none */
};

static int parse(struct umount *u, int argc, char **argv, struct fault *f)
{
	int opt;
	while ((opt = opts_next(argc, argv, "flnrvt:N:", longs, f)) != OPTS_END) {
		if (opt < 0)
			return opt;
		u->lazy |= opt == 'l';
		u->force |= opt == 'f';
		u->verbose |= opt == 'v';
		u->help |= opt == OPTS_HELP;
		u->version |= opt == OPTS_VERSION;
		if (opt == 'N')
			return fault_set(f, -EINVAL, CL_EXIT_USAGE,
					 "option -N: another mount namespace is not available in this version");
		if (u->help || u->version)
			return 0;
	}
	if (argc - optind != 1)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "expected one MOUNTPOINT");
	const char *path = argv[optind];
	int err = mtab_canonical(path, &u->target);
	if (!err)
		err = mtab_find(u->target, &u->e);
	if (err == -ENOENT) { /* the last component may be a symlink */
		char *real = realpath(path, NULL);
		if (real) {
			free(u->target);
			u->target = real;
			err = mtab_find(u->target, &u->e);
		}
	}
	if (err == -ENOENT)
		return fault_set(f, err, CL_EXIT_FAILED, "%s is not mounted", path);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "%s: %s", path, strerror(-err));
	if (strcmp(u->e.type, MTAB_TYPE))
		return fault_set(f, -EINVAL, CL_EXIT_FAILED, "%s is not a mount of cloison, but of %s", path,
				 u->e.type);
	return 0;
}

/* A user's own mount: the way that libfuse has for it. */
static int by_fusermount(const struct umount *u, struct fault *f)
{
	const char *argv[] = { "fusermount3", "-u", "-q", u->lazy ? "-z" : "--", u->lazy ? "--" : u->target,
			       u->lazy ? u->target : NULL, NULL };
	pid_t child = fork();
	if (child == 0) {
		execvp(argv[0], (char *const *)(uintptr_t)argv); /* does not write to its arguments (POSIX.1) */
		_exit(127);
	}
	int status = 0;
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (child < 0)
		return fault_set(f, -errno, CL_EXIT_FAILED, "cannot fork: %s", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return fault_set(f, -ENOENT, CL_EXIT_FAILED, "fusermount3 cannot be run");
	if (status)
		return fault_set(f, -EBUSY, CL_EXIT_FAILED, "%s: fusermount3 did not unmount it (in use, or not yours)",
				 u->target);
	return 0;
}

static int unmount(const struct umount *u, struct fault *f)
{
	if (geteuid() != 0)
		return by_fusermount(u, f);
	int flags = UMOUNT_NOFOLLOW | (u->lazy ? MNT_DETACH : 0) | (u->force ? MNT_FORCE : 0);
	if (!umount2(u->target, flags))
		return 0;
	if (errno == EBUSY)
		return fault_set(f, -EBUSY, CL_EXIT_FAILED, "%s is in use; see fuser -vm %s", u->target, u->target);
	return fault_set(f, -errno, CL_EXIT_FAILED, "cannot unmount %s: %s", u->target, strerror(errno));
}

/* The same filesystem may be mounted in a second place, or in another mount namespace: then its daemon goes on. */
static bool is_still_used(const struct mtab_entry *e)
{
	size_t n = 0;
	if (!mtab_count(e->major, e->minor, &n) && n)
		return true;
	char path[64];
	snprintf(path, sizeof path, "/sys/fs/fuse/connections/%u", e->minor);
	return access(path, F_OK) == 0;
}

static void wait_at_most(struct umount *u, unsigned ms)
{
	for (unsigned waited = 0; record_wait(u->record, false) == -EAGAIN && waited < ms; waited += 20) {
		const struct timespec step = { .tv_nsec = 20 * 1000000L };
		nanosleep(&step, NULL);
	}
}

static int wait_for_daemon(struct umount *u, struct fault *f)
{
	wait_at_most(u, 2000);
	struct record_info i = { 0 };
	if (record_wait(u->record, false) == -EAGAIN) {
		if (is_still_used(&u->e)) {
			say("%s: the volume is still mounted in another place; not waiting for its end", u->target);
			return 0;
		}
		say("%s: waiting until everything is on disk", u->target);
	}
	/* A user's record may be locked by anybody of his: root does not wait for ever. */
	if (geteuid() == 0 && mtab_owner(&u->e) != 0) {
		wait_at_most(u, FOREIGN_WAIT_MS);
		if (record_wait(u->record, false) == -EAGAIN)
			return fault_set(f, -ETIMEDOUT, CL_EXIT_FAILED, "%s: unmounted, but the daemon of user %u has not ended",
					 u->target, (unsigned)mtab_owner(&u->e));
	}
	int err = record_wait(u->record, true);
	if (!err)
		err = record_read(u->record, &i);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "%s: cannot wait for the daemon: %s", u->target,
				 strerror(-err));
	if (!i.state || !strcmp(i.state, "mounted"))
		err = fault_set(f, -EIO, CL_EXIT_FAILED,
				"%s: the daemon died before it had written everything; what was synced before is in "
				"the journal",
				u->target);
	else if (strcmp(i.state, "closed"))
		err = fault_set(f, -EIO, CL_EXIT_FAILED, "%s: %s", u->target, i.state);
	record_info_done(&i);
	return err;
}

static int run(struct umount *u, struct fault *f)
{
	/* Opened before, since the daemon takes the name away when it has finished. */
	int err = record_open(u->e.major, u->e.minor, mtab_owner(&u->e), &u->record);
	if (err)
		u->record = -1;
	if (u->verbose)
		say("unmounting %s (volume %s)", u->target, u->e.source);
	err = unmount(u, f);
	if (err || u->lazy)
		return err;
	if (u->record < 0) {
		say("%s: its daemon has left no record; cannot tell when everything is on disk", u->target);
		return 0;
	}
	return wait_for_daemon(u, f);
}

int main(int argc, char **argv)
{
	say_init("umount.cloison");
	struct umount u = { .record = -1 };
	struct fault f = { 0 };
	int exit_code = CL_EXIT_OK;
	int err = parse(&u, argc, argv, &f);
	if (!err && u.help)
		exit_code = say_help(help);
	else if (!err && u.version)
		exit_code = say_version();
	else if (!err)
		err = run(&u, &f);
	if (err)
		exit_code = say_fault(&f, err, NULL);
	mtab_entry_done(&u.e);
	free(u.target);
	if (u.record >= 0)
		close(u.record);
	return exit_code;
}
