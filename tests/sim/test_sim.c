/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Power cuts, simulated. Fixed scripts are cut before each of their operations, random ones at random places; what is left must
 * be a state that the volume passed through, with everything that was synced. A violation is told in a line that
 * repeats it. `--long` for what takes minutes; see doc/HACKING.
 */
#include "tests/sim/scripts.h"

#include "common/secret.h"

#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>

#define ULL(x) ((unsigned long long)(x))
#define CUTS 6u /* of a random script */

struct options {
	uint64_t seed, choice, scripts, first;
	size_t at;
	unsigned ring;
	const char *script, *kind;
	enum sim_cut how;
	bool one, trace, fixed_only, random_only;
	unsigned scale;
};

static bool complain(void)
{
	fflush(stdout);
	fprintf(stderr, "sim: %s\n", trial_why());
	return false;
}

static bool look(struct trial *t, const char *kind, size_t at, enum sim_cut how, uint64_t choice)
{
	if (!strcmp(kind, "kill"))
		return trial_kill(t, at, choice);
	if (!strcmp(kind, "recovery"))
		return trial_cut_recovery(t, at, how, choice);
	return trial_cut(t, at, how, choice);
}

static bool random_cuts(uint64_t seed)
{
	struct trial t;
	uint64_t rng = ~seed;
	bool ok = true;

	script_random(&t, seed, false);
	for (unsigned k = 0; k < CUTS && ok; k++) {
		size_t at = (size_t)sim_below(&rng, simdisk_log(t.disk) + 1);
		enum sim_cut how = (enum sim_cut)sim_below(&rng, SIM_CUTS);
		const char *kind = sim_below(&rng, 5) ? "cut" : "kill";
		ok = look(&t, kind, at, how, sim_rand(&rng));
	}
	trial_free(&t);
	return ok;
}

/* Every cut of a script. share: of 100. */
static bool all_cuts(const struct script *s, unsigned share, uint64_t seed)
{
	struct trial t;
	uint64_t rng = seed;
	bool ok = true;

	script_run(&t, s);
	printf("  %s: %zu operations\n", s->name, simdisk_log(t.disk));
	for (size_t n = 0; n <= simdisk_log(t.disk) && ok; n++) {
		for (unsigned how = 0; how < SIM_CUTS && ok; how++)
			if (sim_below(&rng, 100) < share)
				ok = trial_cut(&t, n, (enum sim_cut)how, sim_rand(&rng));
		if (ok && sim_below(&rng, 100) < share)
			ok = trial_kill(&t, n, sim_rand(&rng));
		if (ok && sim_below(&rng, 1000) < share / 2)
			ok = trial_cut_recovery(&t, n, SIM_SHUFFLE, sim_rand(&rng));
	}
	trial_free(&t);
	return ok;
}

static const struct script *find_script(const char *name)
{
	for (size_t k = 0; k < n_scripts; k++)
		if (!strcmp(scripts[k].name, name))
			return &scripts[k];
	fprintf(stderr, "sim: no script %s\n", name);
	exit(2);
}

static bool repeat(const struct options *o)
{
	struct trial t;

	if (o->script)
		script_run(&t, find_script(o->script));
	else
		script_random(&t, o->seed, o->trace);
	if (o->trace)
		for (size_t n = 0; n < simdisk_log(t.disk); n++) {
			char line[120];
			simdisk_describe(t.disk, n, line);
			fprintf(stderr, "%5zu %s\n", n, line);
		}
	bool ok = look(&t, o->kind, o->at, o->how, o->choice);
	trial_free(&t);
	return ok;
}

static bool run(const struct options *o)
{
	bool ok = true;

	if (o->one)
		return repeat(o) || complain();
	if (!o->random_only) {
		printf("every cut of %zu scripts, of the ways to lose what was not synced %u of 100\n", n_scripts, o->scale);
		for (size_t k = 0; k < n_scripts && ok; k++)
			ok = all_cuts(&scripts[k], o->scale, o->first + k) || complain();
		printf("  %llu disks looked at\n", ULL(trial_count()));
	}
	if (!o->fixed_only) {
		printf("%llu random scripts, seeds from %llu on\n", ULL(o->scripts), ULL(o->first));
		fflush(stdout);
		for (uint64_t k = 0; k < o->scripts && ok; k++)
			ok = random_cuts(o->first + k) || complain();
	}
	printf("%llu disks looked at: %s\n", ULL(trial_count()), ok ? "ok" : "failed");
	return ok;
}

static enum sim_cut cut_named(const char *name)
{
	for (unsigned k = 0; k < SIM_CUTS; k++)
		if (!strcmp(trial_cut_names[k], name))
			return (enum sim_cut)k;
	fprintf(stderr, "sim: no such cut: %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },   { "ring", required_argument, NULL, 'r' },
		{ "kind", required_argument, NULL, 'k' },   { "at", required_argument, NULL, 'a' },
		{ "how", required_argument, NULL, 'h' },    { "choice", required_argument, NULL, 'c' },
		{ "script", required_argument, NULL, 'S' }, { "scripts", required_argument, NULL, 'n' },
		{ "long", no_argument, NULL, 'l' },         { "trace", no_argument, NULL, 't' },
		{ "fixed", no_argument, NULL, 'F' },        { "random", no_argument, NULL, 'R' },
		{ "first", required_argument, NULL, 'f' },  { "share", required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .kind = "cut", .scripts = 1000, .scale = 15 };
	int c;

	if (getrandom(&o.first, sizeof o.first, 0) != (ssize_t)sizeof o.first)
		return 1;
	o.first %= 1000000000;
	if (getenv("CLOISON_TEST_SHORT")) {
		o.scripts = 60;
		o.scale = 1;
	}
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's': o.seed = strtoull(optarg, NULL, 10); o.one = true; break;
		case 'r': o.ring = (unsigned)strtoul(optarg, NULL, 10); break; /* follows from the seed; for people */
		case 'k': o.kind = optarg; break;
		case 'a': o.at = strtoull(optarg, NULL, 10); break;
		case 'h': o.how = cut_named(optarg); break;
		case 'c': o.choice = strtoull(optarg, NULL, 10); break;
		case 'S': o.script = optarg; break;
		case 'n': o.scripts = strtoull(optarg, NULL, 10); break;
		case 'l': o.scripts = 20000; o.scale = 100; break;
		case 'f': o.first = strtoull(optarg, NULL, 10); break;
		case 'p': o.scale = (unsigned)strtoul(optarg, NULL, 10); break;
		case 't': o.trace = true; break;
		case 'F': o.fixed_only = true; break;
		case 'R': o.random_only = true; break;
		default:
			fprintf(stderr, "usage: %s [--long] [--first SEED] [--scripts N] [--share PERCENT] [--fixed | --random]\n"
					"       %s [--script NAME] --seed N --kind K --at N --how H --choice N [--trace]\n",
				argv[0], argv[0]);
			return 2;
		}
	}
	/* Thousands of volumes are opened, each for a moment: no huge pages for them, and memory is kept. */
	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	(void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
	trial_init();
	bool ok = run(&o);
	trial_done();
	if (ok && secret_live()) {
		fprintf(stderr, "sim: %zu secrets are left\n", secret_live());
		ok = false;
	}
	return ok ? 0 : 1;
}
