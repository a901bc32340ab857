/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Crashes: a child opens the volume, works on it and dies, at some operation or in the middle of some write. The parent
 * learns what it did by doing the same in the reference alone, opens the volume, and compares. Nothing written to the
 * journal since the last sync: the volume is exactly what it was then. Otherwise: what has not changed since is there.
 */
#include "tests/model/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUND_MAX 600u

/* What child and parent share. */
struct board {
	struct cut cut;
	_Atomic uint64_t synced; /* last operation that is durable for sure */
	_Atomic uint64_t begun;  /* last operation that was begun */
};

struct child {
	struct board *board;
	struct drive *d;
};

static void synced(void *arg)
{
	struct child *c = arg;

	if (!c->d->fs)
		return;
	atomic_store(&c->board->cut.journal, false);
	atomic_store(&c->board->synced, c->d->ref->op);
}

static void forget_access_times(struct drive *d)
{
	for (size_t k = 0; k < d->ref->sets[REF_ALL].n; k++)
		d->ref->sets[REF_ALL].v[k]->unknown |= REF_ATIME;
}

/* Only by _exit: a crash has no tidy end. */
static void live_and_die(struct volume *v, struct drive *d, struct board *board, uint64_t n, long calls)
{
	struct child c = { board, d };

	volume_renew_key(v);
	v->store = cutstore_new(v->dir, &board->cut);
	d->fs = volume_open(v);
	d->ref->blind = false;
	d->synced = synced;
	d->synced_arg = &c;
	drive_verify(d);
	drive_expect(d, fs_sync(d->fs), 0);
	synced(&c);
	atomic_store(&board->cut.left, calls);
	for (uint64_t k = 0; k < n; k++) {
		atomic_store(&board->begun, d->ref->op + 1);
		drive_step(d);
	}
	_exit(CUT_EXIT);
}

static void new_volume(struct volume *v, struct drive *d)
{
	volume_new(v, false);
	if (d->ref)
		ref_free(d->ref);
	d->ref = ref_new(0755);
	d->n_generations = 0;
}

void run_crash(const struct profile *p, uint64_t seed, unsigned rounds, bool trace)
{
	struct board *board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct volume v;
	struct drive d;
	unsigned exact = 0;

	if (board == MAP_FAILED)
		exit(1);
	drive_init(&d, p, seed);
	new_volume(&v, &d);
	for (unsigned round = 0; round < rounds; round++) {
		uint64_t n = 1 + drive_below(&d, ROUND_MAX);
		long calls = drive_chance(&d, 70) ? 1 + (long)drive_below(&d, 3000) : -1;
		bool threads = drive_chance(&d, 50);
		int status = 0;

		memset(board, 0, sizeof *board);
		atomic_store(&board->cut.left, -1);
		v.cfg.no_threads = !threads;
		d.trace = trace;
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0)
			live_and_die(&v, &d, board, n, calls);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != CUT_EXIT) {
			snprintf(d.what, sizeof d.what, "round %u", round);
			drive_fail(&d, "the child ended with status %x", (unsigned)status);
		}
		uint64_t safe = atomic_load(&board->synced), begun = atomic_load(&board->begun);
		bool same = !atomic_load(&board->cut.journal);
		d.trace = false;
		d.ref->blind = true;
		forget_access_times(&d); /* the child has read everything */
		while (d.ref->op < (same ? safe : begun))
			drive_step(&d);
		d.ref->blind = false;
		ref_end_session(d.ref);
		v.cfg.no_threads = true;
		d.fs = volume_open(&v);
		if (same)
			drive_verify(&d);
		else
			drive_verify_since(&d, safe);
		volume_close(d.fs);
		d.fs = NULL;
		exact += same;
		if (same)
			continue;
		volume_free(&v);
		new_volume(&v, &d);
	}
	printf("  %u crashes, %u of them compared in whole\n", rounds, exact);
	drive_done(&d);
	volume_free(&v);
	munmap(board, sizeof *board);
}
