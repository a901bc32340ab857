/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every allocation of the engine fails in turn, once or from then on, while short scripts run: an error for the program or a result that
 * is right all the same, nothing lost, nothing leaked. A failure prints a line that repeats it.
 */
#include "fs/seal.h"
#include "tests/fault/failing_alloc.h"
#include "tests/fault/script.h"
#include "tests/model/memstore.h"
#include "tests/model/tempdir.h"

#include <getopt.h>
#include <pthread.h>
#include <string.h>

struct options {
	const char *script;
	unsigned long call;
	unsigned stride, max_failures;
	bool lasting, directory, in_format, trace;
};

static unsigned long runs, failures;

static unsigned long hits(const struct trouble *t)
{
	(void)t;
	return failing_alloc.hits;
}

static void pause_it(struct trouble *t, bool on)
{
	(void)t;
	failing_alloc.armed = !on;
}

/* OpenSSL's contexts do not say why there is none. */
static bool allowed(const struct trouble *t, int err)
{
	(void)t;
	return err == -ENOMEM || err == -EIO;
}

struct one {
	const struct options *o;
	const struct script *script;
	bool ok;
};

/* In a thread of its own: what threads keep for themselves is made anew in each. */
static void *run_thread(void *arg)
{
	struct one *one = arg;
	struct trouble t = { .in_format = one->o->in_format, .lasting = failing_alloc.from_then_on, .err = ENOMEM, .allowed = allowed,
			     .hits = hits, .pause = pause_it };
	char path[TEMPDIR_MAX] = "";

	if (!one->o->directory) {
		t.store = memstore_new();
	} else if (tempdir_make(path) || store_dir_open(path, &t.store)) {
		fprintf(stderr, "fault: no directory to work in\n");
		return NULL;
	}
	one->ok = script_run(one->script, &t, one->o->trace);
	failing_alloc.armed = false;
	t.store->ops->free(t.store);
	if (*path)
		tempdir_remove(path);
	return NULL;
}

static bool run_one(const struct options *o, const struct script *s, unsigned long call, bool lasting)
{
	struct one one = { .o = o, .script = s };
	pthread_t thread;

	failing_alloc = (struct failing_alloc){ .fail_at = call, .from_then_on = lasting };
	if (pthread_create(&thread, NULL, run_thread, &one))
		return false;
	pthread_join(thread, NULL);
	runs++;
	return one.ok;
}

static void run_script(const struct options *o, const struct script *s, bool lasting)
{
	unsigned stride = o->stride * (lasting ? 5 : 1);

	if (!run_one(o, s, 0, false)) {
		fprintf(stderr, "fault: script %s fails without a fault\n", s->name);
		exit(1);
	}
	unsigned long n = failing_alloc.calls, before = runs;
	for (unsigned long call = o->call ? o->call : 1; call <= (o->call ? o->call : n); call += stride) {
		if (run_one(o, s, call, lasting) && failing_alloc.hits)
			continue;
		fprintf(stderr, "fault: FAILED%s: repeat with: --script %s%s%s%s --call %lu --trace\n",
			failing_alloc.hits ? "" : ", not reached", s->name, o->in_format ? " --format" : "",
			o->directory ? " --directory" : "", lasting ? " --lasting" : "", call);
		if (++failures >= o->max_failures)
			exit(1);
	}
	printf("%s%s%s: %lu allocations, %lu runs\n", s->name, o->in_format ? " with mkfs" : "", lasting ? ", lasting" : "", n,
	       runs - before);
	fflush(stdout);
}

static void run_all(struct options *o, bool memory)
{
	for (size_t k = 0; k < n_scripts; k++) {
		if (o->script && strcmp(o->script, scripts[k].name))
			continue;
		run_script(o, &scripts[k], o->lasting);
		if (!o->script)
			run_script(o, &scripts[k], true);
	}
	if (o->script)
		return;
	o->in_format = true;
	run_script(o, &scripts[0], false);
	o->in_format = false;
	o->directory = true;
	if (!memory) /* valgrind knows no openat2(2) */
		run_script(o, &scripts[0], false);
}

static int usage(const char *argv0)
{
	fprintf(stderr, "usage: %s [--long] [--script NAME] [--call N] [--lasting] [--format] [--directory] [--trace] [--go-on]\n", argv0);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "script", required_argument, NULL, 's' }, { "call", required_argument, NULL, 'c' },
		{ "lasting", no_argument, NULL, 'a' },      { "format", no_argument, NULL, 'f' },
		{ "directory", no_argument, NULL, 'd' },    { "trace", no_argument, NULL, 'v' },
		{ "long", no_argument, NULL, 'l' },         { "go-on", no_argument, NULL, 'g' },
		{ NULL, 0, NULL, 0 },
	};
	bool memory = getenv("CLOISON_TEST_MEMORY");
	struct options o = { .stride = memory ? 397 : getenv("CLOISON_TEST_SHORT") ? 53 : 7, .max_failures = 1 };
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		switch (c) {
		case 's':
			o.script = optarg;
			break;
		case 'c':
			o.call = strtoul(optarg, NULL, 0);
			break;
		case 'a':
			o.lasting = true;
			break;
		case 'f':
			o.in_format = true;
			break;
		case 'd':
			o.directory = true;
			break;
		case 'v':
			o.trace = true;
			break;
		case 'l':
			o.stride = 1;
			break;
		case 'g':
			o.max_failures = 1000;
			break;
		default:
			return usage(argv[0]);
		}
	if (optind < argc)
		return usage(argv[0]);
	if (seal_init()) {
		fprintf(stderr, "fault: the cipher's self-test fails\n");
		return 1;
	}
	run_all(&o, memory);
	seal_done();
	printf("%lu runs, %lu failures\n", runs, failures);
	return failures ? 1 : 0;
}
