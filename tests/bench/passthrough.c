/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The benchmark's yardstick: a directory shown again through FUSE at its best settings, with nothing done to the data.
 * It is no file system for use: it acts with its own rights without looking at the caller's, and it promises the kernel
 * to drop set-user-ID bits on write and does not.
 *
 * Its settings, each the fastest of those measured for most of the phases: writeback cache, 1 MiB requests, read-ahead
 * of 4 MiB, readdirplus when the kernel thinks it pays, parallel directory operations, entries, attributes, symlinks,
 * listings and absent names cached for an hour, no FLUSH, no GETXATTR before each write, no permission checks, several
 * threads each with a /dev/fuse of its own, no splice. The options undo some of them, to measure again.
 */
#include "tests/bench/pt.h"

#include <fcntl.h>
#include <getopt.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/bench/ptnode.h"

#define READ_AHEAD_KB 4096
#define FILE_TABLE (1u << 17)

struct pt_options pt_options;

static void want(struct fuse_conn_info *conn, unsigned int flags, bool on)
{
	conn->want &= ~flags;
	if (on)
		conn->want |= conn->capable & flags;
}

static void pt_init(CL_UNUSED void *userdata, struct fuse_conn_info *conn)
{
	conn->max_write = PT_REQUEST_MAX;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	conn->time_gran = 1;
	want(conn, FUSE_CAP_WRITEBACK_CACHE, !pt_options.no_writeback);
	want(conn,
	     FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ |
		     FUSE_CAP_ASYNC_DIO | FUSE_CAP_CACHE_SYMLINKS,
	     true);
	want(conn, FUSE_CAP_AUTO_INVAL_DATA, false); /* nobody else writes to the backing directory */
	want(conn, FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE, pt_options.splice_read);
	want(conn, FUSE_CAP_SPLICE_READ, pt_options.splice_write);
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
	want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2, !pt_options.keep_killpriv);
#endif
}

#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
static int add_killpriv(CL_UNUSED struct fuse_session *se)
{
	return 0;
}
#else
/*
 * Without FUSE_HANDLE_KILLPRIV_V2 the kernel asks for security.capability before every write(2). This libfuse does not
 * know the flag, so it is added to its answer to INIT on the way out. Both run in the thread that handles INIT, before
 * the kernel sends anything else.
 */
static uint64_t init_unique;
static uint32_t init_flags;

static ssize_t watch_read(int fd, void *buf, size_t size, CL_UNUSED void *userdata)
{
	ssize_t n = read(fd, buf, size);
	const struct fuse_in_header *head = buf;

	if (n >= (ssize_t)(sizeof(*head) + offsetof(struct fuse_init_in, unused)) && head->opcode == FUSE_INIT) {
		const struct fuse_init_in *init = (const void *)(head + 1);

		init_unique = head->unique;
		init_flags = init->flags;
	}
	return n;
}

static ssize_t patch_writev(int fd, struct iovec *iov, int count, CL_UNUSED void *userdata)
{
	const struct fuse_out_header *head = iov[0].iov_base;

	if (init_unique && head->unique == init_unique && count > 1 && !head->error &&
	    iov[1].iov_len >= offsetof(struct fuse_init_out, max_background)) {
		struct fuse_init_out *out = iov[1].iov_base;

		out->flags |= init_flags & FUSE_HANDLE_KILLPRIV_V2;
		init_unique = 0;
	}
	return writev(fd, iov, count);
}

static int add_killpriv(struct fuse_session *se)
{
	static const struct fuse_custom_io io = { .read = watch_read, .writev = patch_writev };

	/* A session with functions of its own cannot splice. */
	if (pt_options.keep_killpriv || pt_options.splice_read || pt_options.splice_write)
		return 0;
	return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}
#endif

/*
 * The kernel takes no more read-ahead from INIT than it offered (128 KiB), but root may raise it later, and later is
 * once INIT is answered: the stat waits for that, which is why this is a thread.
 */
