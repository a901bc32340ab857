/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fault injection: every call to the backing directory fails in turn, in each of the ways that a disk has, once or from
 * then on, while short scripts run. A failure prints a line that repeats it.
 */
#include "fs/seal.h"
#include "tests/fault/faulty.h"
#include "tests/fault/script.h"
#include "tests/model/memstore.h"
#include "tests/model/tempdir.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A way to fail: which kinds of calls can do so on a real disk. */
struct way {
	const char *name;
	int err;
	bool lasting;
	enum faulty_part part;
	bool reads, writes, only_data; /* calls that only look; that change something; writes of data */
	unsigned stride;               /* every so manyth call in the ordinary run */
};

static const struct way ways[] = {
	{ .name = "eio", .err = EIO, .reads = true, .writes = true, .stride = 1 },
	{ .name = "eio-lasting", .err = EIO, .lasting = true, .reads = true, .writes = true, .stride = 3 },
	{ .name = "eio-half", .err = EIO, .part = FAULTY_HALF, .only_data = true, .stride = 3 },
	{ .name = "eio-all", .err = EIO, .part = FAULTY_ALL, .only_data = true, .stride = 5 },
	{ .name = "enospc", .err = ENOSPC, .writes = true, .stride = 2 },
	{ .name = "enospc-half", .err = ENOSPC, .part = FAULTY_HALF, .only_data = true, .stride = 5 },
	{ .name = "enospc-lasting", .err = ENOSPC, .lasting = true, .writes = true, .stride = 5 },
	{ .name = "edquot", .err = EDQUOT, .writes = true, .stride = 5 },
	{ .name = "edquot-lasting", .err = EDQUOT, .lasting = true, .writes = true, .stride = 7 },
	{ .name = "eintr", .err = EINTR, .reads = true, .writes = true, .stride = 7 },
	{ .name = "enomem", .err = ENOMEM, .reads = true, .writes = true, .stride = 7 },
	{ .name = "emfile", .err = EMFILE, .reads = true, .stride = 7 },
};

struct options {
	const char *script, *way;
	unsigned long call;
	unsigned stride; /* times that of each way */
	bool all;        /* every call in every way */
	unsigned from;   /* first call of a stride: moves from run to run */
	bool memory, directory, trace, in_format, check;
	unsigned max_failures;
};

/* What kind each call of a script is, when nothing fails. */
struct calls {
	enum wrap_kind *kinds;
	unsigned long n, cap;
};

static unsigned long runs, failures;

static unsigned long hits(const struct trouble *t)
{
	return ((const struct faulty *)t->arg)->hits;
}

static void pause_it(struct trouble *t, bool on)
{
	((struct faulty *)t->arg)->paused = on;
}

static bool grave(const struct trouble *t)
{
	const struct faulty *f = t->arg;
	enum wrap_kind kind = f->kind;

	/*
	 * What cannot be written home stays in the journal, and is as durable as before; so is what finds no room, or no memory, when it is
	 * synced there.
	 */
	bool journal = !strcmp(f->name, "journal"), waits = f->err == ENOSPC || f->err == EDQUOT || f->err == ENOMEM;
	if (kind == WRAP_PWRITE || waits)
		return journal && (kind == WRAP_PWRITE || kind == WRAP_SYNC);
	return kind == WRAP_SYNC || kind == WRAP_SYNC_DIR || kind == WRAP_SYNC_ALL;
}

static bool harmless(const struct trouble *t)
{
	return ((const struct faulty *)t->arg)->kind == WRAP_LOCK;
}

/* memstore, or a directory that goes away. */
static bool run_one(const struct options *o, const struct script *s, struct faulty *f, const struct way *w, bool directory)
{
	struct trouble t = { .in_format = o->in_format, .lasting = w && w->lasting, .err = w ? w->err : EIO, .hits = hits,
			     .grave = grave, .harmless = harmless, .pause = pause_it, .arg = f };
	char path[TEMPDIR_MAX] = "";
	struct store *below;

	if (!directory) {
		below = memstore_new();
	} else if (tempdir_make(path) || store_dir_open(path, &below)) {
		fprintf(stderr, "fault: no directory to work in\n");
		return false;
	}
	t.store = faulty_new(below, f);
	bool ok = o->check ? script_check(s, &t, o->trace) : script_run(s, &t, o->trace);
	t.store->ops->free(t.store);
	below->ops->free(below);
	if (*path)
		tempdir_remove(path);
	runs++;
	return ok;
}

static void note(void *arg, unsigned long call, const struct wrap_call *c)
{
	struct calls *l = arg;

	if (call > l->cap) {
		l->cap = call * 2;
		l->kinds = realloc(l->kinds, l->cap * sizeof *l->kinds);
		if (!l->kinds)
			abort();
	}
	l->kinds[call - 1] = c->kind;
	l->n = call;
}

