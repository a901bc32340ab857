/* SPDX-License-Identifier: GPL-3.0-or-later */
/* mkfs.cloison: makes a volume, proves that it opens, and leaves nothing behind when it does not. */
#include "common/bytes.h"
#include "common/log.h"
#include "fs/fs.h"
#include "fs/seal.h"
#include "fs/store.h"
#include "keyring/keyring.h"
#include "tools/common/compartments.h"
#include "tools/common/json_out.h"
#include "tools/common/label_spec.h"
#include "tools/common/opts.h"
#include "tools/common/progress.h"
#include "tools/common/prompt.h"
#include "tools/common/say.h"
#include "tools/common/undo.h"
#include "tools/common/unlock.h"
#include "tpm/tpm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"Usage: mkfs.cloison [OPTION]... DIR\n"
	"Makes a sealed volume in DIR, which must be empty or absent.\n\n"
	"  --label LABEL[,unlock=host|pin][,dir=NAME]   a label of the volume, lowest first; may be repeated\n"
	"                                 (default: " LABEL_SPEC_DEFAULT ")\n"
	"  --name NAME                    public name of the volume\n"
	"  --tpm2 auto|none|TCTI          which TPM seals the keys (default: auto)\n"
	"  --pin-file FILE                PIN of the labels with unlock=pin\n"
	"  --recovery-passphrase-file FILE   passphrase that opens every label without the TPM\n"
	"  --no-recovery                  make no such passphrase: what the TPM loses is lost\n"
	"  --journal-size SIZE            of each label's journal (default: 64M)\n"
	"  --json                         print the summary as JSON\n"
	"  --progress-fd N                write progress lines to descriptor N\n"
	"  --help, --version\n\n"
	"FILE - is standard input. See mkfs.cloison(8).\n";

enum {
	OPT_LABEL = OPTS_OWN,
	OPT_NAME,
	OPT_TPM2,
	OPT_PIN,
	OPT_PASSPHRASE,
	OPT_NO_RECOVERY,
	OPT_JOURNAL,
	OPT_JSON,
	OPT_PROGRESS
};
static const struct option longs[] = {
	{ "label", required_argument, NULL, OPT_LABEL },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "tpm2", required_argument, NULL, OPT_TPM2 },
	{ "pin-file", required_argument, NULL, OPT_PIN },
	{ "recovery-passphrase-file", required_argument, NULL, OPT_PASSPHRASE },
	{ "no-recovery", no_argument, NULL, OPT_NO_RECOVERY },
	{ "journal-size", required_argument, NULL, OPT_JOURNAL },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "progress-fd", required_argument, NULL, OPT_PROGRESS },
	OPTS_COMMON
};

#define STEPS 6

struct mkfs {
	struct label_spec_list labels;
	struct unlock_options key;
	struct unlock unlock;
	struct fs_config cfg;
	struct progress progress;
	struct undo_dir dir;
	const char *name, *path;
	bool no_recovery, json, help, version;
	int progress_fd;
	struct keyring *keyring;
	struct keyring_unlocked *unlocked; /* of the header in memory, lowest first */
	size_t n_unlocked;
	struct store *store;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = sig;
}

static int take(struct mkfs *m, int opt, struct fault *f)
{
	uint64_t size;
	int err;
	switch (opt) {
	case OPT_LABEL:
		return label_spec_add(&m->labels, optarg, f);
	case OPT_NAME:
		m->name = optarg;
		return 0;
	case OPT_TPM2:
		err = unlock_option(&m->key, "tpm2", optarg, f);
		return err < 0 ? err : 0;
	case OPT_PIN:
		err = unlock_option(&m->key, "pin-file", optarg, f);
		return err < 0 ? err : 0;
	case OPT_PASSPHRASE:
		m->key.passphrase_option = "--recovery-passphrase-file";
		err = unlock_option(&m->key, "passphrase-file", optarg, f);
		return err < 0 ? err : 0;
	case OPT_NO_RECOVERY:
		m->no_recovery = true;
		return 0;
	case OPT_JOURNAL:
		err = opts_size("--journal-size", optarg, (uint64_t)8 << 20, (uint64_t)1 << 30, &size, f);
		if (!err)
			m->cfg.journal_pages = (uint32_t)(size / CL_PAGE);
		return err;
	case OPT_JSON:
		m->json = true;
		return 0;
	case OPT_PROGRESS:
		return opts_fd("--progress-fd", optarg, &m->progress_fd, f);
	case OPTS_HELP:
		m->help = true;
		return 0;
	default:
		m->version = true;
		return 0;
	}
}