static void *raise_read_ahead(void *mountpoint)
{
	char path[64];
	struct stat st;
	FILE *f;

	if (stat(mountpoint, &st) < 0)
		return NULL;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev), minor(st.st_dev));
	f = fopen(path, "we");
	if (!f || fprintf(f, "%d\n", READ_AHEAD_KB) < 0 || fflush(f) != 0)
		perror(path);
	if (f)
		fclose(f);
	return NULL;
}

/*
 * One descriptor is open for each file the kernel knows. The kernel doubles the table of descriptors as it fills, and
 * once there are threads it waits for an RCU grace period each time: that is milliseconds, so it grows here, before.
 */
static void make_room_for_files(void)
{
	struct rlimit limit = { .rlim_cur = 1u << 20, .rlim_max = 1u << 20 };
	int fd;

	if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
		if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
			return;
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			perror("passthrough: RLIMIT_NOFILE");
	}
	fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)CL_MIN(limit.rlim_cur, FILE_TABLE) - 1);
	if (fd >= 0)
		close(fd);
}

static int serve(struct fuse_session *se, char *mountpoint)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	pthread_t thread;
	int res;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 1);
	res = pthread_create(&thread, NULL, raise_read_ahead, mountpoint);
	if (res == 0) {
		res = fuse_session_loop_mt(se, config);
		pthread_join(thread, NULL);
	}
	fuse_loop_cfg_destroy(config);
	return res;
}

static int run(const char *source, char *mountpoint)
{
	/* With default_permissions the kernel asks for a folder's attributes again after each change in it. */
	char options[] = "fsname=passthrough,subtype=passthrough,default_permissions";
	char *argv[] = { (char[]){ "passthrough" }, (char[]){ "-o" }, options, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	struct fuse_lowlevel_ops ops = { .init = pt_init };
	struct fuse_session *se;
	int res;

	if (!pt_options.default_permissions)
		*strrchr(options, ',') = '\0';
	res = ptnode_init(source);
	if (res) {
		fprintf(stderr, "passthrough: %s: %s\n", source, strerror(-res));
		return 1;
	}
	pt_name_ops(&ops);
	pt_file_ops(&ops);
	pt_dir_ops(&ops);
	res = 1;
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se)
		goto done;
	if (fuse_set_signal_handlers(se) != 0)
		goto destroy;
	if (fuse_session_mount(se, mountpoint) != 0)
		goto no_signals;
	if (add_killpriv(se) == 0)
		res = serve(se, mountpoint) != 0;
	fuse_session_unmount(se);
no_signals:
	fuse_remove_signal_handlers(se);
destroy:
	fuse_session_destroy(se);
done:
	fuse_opt_free_args(&args);
	ptnode_done();
	return res;
}

int main(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "kprsVwx")) != -1) {
		switch (opt) {
		case 'k':
			pt_options.keep_killpriv = true;
			break;
		case 'p':
			pt_options.default_permissions = true;
			break;
		case 'r':
			pt_options.splice_read = true;
			break;
		case 's':
			pt_options.splice_write = true;
			break;
		case 'V':
			printf("libfuse %s\n", fuse_pkgversion());
			return 0;
		case 'w':
			pt_options.no_writeback = true;
			break;
		case 'x':
			pt_options.no_xattr = true;
			break;
		default:
			optind = argc;
			break;
		}
	}
	if (argc - optind != 2) {
		fprintf(stderr,
			"usage: passthrough [-kprsVwx] DIR MOUNTPOINT\n"
			"  -k  let the kernel ask for security.capability before each write\n"
			"  -p  the kernel checks permissions\n"
			"  -r  splice for reads; implies -k\n"
			"  -s  splice for writes; implies -k\n"
			"  -V  print the version of libfuse and exit\n"
			"  -w  no writeback cache\n"
			"  -x  no extended attributes\n");
		return 2;
	}
	umask(0); /* the kernel has applied the caller's */
	make_room_for_files();
	return run(argv[optind], argv[optind + 1]);
}
