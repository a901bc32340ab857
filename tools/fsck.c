/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fsck.cloison: replays journals, verifies every page that it has a key for, repairs, says what it could not look at. */
#include "common/bytes.h"
#include "common/file.h"
#include "common/log.h"
#include "fs/fs.h"
#include "fs/seal.h"
#include "fs/store.h"
#include "keyring/keyring.h"
#include "tools/common/busy.h"
#include "tools/common/compartments.h"
#include "tools/common/json_out.h"
#include "tools/common/opts.h"
#include "tools/common/progress.h"
#include "tools/common/say.h"
#include "tools/common/unlock.h"
#include "tpm/tpm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* fsck(8). */
enum {
	FSCK_OK = 0,
	FSCK_CORRECTED = 1,
	FSCK_UNCORRECTED = 4,
	FSCK_OPERATIONAL = 8,
	FSCK_USAGE = 16,
	FSCK_CANCELLED = 32
};

static const char help[] =
	"Usage: fsck.cloison [OPTION]... DIR\n"
	"Checks the volume in DIR. With keys it verifies every page. While it is mounted, -n scrubs it.\n\n"
	"  -n                   write nothing, not even replay the journals; the volume may be mounted\n"
	"  -p, -a               repair what can be without loss; ask nothing\n"
	"  -y                   repair everything, giving up what cannot be read; ask nothing\n"
	"  -f                   check even if the volume looks clean (always done)\n"
	"  -C FD                progress lines to descriptor FD (0: a bar)\n"
	"  --label LABEL|all    what to unlock: a label with those below it, or all that can be (default)\n"
	"  --tpm2 auto|none|TCTI, --pin-file FILE, --passphrase-file FILE   keys; also as -o tpm2=...,pin-file=...\n"
	"  --json               findings and verdict as JSON\n"
	"  --progress-fd N      as -C N\n"
	"  --help, --version\n\n"
	"Exit code, bits: 1 corrected, 4 errors left, 8 operational error, 16 usage, 32 cancelled. See "
	"fsck.cloison(8).\n";

enum { OPT_LABEL = OPTS_OWN, OPT_TPM2, OPT_PIN, OPT_PASSPHRASE, OPT_JSON, OPT_PROGRESS };
static const struct option longs[] = {
	{ "label", required_argument, NULL, OPT_LABEL },
	{ "tpm2", required_argument, NULL, OPT_TPM2 },
	{ "pin-file", required_argument, NULL, OPT_PIN },
	{ "passphrase-file", required_argument, NULL, OPT_PASSPHRASE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "progress-fd", required_argument, NULL, OPT_PROGRESS },
	OPTS_COMMON
};

struct fsck {
	struct unlock_options key;
	const char *path;
	bool no_write, json, help, version;
	bool no_questions;
	enum fs_repair repair;
	unsigned ways; /* -p and -a: 1; -y: 2 */
	bool keys_asked_for; /* a key option was given: then no key is an error */
	int progress_fd;
	struct progress progress;
	struct store *store;
	struct keyring *keyring;
	struct keyring_unlocked *open;
	size_t n_open;
	struct fs_compartment c[KEYRING_MAX_LABELS];
	size_t n;
	struct fs_check check;
	json_t *findings;
	char uuid[2 * KEYRING_ID_LEN + 1];
	char why_not[640]; /* why there are no keys */
	char not_authentic[640]; /* what of the header did not authenticate although something was opened; "": nothing */
};

static int key_option(struct fsck *k, const char *name, const char *value, struct fault *f)
{
	int got = unlock_option(&k->key, name, value, f);
	if (got > 0 && (strcmp(name, "tpm2") || (strcmp(value, "auto") && strcmp(value, "none"))))
		k->keys_asked_for = true;
	return got;
}

static int key_list(struct fsck *k, const char *list, struct fault *f)
{
	char *copy = strdup(list);
	if (!copy)
		return fault_set(f, -ENOMEM, CL_EXIT_FAILED, "out of memory");
	char *cursor = copy, *name, *value;
	int got;
	while ((got = opts_list_next(&cursor, &name, &value, f)) > 0) {
		got = key_option(k, name, value, f);
		if (!got)
			got = fault_set(f, -EINVAL, CL_EXIT_USAGE, "unknown option %s", name);
		if (got < 0)
			break;
	}
	free(copy);
	return got;
}

