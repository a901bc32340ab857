/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Repairs: each case of tests/fsck/cases (see tests/fsck/README), and repairs that are cut off at a call that writes.
 */
#include "tests/fsck/fsck.h"

#include "tests/model/cutstore.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { CASES_MAX = 200, LINES_MAX = 24, PATHS_MAX = 64, TEXT_MAX = 32768 };
enum { RUN_N, RUN_P, RUN_Y, RUNS };
static const char *const run_names[RUNS] = { "-n", "-p", "-y" };
static const enum fs_repair levels[RUNS] = { FS_REPAIR_NONE, FS_REPAIR_SAFE, FS_REPAIR_ALL };

struct test_case {
	char name[64], path[900];
	char head[8192]; /* all before the first expect */
	char *damage[LINES_MAX], *lost[PATHS_MAX], *zeroed[PATHS_MAX];
	size_t n_damage, n_lost, n_zeroed;
	int code[RUNS];
	char text[RUNS][TEXT_MAX];
};

static struct test_case *cases[CASES_MAX];
static size_t n_cases;
static bool long_run, update;

static char *copy_of(const char *s)
{
	char *c = strdup(s);

	if (!c)
		abort();
	return c;
}

static struct test_case *read_case(const char *dir, const char *name)
{
	struct test_case *c = calloc(1, sizeof *c);
	char line[1200];
	int run = -1;

	if (!c)
		abort();
	snprintf(c->name, sizeof c->name, "%.*s", (int)(strlen(name) - 5), name);
	snprintf(c->path, sizeof c->path, "%s/%s", dir, name);
	FILE *f = fopen(c->path, "re");
	if (!f) {
		perror(c->path);
		exit(EXIT_FAILURE);
	}
	while (fgets(line, sizeof line, f)) {
		if (!strncmp(line, "expect -", 8)) {
			run = line[8] == 'n' ? RUN_N : line[8] == 'p' ? RUN_P : RUN_Y;
			c->code[run] = atoi(line + 10);
			continue;
		}
		if (run >= 0) {
			strncat(c->text[run], line, TEXT_MAX - strlen(c->text[run]) - 1);
			continue;
		}
		strncat(c->head, line, sizeof c->head - strlen(c->head) - 1);
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "damage ", 7) && c->n_damage < LINES_MAX)
			c->damage[c->n_damage++] = copy_of(line + 7);
		else if (!strncmp(line, "lost ", 5) && c->n_lost < PATHS_MAX)
			c->lost[c->n_lost++] = copy_of(line + 5);
		else if (!strncmp(line, "zeroed ", 7) && c->n_zeroed < PATHS_MAX)
			c->zeroed[c->n_zeroed++] = copy_of(line + 7);
	}
	fclose(f);
	return c;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct test_case *const *)a)->name, (*(struct test_case *const *)b)->name);
}

static void read_cases(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d) {
		perror(dir);
		exit(EXIT_FAILURE);
	}
	while ((e = readdir(d)) && n_cases < CASES_MAX) {
		size_t n = strlen(e->d_name);
		if (n > 5 && !strcmp(e->d_name + n - 5, ".case"))
			cases[n_cases++] = read_case(dir, e->d_name);
	}
	closedir(d);
	qsort(cases, n_cases, sizeof(struct test_case *), by_name);
}

/* Runs the check; its text as the program prints it. Returns the program's exit code. */
static int run_check(struct volume *v, enum fs_repair level, char *text)
{
	v->check =
		(struct fs_check){ .replay = level != FS_REPAIR_NONE, .repair = level, .report = on_finding, .arg = v };
	v->n = 0;
	v->f = (struct fault){ 0 };
	int err = fs_check(v->store, v->c, 2, &v->cfg, &v->check, &v->f);
	ck_assert_msg(!err, "%s", v->f.text);
	*text = '\0';
	for (size_t i = 0; i < v->n; i++) {
		size_t at = strlen(text);
		const struct finding *f = &v->found[i];
		snprintf(text + at, TEXT_MAX - at, "%s%s%s%s\n", f->path, *f->path ? ": " : "", f->text,
			 f->fixed ? " (corrected)" : "");
	}
	return (v->check.ret_fixed ? 1 : 0) | (v->check.ret_errors ? 4 : 0);
}

