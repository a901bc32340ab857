/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs the fuzz targets without a fuzzer: each over its corpus and some mutations of it, in a process of its own.
 * The seed of the mutations is printed; an input that ends a target is kept as a file, with the line that runs it
 * again.
 *
 *     test_fuzz [--seed N] [--target NAME]      mutations of each input, half a second of them for each target
 *     test_fuzz --mutations N ...               that many, however long it takes
 *     test_fuzz --run TARGET FILE...            these inputs, in this process
 *     test_fuzz --seeds DIR                     writes what the targets make as first inputs to DIR/TARGET
 */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { INPUT_MAX = 65536, INPUTS_MAX = 4096, LIMIT = 120 };

static const struct fuzz_target *const targets[] = { &fuzz_acl,     &fuzz_dir,   &fuzz_engine,      &fuzz_inode,
						     &fuzz_journal, &fuzz_label, &fuzz_opts,        &fuzz_root,
						     &fuzz_tpm,     &fuzz_tree,  &fuzz_volume_json, &fuzz_xattr };

/* What the parent wants to know of a child that is gone. */
struct shared {
	unsigned long runs;
	size_t len;
	uint8_t input[INPUT_MAX];
};

struct input {
	uint8_t *p;
	size_t len;
};

struct corpus {
	size_t n;
	struct input v[INPUTS_MAX];
};

struct options {
	uint64_t seed;
	unsigned long mutations;
	size_t stride; /* every how manieth input of the corpus */
	double seconds; /* for the mutations of one target */
	const char *only;
};

_Noreturn static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static const struct fuzz_target *find(const char *name)
{
	for (size_t i = 0; i < CL_ARRAY_LEN(targets); i++)
		if (!strcmp(targets[i]->name, name))
			return targets[i];
	fprintf(stderr, "there is no target %s\n", name);
	exit(EXIT_FAILURE);
}

static struct input read_input(const char *path)
{
	struct input in = { malloc(INPUT_MAX), 0 };
	FILE *f = fopen(path, "rb");