static int take(struct fsck *k, int opt, struct fault *f)
{
	const char *key = NULL;
	switch (opt) {
	case 'n':
		k->no_write = true;
		return 0;
	case 'a':
	case 'p':
	case 'y':
		k->no_questions = true;
		k->repair = CL_MAX(k->repair, opt == 'y' ? FS_REPAIR_ALL : FS_REPAIR_SAFE);
		k->ways |= opt == 'y' ? 2u : 1u;
		return 0;
	case 'C':
		if (!strcmp(optarg, "0"))
			return 0;
		return opts_fd("-C", optarg, &k->progress_fd, f);
	case 'o':
		return key_list(k, optarg, f);
	case OPT_PROGRESS:
		return opts_fd("--progress-fd", optarg, &k->progress_fd, f);
	case OPT_JSON:
		k->json = true;
		return 0;
	case OPTS_HELP:
		k->help = true;
		return 0;
	case OPTS_VERSION:
		k->version = true;
		return 0;
	case OPT_LABEL:
		key = "label";
		break;
	case OPT_TPM2:
		key = "tpm2";
		break;
	case OPT_PIN:
		key = "pin-file";
		break;
	case OPT_PASSPHRASE:
		key = "passphrase-file";
		break;
	default: /* -f: everything is checked in any case */
		return 0;
	}
	int got = key_option(k, key, optarg, f);
	return got < 0 ? got : 0;
}

static int parse(struct fsck *k, int argc, char **argv, struct fault *f)
{
	int opt;
	while ((opt = opts_next(argc, argv, "npyafC:o:", longs, f)) != OPTS_END) {
		int err = opt < 0 ? opt : take(k, opt, f);
		if (err)
			return err;
		if (k->help || k->version)
			return 0;
	}
	if (k->ways == 3 || (k->ways && k->no_write))
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "only one of -n, -p (or -a) and -y can be given");
	if (argc - optind != 1)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "expected one DIR");
	k->path = argv[optind];
	return 0;
}

static int load(struct fsck *k, struct fault *f)
{
	int err = store_dir_open(k->path, &k->store);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "volume %s: %s", k->path, strerror(-err));
	err = keyring_load(store_dir_fd(k->store), &k->keyring, f);
	if (err == -ENOENT) {
		*f = (struct fault){ 0 };
		return fault_set(f, err, CL_EXIT_FAILED, "%s is not a cloison volume: it has no volume.json", k->path);
	}
	if (err)
		return fault_wrap(f, err, CL_EXIT_FAILED, "volume %s", k->path);
	bytes_to_hex(keyring_uuid(k->keyring), KEYRING_ID_LEN, k->uuid);
	return 0;
}

/* A TPM that was named, but not needed in the end: that it does not answer is worth a word. */
static void try_named_tpm(const struct unlock *u)
{
	struct tpm_status st;
	struct fault why = { 0 };
	int err = u->tpm_was_asked_for ? tpm_get_status(u->tcti, &st, &why) : 0;
	if (err)
		say("the TPM %s was not tried: %s", u->tcti, why.text[0] ? why.text : strerror(-err));
}

/* Keys that were asked for must come; those that merely might be there need not. */
static int get_keys(struct fsck *k, struct fault *f)
{
	bool all = !k->key.label || !strcmp(k->key.label, "all");
	struct fault why = { 0 };
	struct unlock u;
	/* Asks as mount does; but not where fsck(8) is run at boot or by a script. */
	int err = unlock_init(&u, &k->key, k->keys_asked_for || !k->no_questions, &why);
	if (!err) {
		if (all)
			err = unlock_all(&u, k->keyring, &k->open, &k->n_open, &why);
		else
			err = unlock_label(&u, k->keyring, k->key.label, &k->open, &k->n_open, &why);
		if (!err)
			try_named_tpm(&u);
		unlock_done(&u);
	}
	if (!err) {
		snprintf(k->not_authentic, sizeof k->not_authentic, "%s", why.text);
		return 0;
	}
	k->n_open = 0;
	if (k->keys_asked_for || why.exit == CL_EXIT_USAGE || err == -EBADMSG || err == -EUCLEAN) {
		*f = why;
		return fault_set(f, err, CL_EXIT_FAILED, "cannot unlock: %s", strerror(-err));
	}
	snprintf(k->why_not, sizeof k->why_not, "%s", why.text[0] ? why.text : strerror(-err));
	return 0;
}

/* Those with a key first, lowest first; then the others, for what can be seen without. */
static void list_compartments(struct fsck *k)
{
	compartments_of(k->open, k->n_open, k->c);
	k->n = k->n_open;
	for (size_t i = 0; i < keyring_n_compartments(k->keyring); i++) {
		const uint8_t *id = keyring_compartment_id(k->keyring, i);
		bool have = false;
		for (size_t j = 0; j < k->n_open; j++)
			have |= !memcmp(k->c[j].id, id, KEYRING_ID_LEN);
		if (have || k->n == KEYRING_MAX_LABELS)
			continue;
		k->c[k->n] = (struct fs_compartment){ .key = NULL };
		memcpy(k->c[k->n].id, id, KEYRING_ID_LEN);
		k->n++;
	}
}

