/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Model-based test: random operations on the engine and on a reference in memory, compared after each. Fixed seeds,
 * and a fresh one that is printed. What failed is repeated with the --seed, --profile and --mode that the lines before
 * the complaint name.
 */
#include "tests/model/run.h"

#include "common/log.h"
#include "fs/seal.h"

#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define GIB ((uint64_t)1 << 30)
#define OPS 20000u /* of a profile and seed; crash rounds and threads take their number from it */

static const struct profile profiles[] = {
	{ .name = "mixed", .names = 40, .depth = 20, .big = 4, .sparse = 5, .far = 4 * GIB,
	  .max_inodes = 400, .max_pages = 4000, .make = 20, .remove = 10, .rename = 8, .attr = 8,
	  .xattr = 8, .data = 35, .cut = 6, .list = 2, .sync = 4 },
	{ .name = "large", .names = 6, .depth = 0, .big = 40, .sparse = 2, .far = GIB,
	  .max_inodes = 12, .max_pages = 9000, .make = 4, .remove = 2, .rename = 2, .attr = 1,
	  .xattr = 1, .data = 70, .cut = 10, .list = 0, .sync = 6 },
	{ .name = "sparse", .names = 8, .depth = 0, .big = 3, .sparse = 60, .far = 40 * GIB,
	  .max_inodes = 20, .max_pages = 4000, .make = 4, .remove = 2, .rename = 1, .attr = 1,
	  .xattr = 0, .data = 70, .cut = 16, .list = 0, .sync = 6 },
	{ .name = "names", .names = 6000, .depth = 0, .big = 0, .sparse = 0, .far = 0,
	  .max_inodes = 5000, .max_pages = 1000, .make = 60, .remove = 18, .rename = 10, .attr = 2,
	  .xattr = 1, .data = 3, .cut = 1, .list = 1, .sync = 1 },
	{ .name = "deep", .names = 12, .depth = 80, .big = 0, .sparse = 0, .far = 0,
	  .max_inodes = 1500, .max_pages = 500, .make = 45, .remove = 10, .rename = 30, .attr = 4,
	  .xattr = 2, .data = 4, .cut = 1, .list = 2, .sync = 2 },
	{ .name = "xattrs", .names = 10, .depth = 10, .big = 0, .sparse = 0, .far = 0,
	  .max_inodes = 40, .max_pages = 300, .make = 8, .remove = 4, .rename = 2, .attr = 20,
	  .xattr = 55, .data = 6, .cut = 1, .list = 1, .sync = 3 },
};

static atomic_bool complaints;

struct options {
	uint64_t seed, ops;
	const char *profile, *mode;
	bool given, trace, memory;
	unsigned scale, threads; /* of the suite's numbers, in hundredths; of threads */
};

static bool wanted(const struct options *o, const struct profile *p, const char *mode)
{
	return (!o->profile || !strcmp(o->profile, p->name)) && (!o->mode || !strcmp(o->mode, mode));
}