	if (!f || !in.p)
		die(path);
	in.len = fread(in.p, 1, INPUT_MAX, f);
	if (ferror(f))
		die(path);
	fclose(f);
	return in;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_input(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* Sorted, so that a seed means the same on every machine. */
static void load(const struct fuzz_target *t, struct corpus *c)
{
	const char *top = getenv("srcdir");
	struct dirent **names;
	char dir[512], path[1024];

	snprintf(dir, sizeof dir, "%s/tests/fuzz/corpus/%s", top ? top : ".", t->name);
	int n = scandir(dir, &names, is_input, by_name);
	if (n <= 0)
		die(dir);
	for (int i = 0; i < n && c->n < INPUTS_MAX; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
		c->v[c->n++] = read_input(path);
		free(names[i]);
	}
	free(names);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run_one(const struct fuzz_target *t, struct shared *s, const uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1); /* of its own length, so that a sanitizer sees its end */

	if (!copy)
		die("malloc");
	if (len) {
		memcpy(copy, p, len);
		memcpy(s->input, p, len);
	}
	s->len = len;
	alarm(LIMIT); /* to hang is a finding as well */
	fuzz_run(t, copy, len);
	s->runs++;
	free(copy);
}

/* The child. Mutations go round the corpus, so that a bound on their number or time cuts all inputs alike. */
static void run_target(const struct fuzz_target *t, const struct options *o, struct shared *s)
{
	static struct corpus c;
	static uint8_t buf[INPUT_MAX];
	uint64_t state = o->seed;

	load(t, &c);
	fuzz_init();
	for (size_t i = 0; i < c.n; i += o->stride)
		run_one(t, s, c.v[i].p, CL_MIN(c.v[i].len, t->max_len));
	double end = now() + o->seconds;
	for (unsigned long m = 0; m < o->mutations; m++)
		for (size_t i = 0; i < c.n && now() < end; i++) {
			const struct input *other = &c.v[mutate_rand(&state) % c.n];
			size_t len = CL_MIN(c.v[i].len, t->max_len);
			memcpy(buf, c.v[i].p, len);
			len = mutate(&state, buf, len, t->max_len, other->p, other->len);
			run_one(t, s, buf, len);
		}
}

static void keep(const struct fuzz_target *t, const struct shared *s, const char *program)
{
	char name[64];

	snprintf(name, sizeof name, "fuzz-%s.failed", t->name);
	FILE *f = fopen(name, "wb");
	if (!f || fwrite(s->input, 1, s->len, f) != s->len || fclose(f))
		die(name);
	printf("%s: kept in %s; to run it again: %s --run %s %s\n", t->name, name, program, t->name, name);
}

/* True when it came through. */
static bool try(const struct fuzz_target *t, const struct options *o, struct shared *s, const char *program)
{
	int status;

	s->runs = 0;
	s->len = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		run_target(t, o, s);
		exit(EXIT_SUCCESS);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	printf("%s: %lu runs, %s\n", t->name, s->runs, good ? "ok" : "FAILED");
	if (!good)
		keep(t, s, program);
	return good;
}

struct seeds_of {
	const char *dir;
	const struct fuzz_target *target;
};

static void write_seed(void *arg, const char *name, const void *data, size_t len)
{
	const struct seeds_of *to = arg;
	char path[1024];

	snprintf(path, sizeof path, "%s/%s/%s", to->dir, to->target->name, name);
	FILE *f = fopen(path, "wb");
	if (!f || fwrite(data, 1, len, f) != len || fclose(f))
		die(path);
}

static int write_seeds(const char *dir)
{
	char path[1024];

	fuzz_init();
	for (size_t i = 0; i < CL_ARRAY_LEN(targets); i++) {
		struct seeds_of to = { dir, targets[i] };
		snprintf(path, sizeof path, "%s/%s", dir, targets[i]->name);
		if (mkdir(path, 0777) && errno != EEXIST)
			die(path);
		targets[i]->seeds(write_seed, &to);
	}
	return EXIT_SUCCESS;
}

static int run_files(const char *name, char **files)
{
	const struct fuzz_target *t = find(name);

	fuzz_init();
	for (; *files; files++) {
		struct input in = read_input(*files);
		double start = now();
		fuzz_run(t, in.p, CL_MIN(in.len, t->max_len));
		printf("%s: ok, %.0f ms\n", *files, (now() - start) * 1000);
		free(in.p);
	}
	return EXIT_SUCCESS;
}

/* In CI a short run for each build; a long one by hand. */
static struct options defaults(void)
{
	struct options o = { .mutations = 100000, .stride = 1, .seconds = 0.5 };

	if (getenv("CLOISON_TEST_SHORT"))
		o.seconds = 0.05;
	if (getenv("CLOISON_TEST_MEMORY")) {
		o.mutations = 0;
		o.stride = 16;
	}
	if (getrandom(&o.seed, sizeof o.seed, 0) != (ssize_t)sizeof o.seed)
		o.seed = (uint64_t)time(NULL);
	return o;
}

static void read_options(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && !strcmp(argv[i], "--seed")) {
			o->seed = strtoull(argv[i + 1], NULL, 0);
		} else if (i + 1 < argc && !strcmp(argv[i], "--mutations")) {
			o->mutations = strtoul(argv[i + 1], NULL, 0);
			o->seconds = 1e9;
		} else if (i + 1 < argc && !strcmp(argv[i], "--target")) {
			o->only = find(argv[i + 1])->name;
		} else {
			fprintf(stderr, "usage: see the top of tests/fuzz/test_fuzz.c\n");
			exit(EXIT_FAILURE);
		}
	}
}

int main(int argc, char **argv)
{
	struct options o = defaults();
	bool good = true;

	if (argc == 3 && !strcmp(argv[1], "--seeds"))
		return write_seeds(argv[2]);
	if (argc >= 4 && !strcmp(argv[1], "--run"))
		return run_files(argv[2], argv + 3);
	read_options(argc, argv, &o);
	struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		die("mmap");
	printf("seed %ju\n", (uintmax_t)o.seed);
	for (size_t i = 0; i < CL_ARRAY_LEN(targets); i++)
		if (!o.only || !strcmp(o.only, targets[i]->name))
			good &= try(targets[i], &o, s, argv[0]);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
