/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cloison: looks at volumes and mounts. Finds the verb, reads the options; the verbs are in cmd_*.c. */
#include "tools/cloison.h"

#include "common/log.h"
#include "common/secret.h"
#include "tools/common/mtab.h"
#include "tools/common/opts.h"
#include "tools/common/say.h"
#include "tpm/tpm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"Usage: cloison VERB [OPTION]... PATH\n\n"
	"  status MOUNTPOINT    what is mounted there, and how full it is\n"
	"  key list PATH        the key slots of the volume in, or mounted on, PATH\n"
	"  label list PATH      the labels that the keys at hand can open\n\n"
	"  --json               print JSON\n"
	"  --label LABEL, --tpm2 auto|none|TCTI, --pin-file FILE, --passphrase-file FILE   keys, for label list\n"
	"  --help, --version\n\n"
	"See cloison(8).\n";

enum { OPT_LABEL = OPTS_OWN, OPT_TPM2, OPT_PIN, OPT_PASSPHRASE, OPT_JSON };
static const struct option longs[] = {
	{ "label", required_argument, NULL, OPT_LABEL },
	{ "tpm2", required_argument, NULL, OPT_TPM2 },
	{ "pin-file", required_argument, NULL, OPT_PIN },
	{ "passphrase-file", required_argument, NULL, OPT_PASSPHRASE },
	{ "json", no_argument, NULL, OPT_JSON },
	OPTS_COMMON
};

static const struct verb {
	const char *word[2]; /* second NULL: one word */
	int (*run)(struct cmd *c, struct fault *f);
	bool takes_keys;
} verbs[] = {
	{ { "status", NULL }, cmd_status, false },
	{ { "key", "list" }, cmd_key_list, false },
	{ { "label", "list" }, cmd_label_list, true },
};

/* The verb at argv[*at]; *at is moved behind it. */
static const struct verb *find_verb(int argc, char **argv, int *at, struct fault *f)
{
	const char *one = *at < argc ? argv[*at] : NULL;
	const char *two = *at + 1 < argc ? argv[*at + 1] : NULL;
	bool first_known = false;
	if (!one) {
		(void)!fault_set(f, -EINVAL, CL_EXIT_USAGE, "which verb?");
		return NULL;
	}
	for (size_t i = 0; i < CL_ARRAY_LEN(verbs); i++) {
		const struct verb *v = &verbs[i];
		if (strcmp(v->word[0], one))
			continue;
		first_known = true;
		if (v->word[1] && (!two || strcmp(v->word[1], two)))
			continue;
		*at += v->word[1] ? 2 : 1;
		return v;
	}
	if (first_known && two)
		(void)!fault_set(f, -EINVAL, CL_EXIT_USAGE, "unknown verb %s %s", one, two);
	else if (first_known)
		(void)!fault_set(f, -EINVAL, CL_EXIT_USAGE, "%s what? The verb is not complete", one);
	else
		(void)!fault_set(f, -EINVAL, CL_EXIT_USAGE, "unknown verb %s", one);
	return NULL;
}

struct parsed {
	struct cmd cmd;
	const struct verb *verb;
	bool help, version;
};

static int take(struct parsed *p, int opt, struct fault *f)
{
	static const char *const keys[] = { "label", "tpm2", "pin-file", "passphrase-file" };
	if (opt >= OPT_LABEL && opt <= OPT_PASSPHRASE) {
		int got = unlock_option(&p->cmd.key, keys[opt - OPT_LABEL], optarg, f);
		p->cmd.key_was_given = true;
		return got < 0 ? got : 0;
	}
	p->cmd.json |= opt == OPT_JSON;
	p->help |= opt == OPTS_HELP;
	p->version |= opt == OPTS_VERSION;
	return 0;
}

static int parse(struct parsed *p, int argc, char **argv, struct fault *f)
{
	int opt;
	while ((opt = opts_next(argc, argv, "", longs, f)) != OPTS_END) {
		int err = opt < 0 ? opt : take(p, opt, f);
		if (err)
			return err;
		if (p->help || p->version)
			return 0;
	}
	int at = optind;
	p->verb = find_verb(argc, argv, &at, f);
	if (!p->verb)
		return -EINVAL;
	if (argc - at != 1)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "%s%s%s: expected one path", p->verb->word[0],
				 p->verb->word[1] ? " " : "", p->verb->word[1] ? p->verb->word[1] : "");
	if (p->cmd.key_was_given && !p->verb->takes_keys)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "this verb needs no keys and takes no options for them");
	p->cmd.path = argv[at];
	return 0;
}

int cmd_load(const char *path, struct keyring **ret, char **ret_dir, struct fault *f)
{
	char *canonical = NULL, *dir = NULL;
	struct mtab_entry e = { 0 };
	int err = mtab_canonical(path, &canonical);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "%s: %s", path, strerror(-err));
	bool mounted = !mtab_find(canonical, &e) && !strcmp(e.type, MTAB_TYPE);
	dir = strdup(mounted ? e.source : canonical);
	int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (!dir)
		err = fault_set(f, -ENOMEM, CL_EXIT_FAILED, "out of memory");
	else if (fd < 0)
		err = fault_set(f, -errno, CL_EXIT_FAILED, "volume %s: %s", dir, strerror(errno));
	else
		err = keyring_load(fd, ret, f);
	if (err == -ENOENT && fd >= 0) {
		*f = (struct fault){ 0 };
		fault_set(f, err, CL_EXIT_FAILED, "%s is neither a cloison volume nor a mount of one", path);
	}
	if (fd >= 0)
		close(fd);
	if (!err) {
		*ret_dir = dir;
		dir = NULL;
	}
	free(dir);
	free(canonical);
	mtab_entry_done(&e);
	return err;
}

int main(int argc, char **argv)
{
	tpm_helper_main(argc, argv);
	say_init("cloison");
	log_open("cloison", LOG_LVL_WARN, false);
	struct parsed p = { 0 };
	struct fault f = { 0 };
	int exit_code = CL_EXIT_OK;
	int err = parse(&p, argc, argv, &f);
	if (!err && p.help) {
		exit_code = say_help(help);
	} else if (!err && p.version) {
		exit_code = say_version();
	} else {
		if (!err)
			err = secret_harden_process();
		if (!err)
			err = p.verb->run(&p.cmd, &f);
		exit_code = say_end(err ? say_fault(&f, err, p.cmd.path) : CL_EXIT_OK);
	}
	unlock_options_done(&p.cmd.key);
	return exit_code;
}
