/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cloisonfs: the daemon. Unlocks a volume, mounts it, serves it, and ends when everything is on disk. */
#include "common/bytes.h"
#include "common/log.h"
#include "fs/fs.h"
#include "fs/fuse/fuse_cl.h"
#include "fs/seal.h"
#include "fs/store.h"
#include "keyring/keyring.h"
#include "tools/common/background.h"
#include "tools/common/busy.h"
#include "tools/common/compartments.h"
#include "tools/common/limits.h"
#include "tools/common/mount_opts.h"
#include "tools/common/mtab.h"
#include "tools/common/opts.h"
#include "tools/common/record.h"
#include "tools/common/say.h"
#include "tools/common/unlock.h"
#include "tools/common/utab.h"
#include "tpm/tpm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char help[] =
	"Usage: cloisonfs DIR MOUNTPOINT [-f] [-o OPTIONS]\n"
	"Mounts the volume in DIR on MOUNTPOINT and serves it until it is unmounted.\n\n"
	"  -f           stay in the foreground, log to stderr\n"
	"  -s           ignore unknown options\n"
	"  -o OPTIONS   label=LABEL (default: the lowest), tpm2=auto|none|TCTI, pin-file=FILE, passphrase-file=FILE,\n"
	"               ro, noexec, suid, dev (root), allow_other, multi, commit=SECONDS, cache=SIZE\n"
	"  --help, --version\n\n"
	"See cloisonfs(8), mount.cloison(8).\n";

static const struct option longs[] = { OPTS_COMMON };

struct daemon {
	struct mount_opts opts;
	bool foreground, sloppy, help, version;
	char *dir;    /* canonical */
	char *target; /* canonical */
	int report_fd; /* -1: in the foreground, or reported */
	struct store *store;
	struct fs *fs;
	struct fuse_cl *mount;
	struct record *record;
	char uuid[2 * KEYRING_ID_LEN + 1];
	char label[KEYRING_LABEL_MAX + 1];
	size_t n_compartments;
};

static int take(struct daemon *d, int opt, char **lists, struct fault *f)
{
	char *joined;
	switch (opt) {
	case 'f':
		d->foreground = true;
		return 0;
	case 's':
		d->sloppy = true;
		return 0;
	case 'o':
		if (asprintf(&joined, "%s%s%s", *lists ? *lists : "", *lists ? "," : "", optarg) < 0)
			return fault_set(f, -ENOMEM, CL_EXIT_FAILED, "out of memory");
		free(*lists);
		*lists = joined;
		return 0;
	case OPTS_HELP:
		d->help = true;
		return 0;
	default:
		d->version = true;
		return 0;
	}
}

static int find_dir(struct daemon *d, const char *path, struct fault *f)
{
	d->dir = realpath(path, NULL);
	if (!d->dir)
		return fault_set(f, -errno, CL_EXIT_FAILED, "volume %s: %s", path, strerror(errno));
	struct stat st;
	if (stat(d->dir, &st) || !S_ISDIR(st.st_mode))
		return fault_set(f, -ENOTDIR, CL_EXIT_FAILED, "volume %s is not a directory", path);
	return 0;
}

static int find_target(struct daemon *d, const char *path, struct fault *f)
{
	int err = mtab_canonical(path, &d->target);
	struct stat st;
	if (!err && stat(d->target, &st))
		err = -errno;
	if (err == -ENOTCONN || err == -ECONNABORTED) /* which of them depends on how it died */
		return fault_set(f, err, CL_EXIT_FAILED,
				 "mount point %s: the mount of a daemon that has died is still there: unmount it first",
				 path);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "mount point %s: %s", path, strerror(-err));
	if (!S_ISDIR(st.st_mode))
		return fault_set(f, -ENOTDIR, CL_EXIT_FAILED, "mount point %s is not a directory", path);
	/* The last component may be a symlink; the mount table has what it leads to. */
	char *real = realpath(d->target, NULL);
	if (!real)
		return fault_set(f, -errno, CL_EXIT_FAILED, "mount point %s: %s", path, strerror(errno));
	free(d->target);
	d->target = real;
	struct mtab_entry e;
	bool found = !mtab_find(real, &e);
	if (found && !strcmp(e.type, "autofs")) { /* it waits for us to be mounted on top of it */
		mtab_entry_done(&e);
		found = false;
	}
	if (found) {
		if (!strcmp(e.type, MTAB_TYPE) && !strcmp(e.source, d->dir))
			fault_set(f, -EBUSY, CL_EXIT_FAILED, "volume %s is in use: it is mounted on %s", d->dir, real);
		else
			fault_set(f, -EBUSY, CL_EXIT_FAILED, "mount point %s: something is mounted there already (%s)",
				  path, e.type);
		mtab_entry_done(&e);
		return -EBUSY;
	}
	size_t n = strlen(d->dir);
	if (!strncmp(d->target, d->dir, n) && (!d->target[n] || d->target[n] == '/'))
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "mount point %s is within the volume's own directory",
				 path);
	return 0;
}

