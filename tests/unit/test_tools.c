/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the commands share: mount table, runtime record, background, undo, prompt. */
#include "common/secret.h"
#include "tools/common/background.h"
#include "tools/common/mtab.h"
#include "tools/common/progress.h"
#include "tools/common/prompt.h"
#include "tools/common/record.h"
#include "tools/common/say.h"
#include "tools/common/undo.h"

#include <check.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[32];

static void setup(void)
{
	snprintf(dir, sizeof dir, "/tmp/cloison-tools-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	struct undo_dir d = { .path = dir, .fd = open(dir, O_RDONLY | O_DIRECTORY), .made = true };
	ck_assert_int_eq(undo_remove(&d), 0);
	ck_assert_uint_eq(secret_live(), 0);
}

START_TEST(clean_lines)
{
	char hostile[] = "a\x1b[2J\nb\x7f\xc2\x9b" "2Jc", plain[] = "gen\xc3\xa9ral \xe2\x82\xac \xc2\xa0/", cut[] = "x\xc2";

	say_clean(hostile);
	ck_assert_str_eq(hostile, "a?[2J?b???2Jc");
	say_clean(plain);
	ck_assert_str_eq(plain, "gen\xc3\xa9ral \xe2\x82\xac \xc2\xa0/");
	say_clean(cut);
	ck_assert_str_eq(cut, "x\xc2");
}
END_TEST

START_TEST(mount_table_lines)
{
	struct mtab_entry e;
	char ours[] =
		"98 30 0:52 / /mnt/a\\040b rw,nosuid,nodev,relatime shared:55 master:2 - fuse.cloison /srv/v\\134o "
		"rw,user_id=1000,group_id=0\n";
	ck_assert_int_eq(mtab_parse(ours, &e), 0);
	ck_assert_str_eq(e.target, "/mnt/a b");
	ck_assert_str_eq(e.source, "/srv/v\\o");
	ck_assert_str_eq(e.type, "fuse.cloison");
	ck_assert_uint_eq(e.major, 0);
	ck_assert_uint_eq(e.minor, 52);
	ck_assert(!e.read_only);
	ck_assert_uint_eq(mtab_owner(&e), 1000);
	char empty[] = "98 30 0:52 / /mnt ro - tmpfs  rw,size=1k\n";
	ck_assert_int_eq(mtab_parse(empty, &e), 0);
	ck_assert_str_eq(e.source, "");
	ck_assert_str_eq(e.options, "rw,size=1k");
	ck_assert(e.read_only);
	static const char *const bad[] = { "", "\n", "98 30 0:52 / /mnt rw", "98 30 0:52 / /mnt rw shared:1\n",
					   "98 30 0:52 / /mnt rw -\n", "98 30 x / /mnt rw - tmpfs tmpfs rw\n" };
	for (size_t i = 0; i < CL_ARRAY_LEN(bad); i++) {
		char line[128];
		snprintf(line, sizeof line, "%s", bad[i]);
		ck_assert_int_eq(mtab_parse(line, &e), -EUCLEAN);
	}
}
END_TEST

START_TEST(mount_table)
{
	struct mtab_entry e;
	size_t n = 0;
	ck_assert_int_eq(mtab_find("/proc", &e), 0);
	ck_assert_str_eq(e.type, "proc");
	ck_assert_int_eq(mtab_count(e.major, e.minor, &n), 0);
	ck_assert_uint_ge(n, 1);
	mtab_entry_done(&e);
	ck_assert_int_eq(mtab_find("/proc/no/such", &e), -ENOENT);
	ck_assert_int_eq(mtab_find_source("/proc", &e), -ENOENT);
}
END_TEST

START_TEST(canonical)
{
	char path[256], want[256], *got = NULL;
	snprintf(path, sizeof path, "%s/sub/../not-there", dir);
	snprintf(want, sizeof want, "%s/sub", dir);
	ck_assert_int_eq(mkdir(want, 0700), 0);
	ck_assert_int_eq(mtab_canonical(path, &got), 0);
	snprintf(want, sizeof want, "%s/not-there", dir);
	ck_assert_str_eq(got, want);
	free(got);
	snprintf(path, sizeof path, "%s/sub/..", dir);
	ck_assert_int_eq(mtab_canonical(path, &got), 0);
	ck_assert_str_eq(got, dir);
	free(got);
	ck_assert_int_eq(mtab_canonical("/", &got), 0);
	ck_assert_str_eq(got, "/");
	free(got);
	ck_assert_int_eq(mtab_canonical("/tmp/", &got), 0);
	ck_assert_str_eq(got, "/tmp");
	free(got);
	snprintf(path, sizeof path, "%s/none/x", dir);
	ck_assert_int_eq(mtab_canonical(path, &got), -ENOENT);
}
END_TEST

/* Device number for records of tests: the kernel gives anonymous ones from 1 up, these are far away. */
#define MAJOR 4000u

/* A daemon: record, then waits for a byte, then leaves as told. */
static pid_t daemon_of(unsigned minor, const char *last, int *ret_in)
{
	int ready[2], go[2];
	ck_assert_int_eq(pipe(ready), 0);
	ck_assert_int_eq(pipe(go), 0);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		char where[] = "/srv/v", label[] = "SECRET//A,B", state[] = "mounted", odd[] = "/mnt/a\nb=c";
		const struct record_info i = {
			.dir = where, .target = odd, .label = label, .state = state, .pid = getpid()
		};
		struct record *r = NULL;
		char c = record_new(MAJOR, minor, &i, &r) ? 'n' : 'y';
		memset(where, 'X', sizeof where - 1); /* the creator's strings do not live as long as the record */
		memset(label, 'X', sizeof label - 1);
		memset(odd, 'X', sizeof odd - 1);
		close(go[1]);
		if (write(ready[1], &c, 1) != 1 || read(go[0], &c, 1) < 0)
			_exit(1);
		if (last)
			record_finish(r, last);
		_exit(0);
	}
	char c = 0;
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	ck_assert_int_eq(c, 'y');
	close(ready[0]);
	close(ready[1]);
	close(go[0]);
	*ret_in = go[1];
	return pid;
}