static bool is_lost(const struct test_case *c, const char *path)
{
	for (size_t i = 0; i < c->n_lost; i++) {
		size_t n = strlen(c->lost[i]);
		if (!strcmp(c->lost[i], path) || (c->lost[i][n - 1] == '*' && !strncmp(c->lost[i], path, n - 1)))
			return true;
	}
	for (size_t i = 0; i < c->n_zeroed; i++)
		if (!strncmp(c->zeroed[i], path, strlen(path)) && c->zeroed[i][strlen(path)] == ' ')
			return true;
	return false;
}

/* Every path that the case does not give up is there as it was. */
static void compare(const struct test_case *c, const struct fsck_tree *before, const struct fsck_tree *after)
{
	for (size_t i = 0; i < before->n; i++) {
		const struct fsck_file *was = &before->files[i];
		if (is_lost(c, was->path))
			continue;
		const struct fsck_file *is = fsck_tree_find(after, was->path);
		ck_assert_msg(is != NULL, "%s: %s is gone", c->name, was->path);
		ck_assert_msg(fsck_file_same(was, is), "%s: %s is not as it was", c->name, was->path);
	}
}

/* A file in lost+found: pages are as they were, or zero. */
static void compare_zeroed(const struct test_case *c, const char *line, const struct fsck_tree *before,
			   const struct fsck_tree *after)
{
	char path[400], there[500];
	unsigned want, zeroed = 0;

	ck_assert_int_eq(sscanf(line, "%399s %u", path, &want), 2);
	const struct fsck_file *was = fsck_tree_find(before, path);
	ck_assert_msg(was != NULL, "%s: %s", c->name, path);
	snprintf(there, sizeof there, "%s/lost+found/#%llu", was->ino >> 48 ? "/upper" : "",
		 (unsigned long long)(was->ino & 0xffffffffffff));
	ck_assert_msg(!fsck_tree_find(after, path), "%s: %s is still there", c->name, path);
	const struct fsck_file *is = fsck_tree_find(after, there);
	ck_assert_msg(is != NULL, "%s: %s is not there", c->name, there);
	const struct fsck_file *lost = fsck_tree_find(after, was->ino >> 48 ? "/upper/lost+found" : "/lost+found");
	ck_assert_uint_eq(lost->mode, S_IFDIR | 0700);
	ck_assert_uint_eq(lost->uid, 0);
	ck_assert_uint_eq(is->size, was->size);
	ck_assert_uint_eq(is->ino, was->ino);
	for (uint64_t at = 0; at < was->size; at += CL_PAGE) {
		size_t n = (size_t)CL_MIN((uint64_t)CL_PAGE, was->size - at);
		if (!memcmp(was->data + at, is->data + at, n))
			continue;
		ck_assert_msg(bytes_are_zero(is->data + at, n), "%s: %s: page %u", c->name, there,
			      (unsigned)(at / CL_PAGE));
		zeroed++;
	}
	ck_assert_msg(zeroed == want, "%s: %s: %u pages are zero, expected %u", c->name, there, zeroed, want);
}

static void write_case(const struct test_case *c)
{
	FILE *f = fopen(c->path, "we");

	ck_assert_ptr_nonnull(f);
	fputs(c->head, f);
	for (unsigned run = 0; run < RUNS; run++)
		fprintf(f, "expect %s %d\n%s", run_names[run], c->code[run], c->text[run]);
	ck_assert_int_eq(fclose(f), 0);
}

static void expect_text(struct test_case *c, unsigned run, int code, const char *text)
{
	if (update) {
		c->code[run] = code;
		strcpy(c->text[run], text);
		return;
	}
	ck_assert_msg(code == c->code[run] && !strcmp(text, c->text[run]), "%s: %s: exit %d:\n%sexpected %d:\n%s",
		      c->name, run_names[run], code, text, c->code[run], c->text[run]);
}

