/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the simulation is worth: each rule of the commit protocol (fs/rule.h) is switched off, alone, and a power cut must be found
 * that breaks a promise. With all rules on none may be found.
 */
#include "tests/sim/scripts.h"

#include "fs/rule.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ULL(x) ((unsigned long long)(x))
#define ROUNDS 1500u /* random scripts after which a rule counts as not noticed */

unsigned rule_off = RULE_ALL;

static const struct {
	enum rule rule;
	const char *name, *script; /* a script that is likely to show it, looked at first */
} mutants[] = {
	{ RULE_SYNC_FRESH, "data written home is not synced before its record", "truncate" },
	{ RULE_SYNC_FOLDERS, "folders are not synced", "create" },
	{ RULE_SYNC_RECORD, "the record is not synced", "create" },
	{ RULE_SYNC_HOME, "pages are not synced at home before the tail moves", "ring" },
	{ RULE_SYNC_HEADER, "both copies of the journal's header are written at once", "ring" },
	{ RULE_OLD_THROUGH_JOURNAL, "referenced pages are overwritten in place", "overwrite" },
	{ RULE_FREED_IS_USED, "pages freed in the running transaction are overwritten in place", "punch" },
	{ RULE_MENTIONED, "pages that a record mentions are written in place", "punch" },
	{ RULE_ROOT_IN_RECORD, "the root page is written home before the record", "create" },
	{ RULE_OPS_AFTER, "space is given back before the record", "truncate" },
	{ RULE_DOUBT_FOLDERS, "recovery trusts the folders of the killed session", "create" },
	{ RULE_CHECKSUM, "torn records are taken", "overwrite" },
	{ RULE_SETTLE, "recovery acts on what may not be durable", "ring" },
	{ RULE_LEFT_BEHIND, "a file left behind shows what is not durable", "behind" },
	{ RULE_NAMED, "a file put in the place of another is left behind", "replace" },
};
static_assert(CL_ARRAY_LEN(mutants) == RULE_ALL, "one for each rule");

static bool cuts(struct trial *t, size_t at, uint64_t *rng)
{
	bool ok = true;

	for (unsigned how = 0; how < SIM_CUTS && ok; how++)
		ok = trial_cut(t, at, (enum sim_cut)how, sim_rand(rng));
	return ok && trial_kill(t, at, sim_rand(rng));
}

/* True when all is well. */
static bool look(const char *script, uint64_t seed, unsigned rounds)
{
	uint64_t rng = seed;
	struct trial t;
	bool ok = true;

	for (size_t k = 0; k < n_scripts; k++) {
		if (strcmp(scripts[k].name, script))
			continue;
		script_run(&t, &scripts[k]);
		/* Every place once, those far from each other first. */
		size_t n = simdisk_log(t.disk) + 1;
		for (size_t i = 0; i < (rounds == ROUNDS ? n : n / 8) && ok; i++)
			ok = cuts(&t, i * 7919 % n, &rng);
		trial_free(&t);
	}
	for (unsigned k = 0; k < rounds && ok; k++) {
		script_random(&t, seed + k, false);
		ok = cuts(&t, (size_t)sim_below(&rng, simdisk_log(t.disk) + 1), &rng);
		trial_free(&t);
	}
	return ok;
}

/* In a process of its own, because what is broken may do anything. 0: all is well. */
static int run(unsigned rule, const char *script, uint64_t seed, unsigned rounds)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		rule_off = RULE_ALL;
		trial_init();
		rule_off = rule;
		bool ok = look(script, seed, rounds);
		if (!ok)
			printf("  after %llu disks: %s\n", ULL(trial_count()), trial_why());
		fflush(stdout);
		_exit(ok ? 0 : 1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	bool brief = getenv("CLOISON_TEST_SHORT");
	unsigned missed = 0;

	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	(void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
	if (run(RULE_ALL, "overwrite", seed, brief ? 3 : 40)) {
		fprintf(stderr, "mutants: with all rules on something is wrong\n");
		return 1;
	}
	for (size_t k = 0; k < CL_ARRAY_LEN(mutants); k++) {
		if (brief && k % 4 != seed % 4)
			continue;
		printf("%s\n", mutants[k].name);
		fflush(stdout);
		if (run(mutants[k].rule, mutants[k].script, seed, ROUNDS))
			continue;
		fprintf(stderr, "mutants: not noticed: %s\n", mutants[k].name);
		missed++;
	}
	return missed ? 1 : 0;
}