/* A name that is shown on a terminal must not steer it. */
static void print_clean(const char *s)
{
	char *copy = strdup(s);
	if (!copy)
		return;
	say_clean(copy);
	fputs(copy, stdout);
	free(copy);
}

static void report(void *arg, const char *path, const char *text, bool fixed)
{
	struct fsck *k = arg;
	if (k->json) {
		json_array_append_new(k->findings, json_pack("{s:o, s:o, s:b}", "path", json_out_text(path), "text",
							     json_out_text(text), "fixed", fixed));
		return;
	}
	progress_clear(&k->progress);
	print_clean(k->path);
	fputs(": ", stdout);
	if (*path) {
		print_clean(path);
		fputs(": ", stdout);
	}
	print_clean(text);
	puts(fixed ? " (corrected)" : "");
	fflush(stdout);
}

static void on_progress(void *arg, uint64_t done, uint64_t all)
{
	struct fsck *k = arg;
	progress_step(&k->progress, done, all);
}

static bool ask(void *arg, const char *question)
{
	struct fsck *k = arg;
	char line[16];
	progress_clear(&k->progress);
	print_clean(k->path);
	fputs(": ", stdout);
	print_clean(question);
	fputs(" (y/n)? ", stdout);
	fflush(stdout);
	return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

/* Whatever is cut off is as a crash would leave it, and the volume is made for that. */
static void on_cancel(int sig CL_UNUSED)
{
	static const char text[] = "\nfsck.cloison: cancelled\n";
	ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
	_exit(n < 0 ? FSCK_CANCELLED | FSCK_OPERATIONAL : FSCK_CANCELLED);
}

/* Errors will be found again; what was corrected will not. */
static void keep_corrected(struct fsck *k)
{
	for (size_t i = json_array_size(k->findings); i--;)
		if (!json_is_true(json_object_get(json_array_get(k->findings, i), "fixed")))
			json_array_remove(k->findings, i);
}

static int check(struct fsck *k, struct fault *f)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	const struct sigaction act = { .sa_handler = on_cancel };
	for (size_t i = 0; i < CL_ARRAY_LEN(signals); i++)
		sigaction(signals[i], &act, NULL);
	k->check = (struct fs_check){
		.replay = !k->no_write, .repair = k->repair, .report = report, .progress = on_progress, .arg = k
	};
	if (!k->no_questions && !k->json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		k->check.ask = ask;
	const struct fs_config cfg = { .read_only = k->no_write };
	progress_init(&k->progress, "checking", k->path, k->progress_fd);
	char *dir = realpath(k->path, NULL), *target = NULL;
	unsigned waited = 0;
	uint64_t fixed = 0;
	bool again = true;
	int err;
	while ((err = fs_check(k->store, k->c, k->n, &cfg, &k->check, f)) == -EBUSY && again) {
		again = dir && busy_again(dir, &waited, &target);
		if (!again && !k->no_write)
			break;
		k->check.follow = !again; /* it stays in use */
		fixed += k->check.ret_fixed;
		keep_corrected(k);
		*f = (struct fault){ 0 };
	}
	k->check.ret_fixed += fixed;
	free(dir);
	progress_clear(&k->progress);
	if (err == -EBUSY) {
		struct fault who = *f;
		*f = (struct fault){ 0 };
		fault_set(f, err, CL_EXIT_FAILED, "%s: %s%s%s%s", k->path,
			  target ? "the volume is in use: it is mounted on " : who.text[0] ? who.text : "the volume is in use",
			  target ? target : "", target ? " (unmount it first)" : "",
			  k->no_write ? "" : "; -n scrubs a volume that is in use");
	}
	free(target);
	return err;
}

/*
 * The header has a spare, which nobody reads while the first copy is good. With every label's key, one that is missing or malformed is
 * written anew from the other.
 */
static int check_header(struct fsck *k, struct fault *f)
{
	static const char *const names[2] = { "volume.json", "volume.json.bak" };
	char *text[2] = { NULL, NULL };
	size_t len[2] = { 0, 0 };
	char what[240] = "";
	int err = 0;

	for (int i = 0; i < 2; i++) {
		int e = file_read_all(store_dir_fd(k->store), names[i], KEYRING_FILE_MAX, &text[i], &len[i]);
		if (e == -ENOMEM)
			err = fault_set(f, e, CL_EXIT_FAILED, "out of memory");
		else if (e && !what[0])
			snprintf(what, sizeof what, "%s cannot be read: %s", names[i], strerror(-e));
	}
	if (!err && !what[0] && (len[0] != len[1] || memcmp(text[0], text[1], len[0])))
		snprintf(what, sizeof what, "volume.json and its spare, volume.json.bak, differ: one of them is damaged or old; "
			 "keep both, and copy the one with which everything opens over the other");
	free(text[0]);
	free(text[1]);
	if (k->not_authentic[0]) {
		report(k, "", k->not_authentic, false);
		k->check.ret_errors++;
	}
	if (err || !what[0])
		return err;
	/*
	 * Only in the place of a copy that says nothing: of two that both make sense it is not known which one is damaged, and not all that a
	 * header has is covered by the MACs of the labels (wrapped keys and salts of other slots are not).
	 */
	bool fix = !k->no_write && k->n && k->n_open == k->n && !keyring_copies_differ(k->keyring);
	if (fix)
		fix = !keyring_save(k->keyring, store_dir_fd(k->store), NULL);
	report(k, "", what, fix);
	if (fix)
		k->check.ret_fixed++;
	else
		k->check.ret_errors++;
	return 0;
}

/* For how many of the labels there was a key; of the others contents were not looked at. */
static const char *keys_for(const struct fsck *k)
{
	return k->n_open == 0 ? "none" : k->n_open < k->n ? "part" : "all";
}

static int summary(struct fsck *k)
{
	uint64_t bad = k->check.ret_errors, fixed = k->check.ret_fixed;
	if (k->json) {
		json_t *labels = json_array();
		for (size_t i = 0; i < k->n_open; i++)
			json_array_append_new(labels, json_out_text(k->open[i].label.text));
		return json_out(json_pack("{s:o, s:s, s:I, s:I, s:s, s:o, s:i, s:i, s:O}", "volume", json_out_text(k->path),
					  "uuid", k->uuid, "errors", (json_int_t)bad, "fixed", (json_int_t)fixed,
					  "keys", keys_for(k), "labels", labels, "compartments", (int)k->n, "scrubbed", (int)k->check.ret_followed,
					  "findings", k->findings));
	}
	if (k->n_open == 0)
		printf("%s: contents were not verified: no key (%s)\n", k->path, k->why_not);
	else if (k->n_open < k->n)
		printf("%s: %zu of %zu labels were opened; contents of the others were not verified\n", k->path,
		       k->n_open, k->n);
	if (k->check.ret_followed)
		printf("%s: %u of %zu labels in use: their pages were verified, but not how they fit together\n", k->path,
		       k->check.ret_followed, k->n);
	if (bad)
		printf("%s: %ju error%s left, %ju corrected\n", k->path, (uintmax_t)bad, bad == 1 ? "" : "s",
		       (uintmax_t)fixed);
	else
		printf("%s: %s, %ju corrected\n", k->path,
		       k->n_open == k->n && !k->check.ret_followed ? "clean" : "no errors in what could be checked", (uintmax_t)fixed);
	return 0;
}

static int run(struct fsck *k, struct fault *f)
{
	int err = secret_harden_process();
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "cannot protect this process: %s", strerror(-err));
	err = load(k, f);
	if (!err)
		err = get_keys(k, f);
	if (err)
		return err;
	list_compartments(k);
	k->findings = json_array();
	err = check(k, f);
	if (!err)
		err = check_header(k, f);
	if (!err)
		err = summary(k);
	return err;
}

