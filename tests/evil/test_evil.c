/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hostile store: whatever is changed in the backing directory, a reader gets the right data or an error, never anything
 * else. The seed that is printed, given with --seed, repeats a run. --long: every byte, also those that nobody looks at,
 * with all checks after each, and all pairs of files; it takes hours.
 */
#include "tests/evil/trial.h"

#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* How much of it, where tests have little time. */
static void set_scale(struct trial_options *o)
{
	*o = (struct trial_options){ .step = 1, .whole = 32, .check = 128, .write = 256, .share = 10 };
	if (getenv("CLOISON_TEST_SHORT"))
		*o = (struct trial_options){ .step = 61, .whole = 8, .check = 16, .write = 32, .share = 1 };
	if (getenv("CLOISON_TEST_MEMORY")) /* valgrind */
		*o = (struct trial_options){
			.step = 1999, .whole = 4, .check = 4, .write = 16, .share = 0, .few = true
		};
}

int main(int argc, char **argv)
{
	static const struct option names[] = { { "seed", 1, NULL, 's' },
					       { "step", 1, NULL, 'p' },
					       { "share", 1, NULL, 'h' },
					       { "long", 0, NULL, 'l' },
					       { NULL, 0, NULL, 0 } };
	static struct scene s;
	struct trial_options o;
	uint64_t seed;
	int c;

	set_scale(&o);
	if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
		return EXIT_FAILURE;
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1)
		switch (c) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			o.step = (unsigned)CL_MAX(atoi(optarg), 1);
			break;
		case 'h':
			o.share = (unsigned)atoi(optarg);
			break;
		case 'l':
			o = (struct trial_options){
				.step = 1, .whole = 1, .check = 1, .write = 8, .share = 100, .all = true
			};
			break;
		default:
			return EXIT_FAILURE;
		}
	o.seed = seed;
	/* Each variant takes and gives back the same few megabytes. */
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 512 << 20);
	printf("seed %llu\n", (unsigned long long)o.seed);
	flip_all(&o);
	scene_make(&s);
	swap_all(&s, &o);
	scene_free(&s);
	scene_done();
	return trial_failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