static struct volume *damaged(const struct test_case *c, struct fsck_tree *before)
{
	struct volume *v = fsck_volume();

	fsck_tree_read(v, before);
	for (size_t i = 0; i < c->n_damage; i++)
		fsck_damage(v, c->damage[i]);
	return v;
}

START_TEST(test_case)
{
	struct test_case *c = cases[_i];
	struct fsck_tree before, after;
	struct volume *v = damaged(c, &before);
	char *text = malloc(TEXT_MAX);
	uint64_t hash = fsck_dir_hash(v->dir);

	ck_assert_ptr_nonnull(text);
	int code = run_check(v, FS_REPAIR_NONE, text);
	expect_text(c, RUN_N, code, text);
	ck_assert_msg(fsck_dir_hash(v->dir) == hash, "%s: -n has written", c->name);
	for (unsigned run = RUN_P; run <= RUN_Y; run++) {
		struct volume *copy = fsck_copy(v);
		code = run_check(copy, levels[run], text);
		expect_text(c, run, code, text);
		bool left = code & 4;
		code = run_check(copy, FS_REPAIR_NONE, text);
		/* What was left is left; and there is nothing new. */
		ck_assert_msg(code == (left ? 4 : 0), "%s: after %s: exit %d:\n%s", c->name, run_names[run], code,
			      text);
		ck_assert_msg(left || !*text, "%s: after %s:\n%s", c->name, run_names[run], text);
		if (!left) {
			fsck_tree_read(copy, &after);
			compare(c, &before, &after);
			for (size_t i = 0; i < c->n_zeroed && run == RUN_Y; i++)
				compare_zeroed(c, c->zeroed[i], &before, &after);
			fsck_tree_free(&after);
			/* And it can be written to, and is whole after that. */
			volume_open(copy, 0);
			put(copy, make(copy, 1, "new-file", S_IFREG | 0600, NULL), 0, 100000);
			volume_close(copy);
			code = run_check(copy, FS_REPAIR_NONE, text);
			ck_assert_msg(code == 0, "%s: after %s and a change: exit %d:\n%s", c->name, run_names[run],
				      code, text);
		}
		fsck_copy_free(copy);
	}
	if (update)
		write_case(c);
	free(text);
	fsck_tree_free(&before);
	volume_free(v);
}
END_TEST

/* What a child and we share. */
static struct cut *board;

/* In a process of its own: repairs all, and ends at the nth call that writes. True when it came to its end. */
static bool cut_at(struct volume *v, long n)
{
	uint8_t keys[2][32];
	int status;

	/* Secrets do not come along into a child. */
	for (unsigned i = 0; i < 2; i++)
		memcpy(keys[i], secret_cbytes(v->keys[i]), 32);
	atomic_store(&board->left, n);
	atomic_store(&board->done, 0);
	fflush(NULL);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct fs_check check = { .replay = true, .repair = FS_REPAIR_ALL };
		struct fault f = { 0 };
		for (unsigned i = 0; i < 2; i++)
			if (secret_new_take(keys[i], 32, &v->keys[i]))
				_exit(1);
			else
				v->c[i].key = v->keys[i];
		_exit(fs_check(cutstore_new(v->store, board), v->c, 2, &v->cfg, &check, &f) ? 1 : 0);
	}
	memset(keys, 0, sizeof keys);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == CUT_EXIT),
		      "cut at %ld: status %x", n, (unsigned)status);
	return WEXITSTATUS(status) == 0;
}