int main(int argc, char **argv)
{
	tpm_helper_main(argc, argv);
	say_init("fsck.cloison");
	log_open("fsck.cloison", LOG_LVL_WARN, false);
	struct fsck k = { .progress_fd = -1 };
	struct fault f = { 0 };
	int exit_code = FSCK_OK;
	int err = parse(&k, argc, argv, &f);
	if (!err && k.help) {
		exit_code = say_help(help) ? FSCK_OPERATIONAL : FSCK_OK;
	} else if (!err && k.version) {
		exit_code = say_version() ? FSCK_OPERATIONAL : FSCK_OK;
	} else if (!err) {
		err = run(&k, &f);
		exit_code = (k.check.ret_fixed ? FSCK_CORRECTED : 0) | (k.check.ret_errors ? FSCK_UNCORRECTED : 0);
		if (!err && say_end(CL_EXIT_OK))
			exit_code |= FSCK_OPERATIONAL;
	}
	if (err)
		exit_code |= say_fault(&f, err, k.path) == CL_EXIT_USAGE ? FSCK_USAGE : FSCK_OPERATIONAL;
	keyring_unlocked_free(k.open, k.n_open);
	keyring_free(k.keyring);
	if (k.store)
		k.store->ops->free(k.store);
	json_decref(k.findings);
	unlock_options_done(&k.key);
	seal_done(); /* wipes this thread's keyed contexts */
	return exit_code;
}