static int parse(struct mkfs *m, int argc, char **argv, struct fault *f)
{
	int opt;
	while ((opt = opts_next(argc, argv, "", longs, f)) != OPTS_END) {
		int err = opt < 0 ? opt : take(m, opt, f);
		if (err)
			return err;
		if (m->help || m->version)
			return 0;
	}
	if (optind == argc)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "which directory? DIR is missing");
	if (argc - optind > 1)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "one directory only; '%s' is too much", argv[optind + 1]);
	m->path = argv[optind];
	if (m->no_recovery && m->key.passphrase_file)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE,
				 "--no-recovery and --recovery-passphrase-file exclude each other");
	return label_spec_finish(&m->labels, f);
}

static int ask(const char *what, const char *text, const char *again, size_t max, struct secret **ret, struct fault *f)
{
	int err = prompt_new_secret(text, again, max, ret);
	if (err == -EKEYREJECTED)
		return fault_set(f, err, CL_EXIT_KEY, "the two %ss differ", what);
	if (err == -ENODATA)
		return fault_set(f, err, CL_EXIT_KEY, "no %s was typed", what);
	return err ? fault_set(f, err, CL_EXIT_KEY, "no %s was read: %s", what, strerror(-err)) : 0;
}

/* Every way in that the new volume is to have, or why it may not be made. */
static int gather(struct mkfs *m, struct fault *f)
{
	struct unlock *u = &m->unlock;
	int err = unlock_init(u, &m->key, true, f);
	if (err)
		return err;
	bool has_tpm = u->tcti[0];
	bool pin = label_spec_needs_pin(&m->labels);
	if (pin && !has_tpm)
		return fault_set(f, -ENODEV, CL_EXIT_USAGE,
				 "unlock=pin needs a TPM, and there is none%s: a PIN alone protects nothing",
				 m->key.tpm2 && !strcmp(m->key.tpm2, "none") ? " (--tpm2 none)" : "");
	if (!has_tpm && m->no_recovery)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE,
				 "no TPM and no recovery passphrase: nothing would open this volume");
	if (!u->passphrase && !m->no_recovery && !u->may_prompt)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "%s: give --recovery-passphrase-file FILE%s",
				 has_tpm ? "a volume without a recovery way is lost with its TPM" :
					   "there is no TPM here, so a passphrase is required",
				 has_tpm ? ", or accept that with --no-recovery" : "");
	if (pin && !u->pin && !u->may_prompt)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "unlock=pin: give --pin-file FILE");
	if (!has_tpm && !m->key.tpm2)
		say("no TPM 2.0 was found: the volume opens with the passphrase alone");
	if (pin && !u->pin)
		err = ask("PIN", "New PIN: ", "New PIN again: ", UNLOCK_PIN_MAX, &u->pin, f);
	if (!err && !u->passphrase && !m->no_recovery)
		err = ask("passphrase",
			  "New recovery passphrase: ", "New recovery passphrase again: ", UNLOCK_PASSPHRASE_MAX,
			  &u->passphrase, f);
	return err;
}

static int step(struct mkfs *m, unsigned n, struct fault *f)
{
	if (interrupted)
		return fault_set(f, -EINTR, CL_EXIT_FAILED, "interrupted; no volume was made");
	progress_step(&m->progress, n, STEPS);
	return 0;
}