static int parse(struct daemon *d, int argc, char **argv, struct fault *f)
{
	char *lists = NULL;
	int opt, err = 0;
	while (!err && (opt = opts_next(argc, argv, "fso:", longs, f)) != OPTS_END) {
		err = opt < 0 ? opt : take(d, opt, &lists, f);
		if (d->help || d->version)
			goto out;
	}
	if (!err && argc - optind != 2)
		err = fault_set(f, -EINVAL, CL_EXIT_USAGE, "expected DIR and MOUNTPOINT");
	if (!err && lists)
		err = mount_opts_parse(&d->opts, lists, d->sloppy, geteuid() == 0, f);
	if (!err)
		err = find_dir(d, argv[optind], f);
	if (!err)
		err = find_target(d, argv[optind + 1], f);
out:
	free(lists);
	return err;
}

/*
 * The daemon before us may still be writing what umount(8) did not wait for; so a busy volume that nobody has
 * mounted is given some time.
 */
static int open_patiently(struct daemon *d, const struct fs_compartment *c, size_t n, struct fault *f)
{
	const struct fs_config cfg = {
		.cache_bytes = d->opts.cache_bytes,
		.commit_seconds = d->opts.commit_seconds,
		.read_only = d->opts.read_only,
	};
	struct fault mine = { 0 };
	char *target = NULL;
	unsigned waited = 0;
	int err;
	while ((err = fs_open(d->store, c, n, &cfg, &d->fs, &mine)) == -EBUSY && busy_again(d->dir, &waited, &target))
		mine = (struct fault){ 0 };
	if (err && target)
		err = fault_set(f, err, CL_EXIT_FAILED, "volume %s is in use: it is mounted on %s", d->dir, target);
	else if (err) {
		if (f)
			*f = mine;
		err = fault_set(f, err, say_exit_of(err), "cannot open volume %s: %s", d->dir, strerror(-err));
	}
	free(target);
	return err;
}

static int open_volume(struct daemon *d, struct fault *f)
{
	int err = store_dir_open(d->dir, &d->store);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "volume %s: %s", d->dir, strerror(-err));
	struct statvfs st;
	if (!d->opts.read_only && !fstatvfs(store_dir_fd(d->store), &st) && st.f_flag & ST_RDONLY) {
		log_warn("volume %s is on a read-only filesystem: it is mounted read-only", d->dir);
		d->opts.read_only = true;
	}
	struct keyring *k = NULL;
	err = keyring_load(store_dir_fd(d->store), &k, f);
	if (err == -ENOENT) {
		*f = (struct fault){ 0 };
		return fault_set(f, err, CL_EXIT_FAILED, "%s is not a cloison volume: it has no volume.json", d->dir);
	}
	if (err)
		return fault_wrap(f, err, say_exit_of(err), "volume %s", d->dir);
	struct unlock u;
	struct keyring_unlocked *open = NULL;
	err = unlock_init(&u, &d->opts.key, true, f);
	if (!err) {
		err = unlock_label(&u, k, d->opts.key.label, &open, &d->n_compartments, f);
		unlock_done(&u);
	}
	bytes_to_hex(keyring_uuid(k), KEYRING_ID_LEN, d->uuid);
	keyring_free(k);
	if (err)
		return err;
	limits_lock_memory();
	struct fs_compartment c[KEYRING_MAX_LABELS];
	compartments_of(open, d->n_compartments, c);
	snprintf(d->label, sizeof d->label, "%s", open[d->n_compartments - 1].label.text);
	err = open_patiently(d, c, d->n_compartments, f);
	keyring_unlocked_free(open, d->n_compartments);
	return err;
}

static int mount_it(struct daemon *d, struct fault *f)
{
	struct fuse_cl_options o = FUSE_CL_OPTIONS_INIT;
	o.fsname = d->dir;
	o.allow_other = d->opts.allow_other || d->opts.multi;
	o.multi = d->opts.multi;
	o.ro = d->opts.read_only;
	o.nosuid = !d->opts.suid;
	o.nodev = !d->opts.dev;
	o.noexec = !d->opts.exec;
	/* With one compartment, or none that is written, no open needs to be refused. */
	o.no_open = d->n_compartments == 1 || d->opts.read_only;
	return fuse_cl_new(d->fs, d->target, &o, &d->mount, f);
}