static bool can_fail(const struct way *w, enum wrap_kind kind)
{
	if (w->only_data)
		return kind == WRAP_PWRITE;
	if (w->err == EMFILE)
		return kind == WRAP_OPEN;
	return wrap_kind_changes(kind) ? w->writes : w->reads;
}

static void run_way(const struct options *o, const struct script *s, const struct calls *calls, const struct way *w, bool directory)
{
	unsigned stride = o->all ? 1 : w->stride * o->stride;
	unsigned long first = o->call ? o->call : 1 + o->from % stride, last = o->call ? o->call : calls->n;

	for (unsigned long call = first; call <= last; call += stride) {
		struct faulty f = { .fail_at = call, .err = w->err, .from_then_on = w->lasting, .part = w->part };
		if (!can_fail(w, calls->kinds[call - 1]))
			continue;
		bool ok = run_one(o, s, &f, w, directory);
		if (ok && !f.hits) {
			fprintf(stderr, "fault: call %lu of script %s was not reached\n", call, s->name);
			ok = false;
		}
		if (ok)
			continue;
		fprintf(stderr, "fault: FAILED, the call was %s of %s: repeat with: --script %s%s --way %s --call %lu%s --trace\n",
			wrap_kind_name(f.kind), f.name, s->name, o->in_format ? " --format" : o->check ? " --fsck" : "", w->name, call,
			directory ? " --directory" : "");
		if (++failures >= o->max_failures)
			exit(1);
	}
}

static void run_script(const struct options *o, const struct script *s, bool directory)
{
	struct calls calls = { 0 };
	struct faulty f = { .seen = note, .seen_arg = &calls };
	unsigned long before = runs;

	if (!run_one(o, s, &f, NULL, directory)) {
		fprintf(stderr, "fault: script %s fails without a fault\n", s->name);
		exit(1);
	}
	for (size_t k = 0; k < CL_ARRAY_LEN(ways); k++)
		if (!o->way || !strcmp(o->way, ways[k].name))
			run_way(o, s, &calls, &ways[k], directory);
	printf("%s%s: %lu calls, %lu runs\n", s->name, directory ? " in a directory" : o->in_format ? " with mkfs" : o->check ? " with fsck" : "",
	       calls.n, runs - before);
	fflush(stdout);
	free(calls.kinds);
}

static void run_all(struct options *o)
{
	for (size_t k = 0; k < n_scripts; k++)
		if (!o->script || !strcmp(o->script, scripts[k].name))
			run_script(o, &scripts[k], o->directory);
	if (o->script || o->directory)
		return;
	/* A directory does the same as memory: a few calls show that. */
	o->stride *= 20;
	for (size_t k = 0; k < n_scripts && !o->memory; k++)
		run_script(o, &scripts[k], true);
	o->in_format = true;
	run_script(o, &scripts[0], false);
	o->in_format = false;
	o->check = true;
	for (size_t k = 0; k < n_scripts; k++)
		run_script(o, &scripts[k], false);
}

static int usage(const char *argv0)
{
	fprintf(stderr, "usage: %s [--long] [--script NAME] [--way NAME] [--call N] [--format | --fsck] [--directory] [--trace] [--go-on]\n", argv0);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "script", required_argument, NULL, 's' }, { "way", required_argument, NULL, 'w' },
		{ "call", required_argument, NULL, 'c' },   { "format", no_argument, NULL, 'f' },
		{ "directory", no_argument, NULL, 'd' },    { "trace", no_argument, NULL, 'v' },
		{ "long", no_argument, NULL, 'l' },         { "go-on", no_argument, NULL, 'g' },
		{ "fsck", no_argument, NULL, 'k' },
		{ NULL, 0, NULL, 0 },
	};
	bool quick = getenv("CLOISON_TEST_SHORT");
	struct options o = { .stride = quick ? 60 : 7, .memory = getenv("CLOISON_TEST_MEMORY"), .max_failures = 1 };
	int c;

	if (o.memory) /* valgrind */
		o.stride = 700;
	/* Other calls in each run; the line about a failure names the call. */
	if (getrandom(&o.from, sizeof o.from, 0) != (ssize_t)sizeof o.from)
		o.from = 0;
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		switch (c) {
		case 's':
			o.script = optarg;
			break;
		case 'w':
			o.way = optarg;
			break;
		case 'c':
			o.call = strtoul(optarg, NULL, 0);
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
			o.all = true;
			break;
		case 'k':
			o.check = true;
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
	run_all(&o);
	seal_done();
	printf("%lu runs, %lu failures\n", runs, failures);
	return failures ? 1 : 0;
}