static int create_header(struct mkfs *m, struct fault *f)
{
	struct keyring_new_label *l = calloc(m->labels.n, sizeof *l);
	struct secret **keys = calloc(m->labels.n, sizeof(struct secret *));
	int err = l && keys ? 0 : fault_set(f, -ENOMEM, CL_EXIT_FAILED, "out of memory");
	for (size_t i = 0; i < m->labels.n && !err; i++) {
		const struct label_spec *s = &m->labels.v[i];
		l[i] = (struct keyring_new_label){ .text = s->text, .dir = s->dir, .unlock = s->unlock };
	}
	const struct keyring_new spec = {
		.name = m->name,
		.labels = l,
		.n_labels = m->labels.n,
		.tpm = unlock_tpm(&m->unlock),
		.pin = m->unlock.pin,
		.passphrase = m->unlock.passphrase,
	};
	if (!err)
		err = keyring_create(&spec, &m->keyring, keys, f);
	/* The compartments are made with the keys that come back out of the slots, not with those that went in. */
	for (size_t i = 0; i < m->labels.n && keys; i++)
		secret_free(keys[i]);
	free(keys);
	free(l);
	return err;
}

static int unlock_with(struct mkfs *m, const struct keyring *k, const struct keyring_offer *offer,
		       struct keyring_unlocked **ret, size_t *ret_n, struct fault *f)
{
	int err = keyring_unlock(k, offer, m->labels.v[m->labels.n - 1].text, ret, ret_n, f);
	if (err || *ret_n == m->labels.n)
		return err;
	keyring_unlocked_free(*ret, *ret_n);
	*ret = NULL;
	*ret_n = 0;
	return fault_set(f, -EUCLEAN, CL_EXIT_INTEGRITY, "not all labels open");
}

/* Whether the volume on disk opens with this offer; engine: whether each label's compartments open, too. */
static int prove(struct mkfs *m, const struct keyring *k, const struct keyring_offer *offer, bool engine,
		 struct fault *f)
{
	struct keyring_unlocked *u = NULL;
	size_t n = 0;
	int err = unlock_with(m, k, offer, &u, &n, f);
	if (err)
		return err;
	struct fs_compartment c[KEYRING_MAX_LABELS];
	const struct fs_config cfg = { .read_only = true };
	compartments_of(u, n, c);
	for (size_t i = 0; i < n && !err && engine; i++) {
		struct fs *fs;
		err = fs_open(m->store, c, i + 1, &cfg, &fs, f);
		if (!err)
			err = fs_close(fs);
	}
	keyring_unlocked_free(u, n);
	return err;
}

static int prove_all(struct mkfs *m, struct fault *f)
{
	struct keyring *k = NULL;
	int err = keyring_load(m->dir.fd, &k, f);
	const struct keyring_offer by_tpm = { .tpm = unlock_tpm(&m->unlock), .pin = m->unlock.pin };
	const struct keyring_offer by_passphrase = { .passphrase = m->unlock.passphrase };
	if (!err && by_tpm.tpm)
		err = prove(m, k, &by_tpm, true, f);
	if (!err)
		err = step(m, 5, f);
	if (!err && by_passphrase.passphrase)
		err = prove(m, k, &by_passphrase, !by_tpm.tpm, f);
	keyring_free(k);
	return err ? fault_wrap(f, err, say_exit_of(err), "the new volume does not open") : 0;
}

static int format(struct mkfs *m, struct fault *f)
{
	const struct keyring_offer offer = {
		.tpm = unlock_tpm(&m->unlock),
		.pin = m->unlock.pin,
		.passphrase = m->unlock.passphrase,
	};
	int err = unlock_with(m, m->keyring, &offer, &m->unlocked, &m->n_unlocked, f);
	if (!err)
		err = step(m, 2, f);
	if (err)
		return err;
	err = store_dir_open(m->path, &m->store);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "cannot open %s: %s", m->path, strerror(-err));
	struct fs_compartment c[KEYRING_MAX_LABELS];
	compartments_of(m->unlocked, m->n_unlocked, c);
	return fs_format(m->store, c, m->n_unlocked, getuid(), getgid(), &m->cfg, f);
}

static int make(struct mkfs *m, struct fault *f)
{
	int err = undo_open_empty(&m->dir, m->path, f);
	if (!err)
		err = step(m, 0, f);
	if (!err)
		err = create_header(m, f);
	if (!err)
		err = step(m, 1, f);
	if (!err)
		err = format(m, f);
	if (!err)
		err = step(m, 3, f);
	if (!err) /* last: what has no volume.json is no volume */
		err = keyring_save(m->keyring, m->dir.fd, f);
	if (!err)
		err = step(m, 4, f);
	if (!err)
		err = prove_all(m, f);
	return err ? err : step(m, STEPS, f);
}

