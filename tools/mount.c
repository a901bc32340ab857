/* SPDX-License-Identifier: GPL-3.0-or-later */
/* mount.cloison: what mount(8) runs for the type cloison; checks the options and becomes cloisonfs. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "tools/common/mount_opts.h"
#include "tools/common/opts.h"
#include "tools/common/say.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] = "Usage: mount.cloison DIR MOUNTPOINT [-fnsvw] [-r] [-o OPTIONS]\n"
			   "Mounts the volume in DIR; returns when it is usable. Run by mount(8): mount -t cloison DIR "
			   "MOUNTPOINT -o label=LABEL\n\n"
			   "  -o OPTIONS   label=LABEL, tpm2=auto|none|TCTI, pin-file=FILE, passphrase-file=FILE, ro, "
			   "noexec, allow_other,\n"
			   "               commit=SECONDS, cache=SIZE, ...: see mount.cloison(8)\n"
			   "  -f           fake: only check the options\n"
			   "  -s           sloppy: ignore unknown options\n"
			   "  -r, -w       as -o ro, -o rw\n"
			   "  -n, -v, -t TYPE, -N NAMESPACE   for mount(8)\n"
			   "  --help, --version\n";

static const struct option longs[] = { OPTS_COMMON };

struct mount {
	struct mount_opts opts;
	char *list; /* all -o lists, joined: what cloisonfs gets */
	bool fake, sloppy, verbose, help, version;
};

static int add(struct mount *m, const char *list, struct fault *f)
{
	char *joined = NULL;
	if (asprintf(&joined, "%s%s%s", m->list ? m->list : "", m->list ? "," : "", list) < 0)
		return fault_set(f, -ENOMEM, CL_EXIT_FAILED, "out of memory");
	free(m->list);
	m->list = joined;
	return 0;
}

static int take(struct mount *m, int opt, struct fault *f)
{
	switch (opt) {
	case 'o':
		return add(m, optarg, f);
	case 'r':
		return add(m, "ro", f);
	case 'w':
		return add(m, "rw", f);
	case 'f':
		m->fake = true;
		return 0;
	case 's':
		m->sloppy = true;
		return 0;
	case 'v':
		m->verbose = true;
		return 0;
	case OPTS_HELP:
		m->help = true;
		return 0;
	case OPTS_VERSION:
		m->version = true;
		return 0;
	case 'N':
		return fault_set(f, -EINVAL, CL_EXIT_USAGE,
				 "option -N: another mount namespace is not available in this version");
	default: /* -n: there is no mtab to be written; -t: the type is ours */
		return 0;
	}
}

static int parse(struct mount *m, int argc, char **argv, struct fault *f)
{
	int opt;
	while ((opt = opts_next(argc, argv, "fnsvrwo:t:N:", longs, f)) != OPTS_END) {
		int err = opt < 0 ? opt : take(m, opt, f);
		if (err)
			return err;
		if (m->help || m->version)
			return 0;
	}
	if (argc - optind != 2)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "expected DIR and MOUNTPOINT");
	return m->list ? mount_opts_parse(&m->opts, m->list, m->sloppy, geteuid() == 0, f) : 0;
}

/*
 * Beside this program (installed or just built), then where it is installed. Never a search in PATH: mount(8) runs as
 * root.
 */
static int run_daemon(const struct mount *m, const char *dir, const char *target, struct fault *f)
{
	char beside[PATH_MAX];
	const char *tried[3] = { beside, BINDIR "/cloisonfs", SBINDIR "/cloisonfs" };
	ssize_t n = readlink("/proc/self/exe", beside, sizeof beside - sizeof "/cloisonfs");
	char *slash = NULL;
	if (n > 0) {
		beside[n] = '\0';
		slash = strrchr(beside, '/');
	}
	if (slash)
		strcpy(slash, "/cloisonfs");
	else
		beside[0] = '\0';
	const char *argv[8];
	size_t a = 0;
	argv[a++] = "cloisonfs";
	if (m->sloppy)
		argv[a++] = "-s";
	if (m->list) {
		argv[a++] = "-o";
		argv[a++] = m->list;
	}
	argv[a++] = "--";
	argv[a++] = dir;
	argv[a++] = target;
	argv[a] = NULL;
	int err = -ENOENT;
	for (size_t i = 0; i < CL_ARRAY_LEN(tried); i++) {
		if (!tried[i][0])
			continue;
		if (m->verbose)
			say("running %s", tried[i]);
		/* execv does not write to its arguments (POSIX.1, exec, RATIONALE). */
		execv(tried[i], (char *const *)(uintptr_t)argv);
		if (errno != ENOENT)
			err = -errno;
		if (err != -ENOENT)
			return fault_set(f, err, CL_EXIT_FAILED, "cannot run %s: %s", tried[i], strerror(-err));
	}
	return fault_set(f, err, CL_EXIT_FAILED, "cloisonfs is found neither beside mount.cloison nor in %s or %s",
			 BINDIR, SBINDIR);
}

int main(int argc, char **argv)
{
	say_init("mount.cloison");
	struct mount m = { 0 };
	struct fault f = { 0 };
	mount_opts_init(&m.opts);
	int err = parse(&m, argc, argv, &f);
	int exit_code = CL_EXIT_OK;
	if (!err && m.help)
		exit_code = say_help(help);
	else if (!err && m.version)
		exit_code = say_version();
	else if (!err && !m.fake)
		err = run_daemon(&m, argv[optind], argv[optind + 1], &f);
	if (err)
		exit_code = say_fault(&f, err, NULL);
	mount_opts_done(&m.opts);
	free(m.list);
	return exit_code;
}