/* Whatever is reached by its old path after a cut is as it was, or cannot be read: zeros have no old path. */
static void expect_no_zeros(const struct test_case *c, struct volume *v, const struct fsck_tree *before, long n)
{
	struct fs_config cfg = v->cfg;
	struct fsck_tree after;

	cfg.read_only = true;
	if (fs_open(v->store, v->c, 2, &cfg, &v->fs, &v->f))
		return; /* a journal or a root page that is damaged still */
	ck_assert_int_eq(fs_close(v->fs), 0);
	fsck_tree_read(v, &after);
	for (size_t i = 0; i < before->n; i++) {
		const struct fsck_file *was = &before->files[i], *is = fsck_tree_find(&after, was->path);
		if (!S_ISREG(was->mode) || !is || is->mode != was->mode || is->size != was->size)
			continue;
		for (uint64_t at = 0; at < was->size; at += CL_PAGE) {
			size_t len = (size_t)CL_MIN((uint64_t)CL_PAGE, was->size - at);
			ck_assert_msg(!memcmp(was->data + at, is->data + at, len) || is->data[at] == FSCK_UNREADABLE,
				      "%s: cut at %ld: %s: page %u has other contents", c->name, n, was->path,
				      (unsigned)(at / CL_PAGE));
		}
	}
	fsck_tree_free(&after);
}

/* Cut at call n, then repaired for good. */
static void cut_and_repair(const struct test_case *c, const struct volume *v, const struct fsck_tree *before, long n)
{
	struct volume *copy = fsck_copy(v);
	char *text = malloc(TEXT_MAX);
	struct fsck_tree after;

	ck_assert_ptr_nonnull(text);
	cut_at(copy, n);
	expect_no_zeros(c, copy, before, n);
	int code = run_check(copy, FS_REPAIR_ALL, text);
	ck_assert_msg(code == 0 || code == 1, "%s: cut at %ld, repaired: exit %d:\n%s", c->name, n, code, text);
	code = run_check(copy, FS_REPAIR_NONE, text);
	ck_assert_msg(code == 0 && !*text, "%s: cut at %ld, repaired, checked: exit %d:\n%s", c->name, n, code, text);
	fsck_tree_read(copy, &after);
	compare(c, before, &after);
	for (size_t i = 0; i < c->n_zeroed; i++)
		compare_zeroed(c, c->zeroed[i], before, &after);
	fsck_tree_free(&after);
	free(text);
	fsck_copy_free(copy);
}

START_TEST(test_cut)
{
	const struct test_case *c = cases[_i];
	struct fsck_tree before;
	struct volume *v;

	if (c->code[RUN_Y] != 1 || update)
		return; /* there is nothing to repair, or not all of it */
	v = damaged(c, &before);
	struct volume *whole = fsck_copy(v);
	ck_assert(cut_at(whole, -1));
	fsck_copy_free(whole);
	long all = atomic_load(&board->done);
	/* A few, of which no two cases have the same; or each of them. */
	long step = long_run ? 1 : all / 2 + 1;
	for (long n = long_run ? 1 : 1 + (_i * 7) % step; n <= all; n += step)
		cut_and_repair(c, v, &before, n);
	fsck_tree_free(&before);
	volume_free(v);
}
END_TEST

int main(int argc, char **argv)
{
	const char *top = getenv("srcdir"), *only = NULL;
	char dir[600];
	bool is_short = getenv("CLOISON_TEST_SHORT") || getenv("CLOISON_TEST_MEMORY");

	snprintf(dir, sizeof dir, "%s/tests/fsck/cases", top ? top : "."); /* set by make check */
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--long"))
			long_run = true;
		else if (!strcmp(argv[i], "--update") && i + 1 < argc)
			update = snprintf(dir, sizeof dir, "%s", argv[++i]) > 0;
		else
			only = argv[i];
	}
	if (!has_store()) {
		printf("repair: SKIP: there is no openat2(2)\n");
		return 77;
	}
	read_cases(dir);
	board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED || !n_cases)
		return EXIT_FAILURE;
	Suite *s = suite_create("repair");
	TCase *tc = tcase_create("repair");
	tcase_set_timeout(tc, 900); /* sanitizers are slow, and --long is long */
	for (size_t i = 0; i < n_cases; i++) {
		if (only ? strcmp(only, cases[i]->name) : is_short && i % 6)
			continue;
		tcase_add_loop_test(tc, test_case, (int)i, (int)i + 1);
		if (!is_short || i % 12 == 0)
			tcase_add_loop_test(tc, test_cut, (int)i, (int)i + 1);
	}
	suite_add_tcase(s, tc);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