static void round_of(const struct options *o, uint64_t seed, uint64_t ops)
{
	ops = ops * o->scale / 100;
	for (size_t k = 0; k < CL_ARRAY_LEN(profiles); k++) {
		const struct profile *p = &profiles[k];
		/* Every other one with the engine's own thread; the seed decides, so that it can be repeated. */
		bool background = (seed + k) % 2;
		uint64_t n = o->ops ? o->ops : !strcmp(p->name, "large") ? ops / 4 + 1 : ops;
		if (wanted(o, p, "plain")) {
			printf("plain: profile %s, seed %llu, %llu operations\n", p->name, (unsigned long long)seed,
			       (unsigned long long)n);
			fflush(stdout);
			run_plain(p, seed, n, background, o->trace);
		}
		if (wanted(o, p, "crash") && !o->memory) {
			unsigned rounds = (unsigned)(o->ops ? o->ops : ops / 2500 + 1);
			printf("crash: profile %s, seed %llu\n", p->name, (unsigned long long)seed);
			fflush(stdout);
			run_crash(p, seed, rounds, o->trace);
		}
		if (wanted(o, p, "threads")) {
			unsigned threads = o->threads ? o->threads : seed % 3 == 1 ? 16 : 4 + (unsigned)(seed % 5);
			n = n / 3 / threads + 1;
			printf("threads: profile %s, seed %llu, %u threads, %llu operations each\n", p->name,
			       (unsigned long long)seed, threads, (unsigned long long)n);
			fflush(stdout);
			run_threads(p, seed, threads, n);
		}
	}
	if (!o->profile && (!o->mode || !strcmp(o->mode, "chaos"))) {
		uint64_t n = o->ops ? o->ops : ops;
		unsigned threads = o->threads ? o->threads : seed % 3 == 1 ? 16 : 6;
		printf("chaos: seed %llu, %u threads, %llu operations each\n", (unsigned long long)seed, threads,
		       (unsigned long long)n);
		fflush(stdout);
		run_chaos(&profiles[0], seed, threads, n);
	}
}

/* What the engine takes for damage is a failure, also where no operation meets it. */
static void log_line_seen(enum log_level level, const char *line, void *arg)
{
	(void)arg;
	if (level > LOG_LVL_ERR)
		return;
	fprintf(stderr, "model: the engine complains: %s\n", line);
	atomic_store(&complaints, true);
}

static int usage(const char *argv0)
{
	fprintf(stderr,
		"usage: %s [--seed N] [--ops N] [--profile NAME] [--mode plain|crash|threads|chaos] [--threads N] "
		"[--short | --long] "
		"[--memory] [--trace]\n",
		argv0);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "seed", required_argument, NULL, 's' },    { "ops", required_argument, NULL, 'n' },
		{ "profile", required_argument, NULL, 'p' }, { "mode", required_argument, NULL, 'm' },
		{ "threads", required_argument, NULL, 't' }, { "short", no_argument, NULL, 'q' },
		{ "long", no_argument, NULL, 'l' },          { "trace", no_argument, NULL, 'v' },
		{ "memory", no_argument, NULL, 'M' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .scale = getenv("CLOISON_TEST_SHORT") ? 4 : 100 }; /* for slow builds of the test suite */
	uint64_t fresh = 0;
	int c;

	if (getenv("CLOISON_TEST_MEMORY")) { /* valgrind knows no openat2(2) */
		o.memory = true;
		volume_in_memory();
	}

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		switch (c) {
		case 's':
			o.seed = strtoull(optarg, NULL, 0);
			o.given = true;
			break;
		case 'n':
			o.ops = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			o.profile = optarg;
			break;
		case 'm':
			o.mode = optarg;
			break;
		case 't':
			o.threads = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'q':
			o.scale = 4;
			break;
		case 'l':
			o.scale = 2000;
			break;
		case 'v':
			o.trace = true;
			break;
		case 'M':
			o.memory = true;
			volume_in_memory();
			break;
		default:
			return usage(argv[0]);
		}
	if (optind < argc)
		return usage(argv[0]);
	log_hook(log_line_seen, NULL);
	int err = seal_init();
	if (err) {
		fprintf(stderr, "model: seal_init: %s\n", strerror(-err));
		return 1;
	}
	if (o.given) {
		round_of(&o, o.seed, OPS);
	} else {
		if (getrandom(&fresh, sizeof fresh, 0) != (ssize_t)sizeof fresh)
			return 1;
		fresh %= 1000000;
		printf("fresh seed: %llu\n", (unsigned long long)fresh);
		round_of(&o, 1, OPS);
		round_of(&o, 2, OPS);
		round_of(&o, fresh, OPS);
	}
	seal_done();
	if (secret_live()) {
		fprintf(stderr, "model: %zu secrets are left\n", secret_live());
		return 1;
	}
	puts(complaints ? "failed" : "ok");
	return complaints;
}