static const char *way_of(const struct mkfs *m, const struct label_spec *s)
{
	if (!m->unlock.tcti[0])
		return "passphrase";
	return s->unlock == KEYRING_PIN ? "this machine's TPM and PIN" : "this machine's TPM";
}

static int print_json(const struct mkfs *m, const char *uuid)
{
	json_t *labels = json_array();
	for (size_t i = 0; i < m->labels.n; i++) {
		const struct label_spec *s = &m->labels.v[i];
		const char *unlock = !m->unlock.tcti[0] ? "passphrase" : s->unlock == KEYRING_PIN ? "pin" : "host";
		json_array_append_new(labels, json_pack("{s:o, s:o, s:s}", "label", json_out_text(s->text), "directory",
							json_out_text(s->dir), "unlock", unlock));
	}
	return json_out(json_pack("{s:s, s:o, s:o, s:o, s:b, s:o}", "uuid", uuid, "name", json_out_text(m->name),
				  "volume", json_out_text(m->path), "tpm2",
				  json_out_text(m->unlock.tcti[0] ? m->unlock.tcti : NULL), "recovery",
				  m->unlock.passphrase != NULL, "labels", labels));
}

static void print(const struct mkfs *m, const char *uuid)
{
	printf("volume %s in %s%s%s\n", uuid, m->path, m->name ? ", named " : "", m->name ? m->name : "");
	for (size_t i = 0; i < m->labels.n; i++) {
		const struct label_spec *s = &m->labels.v[i];
		char place[KEYRING_DIR_MAX + 2];
		snprintf(place, sizeof place, "/%s", s->dir ? s->dir : "");
		printf("  %-24s %-24s opens with %s\n", s->text, place, way_of(m, s));
	}
	printf("recovery: %s\n", m->unlock.passphrase ? "passphrase, for every label" :
						      "none: what this TPM loses is lost");
}

static void done(struct mkfs *m)
{
	keyring_unlocked_free(m->unlocked, m->n_unlocked);
	keyring_free(m->keyring);
	if (m->store)
		m->store->ops->free(m->store);
	unlock_done(&m->unlock);
	unlock_options_done(&m->key);
	label_spec_done(&m->labels);
	seal_done(); /* wipes this thread's keyed contexts */
}

static int run(struct mkfs *m, struct fault *f)
{
	int err = secret_harden_process();
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "cannot protect this process: %s", strerror(-err));
	err = gather(m, f);
	if (err)
		return err;
	const struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	for (size_t i = 0; i < CL_ARRAY_LEN(signals); i++)
		sigaction(signals[i], &act, NULL);
	progress_init(&m->progress, "making the volume", m->path, m->progress_fd);
	err = make(m, f);
	progress_clear(&m->progress);
	if (!err) {
		undo_keep(&m->dir);
		return 0;
	}
	int left = undo_remove(&m->dir);
	if (left)
		say("%s: not all of the failed attempt could be removed: %s", m->path, strerror(-left));
	return err;
}

int main(int argc, char **argv)
{
	tpm_helper_main(argc, argv);
	say_init("mkfs.cloison");
	log_open("mkfs.cloison", LOG_LVL_WARN, false);

	struct mkfs m = { .dir.fd = -1, .progress_fd = -1 };
	struct fault f = { 0 };
	int exit_code = CL_EXIT_OK;
	int err = parse(&m, argc, argv, &f);
	if (!err && m.help) {
		exit_code = say_help(help);
	} else if (!err && m.version) {
		exit_code = say_version();
	} else {
		if (!err)
			err = run(&m, &f);
		if (!err) {
			char uuid[2 * KEYRING_ID_LEN + 1];
			bytes_to_hex(keyring_uuid(m.keyring), KEYRING_ID_LEN, uuid);
			if (m.json)
				err = print_json(&m, uuid);
			else
				print(&m, uuid);
		}
		exit_code = say_end(err ? say_fault(&f, err, m.path) : CL_EXIT_OK);
	}
	done(&m);
	return exit_code;
}