/* For umount.cloison and status. A mount without it works; only nobody can wait for its end. */
static void write_record(struct daemon *d)
{
	struct mtab_entry e;
	int err = mtab_find(d->target, &e);
	if (!err) {
		char state[] = "mounted", options[4];
		snprintf(options, sizeof options, "%s", d->opts.read_only ? "ro" : "rw");
		const struct record_info info = {
			.dir = d->dir, .target = d->target, .label = d->label, .uuid = d->uuid,
			.options = options, .state = state, .pid = getpid(),
		};
		err = record_new(e.major, e.minor, &info, &d->record);
		if (!err)
			utab_add(e.source, e.target);
		mtab_entry_done(&e);
	}
	if (err)
		log_info("no runtime record of this mount: %s: umount cannot wait for the end of the daemon",
			 strerror(-err));
}

static int go(struct daemon *d, struct fault *f)
{
	int err = secret_harden_process();
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "cannot protect this process: %s", strerror(-err));
	limits_raise_files();
	err = open_volume(d, f);
	if (!err)
		err = mount_it(d, f);
	if (err)
		return err;
	write_record(d);
	if (d->report_fd < 0)
		return 0;
	log_open("cloisonfs", LOG_LVL_INFO, true);
	err = background_ready(d->report_fd);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "cannot go into the background: %s", strerror(-err));
	d->report_fd = -1;
	return 0;
}

/* Unmounts if need be, writes everything home. The first error counts. */
static int leave(struct daemon *d, int err)
{
	struct mtab_entry e;
	fuse_cl_free(d->mount);
	if (d->fs) {
		int r = fs_close(d->fs);
		if (r) {
			log_err("volume %s: not everything could be written: %s: what was synced before is in the "
				"journal",
				d->dir, strerror(-r));
			err = err ? err : r;
		}
	}
	if (d->store)
		d->store->ops->free(d->store);
	seal_done(); /* wipes this thread's keyed contexts */
	char state[256] = "closed";
	if (err)
		snprintf(state, sizeof state, "not everything could be written: %s", strerror(-err));
	int found = d->record ? mtab_find(d->target, &e) : -EINVAL;
	/* Not if the next mount is there already. */
	if (found == -ENOENT || (!found && strcmp(e.type, MTAB_TYPE)))
		utab_remove(d->target);
	if (!found)
		mtab_entry_done(&e);
	record_finish(d->record, state);
	return err;
}

static int serve(struct daemon *d)
{
	struct fault f = { 0 };
	int err = go(d, &f);
	int exit_code = 0;
	if (err) {
		exit_code = f.exit ? f.exit : say_exit_of(err);
		if (!f.text[0])
			fault_set(&f, err, exit_code, "%s", strerror(-err));
	} else {
		log_info("volume %s is mounted on %s%s", d->dir, d->target, d->opts.read_only ? " (read-only)" : "");
		err = fuse_cl_loop(d->mount);
		if (err)
			log_err("mount %s broke: %s", d->target, strerror(-err));
	}
	bool started = !exit_code;
	err = leave(d, err);
	if (!started && d->report_fd >= 0)
		background_failed(d->report_fd, exit_code, f.text);
	else if (!started)
		exit_code = say_fault(&f, err, NULL);
	else if (err)
		exit_code = say_exit_of(err);
	else
		log_info("volume %s is unmounted", d->dir);
	return exit_code;
}

static int start(struct daemon *d, struct fault *f)
{
	if (d->foreground) {
		log_open("cloisonfs", LOG_LVL_INFO, false);
		return serve(d);
	}
	log_open("cloisonfs", LOG_LVL_WARN, false);
	int exit_code = CL_EXIT_OK;
	int r = background_fork(&d->report_fd, &exit_code, f);
	if (r == 0)
		return serve(d);
	if (r < 0 || exit_code)
		return say_fault(f, r < 0 ? r : -ECHILD, NULL);
	return CL_EXIT_OK;
}

int main(int argc, char **argv)
{
	tpm_helper_main(argc, argv);
	say_init("cloisonfs");
	struct daemon d = { .report_fd = -1 };
	struct fault f = { 0 };
	mount_opts_init(&d.opts);
	int exit_code;
	int err = parse(&d, argc, argv, &f);
	if (err)
		exit_code = say_fault(&f, err, NULL);
	else if (d.help)
		exit_code = say_help(help);
	else if (d.version)
		exit_code = say_version();
	else
		exit_code = start(&d, &f);
	mount_opts_done(&d.opts);
	free(d.dir);
	free(d.target);
	return exit_code;
}