static void check_end(unsigned minor, const char *last, const char *want)
{
	int in, fd;
	struct record_info i;
	pid_t pid = daemon_of(minor, last, &in);
	ck_assert_int_eq(record_open(MAJOR, minor, geteuid(), &fd), 0);
	ck_assert_int_eq(record_wait(fd, false), -EAGAIN);
	ck_assert_int_eq(record_read(fd, &i), 0);
	ck_assert_str_eq(i.dir, "/srv/v");
	ck_assert_str_eq(i.target, "/mnt/a\nb=c");
	ck_assert_str_eq(i.label, "SECRET//A,B");
	ck_assert_str_eq(i.state, "mounted");
	ck_assert_int_eq(i.pid, pid);
	record_info_done(&i);
	close(in);
	ck_assert_int_eq(record_wait(fd, true), 0);
	ck_assert_int_eq(record_read(fd, &i), 0);
	ck_assert_str_eq(i.state, want);
	ck_assert_str_eq(i.dir, "/srv/v");
	ck_assert_str_eq(i.target, "/mnt/a\nb=c");
	ck_assert_str_eq(i.label, "SECRET//A,B");
	record_info_done(&i);
	close(fd);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(records)
{
	setenv("XDG_RUNTIME_DIR", dir, 1);
	check_end(1, "closed", "closed");
	int fd;
	ck_assert_int_eq(record_open(MAJOR, 1, geteuid(), &fd), -ENOENT);
	check_end(2, "not everything could be written: no space", "not everything could be written: no space");
	/* Killed: the word is still the first one, the name stays and does not stand in the way of the next. */
	check_end(3, NULL, "mounted");
	check_end(3, "closed", "closed");
}
END_TEST

START_TEST(background)
{
	for (int how = 0; how < 3; how++) {
		int fd = -1, code = -1;
		struct fault f = { 0 };
		int r = background_fork(&fd, &code, &f);
		if (r == 0) {
			if (how == 0)
				_exit(background_ready(fd) || getsid(0) != getpid());
			if (how == 1)
				background_failed(fd, CL_EXIT_KEY, "no key");
			_exit(0);
		}
		ck_assert_int_eq(r, 1);
		if (how == 0) {
			ck_assert_int_eq(code, 0);
			int status;
			ck_assert_int_gt(wait(&status), 0);
			ck_assert_int_eq(status, 0);
		} else if (how == 1) {
			ck_assert_int_eq(code, CL_EXIT_KEY);
			ck_assert_str_eq(f.text, "no key");
		} else {
			ck_assert_int_eq(code, CL_EXIT_FAILED);
			ck_assert_ptr_nonnull(strstr(f.text, "before the mount was usable"));
		}
	}
}
END_TEST

static void touch(const char *name)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

START_TEST(undo)
{
	struct undo_dir d;
	struct fault f = { 0 };
	char path[256], sub[300];
	struct stat st;
	snprintf(path, sizeof path, "%s/v", dir);
	ck_assert_int_eq(undo_open_empty(&d, path, &f), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	snprintf(sub, sizeof sub, "%s/c", path);
	ck_assert_int_eq(mkdir(sub, 0700), 0);
	touch("v/c/file");
	touch("v/file");
	/* A link goes, what it leads to stays. */
	touch("precious");
	snprintf(sub, sizeof sub, "%s/c/link", path);
	ck_assert_int_eq(symlink(dir, sub), 0);
	ck_assert_int_eq(undo_remove(&d), 0);
	ck_assert_int_eq(access(path, F_OK), -1);
	snprintf(sub, sizeof sub, "%s/precious", dir);
	ck_assert_int_eq(access(sub, F_OK), 0);

	/* A directory that was there stays, empty. */
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(undo_open_empty(&d, path, &f), 0);
	touch("v/file");
	ck_assert_int_eq(undo_remove(&d), 0);
	ck_assert_int_eq(rmdir(path), 0);

	ck_assert_int_eq(undo_open_empty(&d, dir, &f), -ENOTEMPTY);
	ck_assert_ptr_nonnull(strstr(f.text, "is not empty"));
	f = (struct fault){ 0 };
	ck_assert_int_eq(undo_open_empty(&d, sub, &f), -ENOTDIR);
	ck_assert_int_eq(undo_remove(&d), 0);
	ck_assert_int_eq(access(sub, F_OK), 0);
}
END_TEST

/* A child that asks on a terminal; what the terminal showed goes to *shown. Returns the child's exit code. */
static int on_terminal(int (*ask)(void), const char *typed, char *shown, size_t size)
{
	int master;
	pid_t pid = forkpty(&master, NULL, NULL, NULL);
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(ask());
	size_t n = 0;
	/* Only type when asked: turning echo off drops what came before. */
	for (const char *p = typed; *p;) {
		size_t before = n;
		do {
			ssize_t got = read(master, shown + n, size - 1 - n);
			ck_assert_int_gt(got, 0);
			n += (size_t)got;
			shown[n] = '\0';
		} while (!strchr(shown + before, '>'));
		size_t len = strcspn(p, "\n") + 1;
		ck_assert_int_eq(write(master, p, len), len);
		p += len;
	}
	ssize_t got;
	while (n < size - 1 && (got = read(master, shown + n, size - 1 - n)) > 0)
		n += (size_t)got;
	shown[n] = '\0';
	close(master);
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int ask_once(void)
{
	struct secret *s = NULL;
	int err = prompt_secret("once>", 8, &s);
	if (err)
		return -err;
	bool right = secret_len(s) == 4 && secret_equal(secret_cbytes(s), "1234", 4);
	secret_free(s);
	return right ? 0 : 1;
}

static int ask_twice(void)
{
	struct secret *s = NULL;
	int err = prompt_new_secret("new>", "again>", 8, &s);
	secret_free(s);
	return -err;
}

START_TEST(prompts)
{
	char shown[512];
	ck_assert_int_eq(on_terminal(ask_once, "1234\n", shown, sizeof shown), 0);
	ck_assert_ptr_nonnull(strstr(shown, "once>"));
	ck_assert_msg(!strstr(shown, "1234"), "the terminal showed: %s", shown);
	ck_assert_int_eq(on_terminal(ask_once, "\n", shown, sizeof shown), ENODATA);
	ck_assert_int_eq(on_terminal(ask_once, "123456789\n", shown, sizeof shown), EOVERFLOW);
	ck_assert_int_eq(on_terminal(ask_twice, "abcd\nabcd\n", shown, sizeof shown), 0);
	ck_assert_int_eq(on_terminal(ask_twice, "abcd\nabce\n", shown, sizeof shown), EKEYREJECTED);
	ck_assert_int_eq(on_terminal(ask_twice, "abcd\nabc\n", shown, sizeof shown), EKEYREJECTED);
	struct secret *s = NULL;
	int null = open("/dev/null", O_RDONLY);
	ck_assert_int_eq(dup2(null, 0), 0);
	ck_assert(!prompt_possible());
	ck_assert_int_eq(prompt_secret("never>", 8, &s), -ENOTTY);
	close(null);
}
END_TEST

START_TEST(progress_lines)
{
	char path[256], text[256] = "";
	snprintf(path, sizeof path, "%s/lines", dir);
	int fd = open(path, O_CREAT | O_RDWR, 0600);
	struct progress p;
	progress_init(&p, "checking", "/srv/v", fd);
	progress_step(&p, 1, 100);
	progress_step(&p, 2, 100); /* too soon after the first */
	progress_step(&p, 200, 100);
	ck_assert_int_eq(pread(fd, text, sizeof text - 1, 0), 15 + 17);
	ck_assert_str_eq(text, "1 1 100 /srv/v\n1 100 100 /srv/v\n");
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tools");
	TCase *t = tcase_create("tools");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, clean_lines);
	tcase_add_test(t, mount_table_lines);
	tcase_add_test(t, mount_table);
	tcase_add_test(t, canonical);
	tcase_add_test(t, records);
	tcase_add_test(t, background);
	tcase_add_test(t, undo);
	tcase_add_test(t, prompts);
	tcase_add_test(t, progress_lines);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
