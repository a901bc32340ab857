/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A mount's beginning and end: options, mounting, what is agreed on with the kernel. */
#include "fs/fuse/internal.h"

#include "common/log.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <unistd.h>

#define THREADS_MIN 2u
#define BACKGROUND_MAX 64u /* requests that the kernel makes ahead (read-ahead, write-back) */

/* What libfuse said last: it names the cause of a failed mount nowhere else. Written only while mounting. */
static char said[256];
static bool listening;

static CL_PRINTF(2, 0) void on_libfuse_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char line[sizeof(said)];
	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	if (listening && level <= FUSE_LOG_WARNING)
		memcpy(said, line, sizeof(said));
	else
		log_line(level <= FUSE_LOG_ERR	     ? LOG_LVL_ERR
			 : level <= FUSE_LOG_WARNING ? LOG_LVL_WARN
			 : level <= FUSE_LOG_INFO    ? LOG_LVL_INFO
						     : LOG_LVL_DEBUG,
			 "%s", line);
}

/* From 3.17 on what is asked for has a wider place, and the old one cannot take back any more. */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
#define CAPABLE(conn) ((conn)->capable_ext)
#define WANT(conn) ((conn)->want_ext)
#else
#define CAPABLE(conn) ((conn)->capable)
#define WANT(conn) ((conn)->want)
#endif

static bool can(const struct fuse_conn_info *conn, uint64_t cap)
{
	return CAPABLE(conn) & cap;
}

static void want(struct fuse_conn_info *conn, unsigned cap, bool yes)
{
	if (yes && can(conn, cap))
		WANT(conn) |= cap;
	else
		WANT(conn) &= ~cap;
}

/*
 * The kernel checks modes and ACLs, unless nobody but root can come in: modes do not bind root, and the check costs a round trip
 * after every change of a directory. ACLs are kept and inherited all the same.
 */
static bool kernel_checks(const struct fuse_cl_options *o)
{
	return o->allow_other || geteuid() != 0;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fuse_cl *s = userdata;

	s->opts.no_open = s->opts.no_open && can(conn, FUSE_CAP_NO_OPEN_SUPPORT);
	want(conn, FUSE_CAP_WRITEBACK_CACHE, true);
	s->writeback = can(conn, FUSE_CAP_WRITEBACK_CACHE);
	want(conn, FUSE_CAP_POSIX_ACL, kernel_checks(&s->opts)); /* implies default_permissions */
	want(conn, FUSE_CAP_DONT_MASK, true); /* the directory's default ACL decides whether umask counts */
	want(conn, FUSE_CAP_READDIRPLUS, true);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO, true);
	want(conn, FUSE_CAP_PARALLEL_DIROPS, true);
	want(conn, FUSE_CAP_CACHE_SYMLINKS, !s->opts.multi);
	want(conn, FUSE_CAP_ASYNC_READ, true);
	want(conn, FUSE_CAP_ASYNC_DIO, true);
	want(conn, FUSE_CAP_EXPORT_SUPPORT, true);
	/* Without OPEN nobody would see the flag: the kernel has to send a SETATTR. */
	want(conn, FUSE_CAP_ATOMIC_O_TRUNC, !s->opts.no_open);
	/* Locks within one mount are the kernel's own affair. */
	want(conn, FUSE_CAP_POSIX_LOCKS, false);
	want(conn, FUSE_CAP_FLOCK_LOCKS, false);
	/* Version 1 would leave all the dropping of privileges to us without saying when; version 2: raw.c. */
	want(conn, FUSE_CAP_HANDLE_KILLPRIV, false);
	want(conn, FUSE_CAP_AUTO_INVAL_DATA, s->opts.multi);
	want(conn, FUSE_CAP_EXPLICIT_INVAL_DATA, false);
	want(conn, FUSE_CAP_SPLICE_READ, false);
	want(conn, FUSE_CAP_SPLICE_WRITE, false);
	want(conn, FUSE_CAP_SPLICE_MOVE, false);

	conn->max_write = FUSE_CL_IO_MAX;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	conn->time_gran = 1;
	s->no_opendir = can(conn, FUSE_CAP_NO_OPENDIR_SUPPORT);
	s->ready = true;
}

/* Options are separated by commas: those in a name are escaped, and so is the escape. */
static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == ',' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
}

/* malloc'ed; NULL: no memory. */
static char *option_text(const struct fuse_cl_options *o)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	fprintf(out, "%s,%s,%s,%s", o->ro ? "ro" : "rw", o->nosuid ? "nosuid" : "suid", o->nodev ? "nodev" : "dev",
		o->noexec ? "noexec" : "exec");
	if (kernel_checks(o))
		fputs(",default_permissions", out);
	if (o->allow_other)
		fputs(",allow_other", out);
	if (o->debug)
		fputs(",debug", out);
	fputs(",subtype=", out);
	put_escaped(out, o->subtype ? o->subtype : "cloison");
	fputs(",fsname=", out);
	put_escaped(out, o->fsname ? o->fsname : "cloison");
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

static unsigned thread_count(unsigned asked)
{
	unsigned n = asked ? asked : CL_MAX(4u, (unsigned)get_nprocs() * 2);
	return CL_MIN(CL_MAX(n, THREADS_MIN), FUSE_CL_THREADS_MAX);
}

static int new_session(struct fuse_cl *s)
{
	struct fuse_lowlevel_ops ops = { .init = op_init };
	fuse_cl_dir_ops(&ops);
	fuse_cl_file_ops(&ops);
	fuse_cl_attr_ops(&ops);
	fuse_cl_xattr_ops(&ops);
	fuse_cl_seek_ops(&ops);

	char *text = option_text(&s->opts);
	if (!text)
		return -ENOMEM;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	if (!fuse_opt_add_arg(&args, "cloison") && !fuse_opt_add_arg(&args, "-o") && !fuse_opt_add_arg(&args, text))
		s->se = fuse_session_new(&args, &ops, sizeof(ops), s);
	fuse_opt_free_args(&args);
	free(text);
	return s->se ? 0 : -ENOMEM;
}

/* No request goes out for this: only the device number is wanted. */
static int device_of(const char *path, struct statx *ret)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
	return statx(AT_FDCWD, path, flags, 0, ret) < 0 ? -errno : 0;
}

bool fuse_cl_is_mounted(const struct fuse_cl *s)
{
	struct statx st;
	return !device_of(s->mountpoint, &st) && st.stx_dev_major == s->dev_major && st.stx_dev_minor == s->dev_minor;
}

static int mountpoint_fault(struct fault *f, int err, const char *path)
{
	if (err == -ENOTCONN || err == -ECONNABORTED) /* which of them depends on how it died */
		return fault_set(f, err, CL_EXIT_FAILED,
				 "mount point %s: a filesystem without its daemon is mounted there; unmount it first", path);
	return fault_set(f, err, CL_EXIT_FAILED, "mount point %s: %s", path, strerror(-err));
}

/* By a descriptor that triggers no automount: it would be ours that is waited for. */
static bool is_autofs(const char *path)
{
	struct statfs st;
	int fd = open(path, O_PATH | O_CLOEXEC);
	bool is = fd >= 0 && !fstatfs(fd, &st) && st.f_type == AUTOFS_SUPER_MAGIC;
	if (fd >= 0)
		close(fd);
	return is;
}

static int check_mountpoint(const char *mountpoint, char **ret_path, struct fault *f)
{
	struct statx st;
	char *path = realpath(mountpoint, NULL);
	if (!path)
		return mountpoint_fault(f, -errno, mountpoint);
	int r = statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0 ? -errno : 0;
	if (r)
		mountpoint_fault(f, r, path);
	else if (!S_ISDIR(st.stx_mode))
		r = fault_set(f, -ENOTDIR, CL_EXIT_FAILED, "mount point %s is not a directory", path);
	else if ((st.stx_attributes & STATX_ATTR_MOUNT_ROOT) && !is_autofs(path))
		r = fault_set(f, -EBUSY, CL_EXIT_FAILED, "mount point %s: something is mounted there already", path);
	if (r)
		free(path);
	else
		*ret_path = path;
	return r;
}

static int mount_session(struct fuse_cl *s, struct fault *f)
{
	static const struct fuse_custom_io io = {
		.read = fuse_cl_raw_read,
		.writev = fuse_cl_raw_writev,
	};
	said[0] = '\0';
	listening = true;
	errno = 0;
	int r = new_session(s);
	if (!r && fuse_session_mount(s->se, s->mountpoint))
		r = errno == EPERM || errno == EACCES ? -EPERM : -EIO;
	if (!r)
		r = fuse_session_custom_io(s->se, &io, fuse_session_fd(s->se));
	listening = false;
	if (r)
		fault_set(f, r, CL_EXIT_FAILED, "cannot mount on %s: %s", s->mountpoint,
			  said[0] ? said : "the kernel or fusermount3 refused");
	return r;
}

/* Answers the kernel's first request, so that the mount is usable when it is reported. */
static int agree(struct fuse_cl *s, struct fault *f)
{
	int r = 0;
	fuse_cl_self = &s->workers[0];
	while (!r && !s->ready)
		r = fuse_cl_serve_one(&s->workers[0]);
	fuse_cl_self = NULL;
	if (r)
		return fault_set(f, r, CL_EXIT_FAILED, "the kernel and this program found no common FUSE protocol");
	struct statx st;
	r = device_of(s->mountpoint, &st);
	if (r)
		return mountpoint_fault(f, r, s->mountpoint);
	s->dev_major = st.stx_dev_major;
	s->dev_minor = st.stx_dev_minor;
	return 0;
}

/* Needs root; without it reading ahead stays at the system's default. */
static void set_read_ahead(const struct fuse_cl *s)
{
	char path[64], text[16];
	if (!s->opts.read_ahead_kb)
		return;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", s->dev_major, s->dev_minor);
	int n = snprintf(text, sizeof(text), "%u\n", s->opts.read_ahead_kb);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)n) != n)
		log_debug("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

int fuse_cl_new(struct fs *fs, const char *mountpoint, const struct fuse_cl_options *opts, struct fuse_cl **ret,
		struct fault *f)
{
	struct fuse_cl *s = calloc(1, sizeof(*s));
	if (!s)
		return fault_set(f, -ENOMEM, CL_EXIT_FAILED, "out of memory");
	s->fs = fs;
	s->opts = *opts;
	if (s->opts.multi)
		s->opts.timeout = 0;
	s->n_workers = thread_count(opts->max_threads);

	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = s->wake_fd < 0 ? -errno : 0;
	if (!r)
		r = fuse_cl_worker_init(&s->workers[0], s);
	if (!r)
		r = fuse_cl_seeker_new(s);
	if (r) {
		fault_set(f, r, CL_EXIT_FAILED, "cannot begin to mount: %s", strerror(-r));
		goto fail;
	}
	r = fuse_cl_signals_take(s->wake_fd);
	if (r) {
		fault_set(f, r, CL_EXIT_FAILED, "this process has a filesystem mounted already");
		goto fail;
	}
	s->signals = true;
	fuse_set_log_func(on_libfuse_log);
	r = check_mountpoint(mountpoint, &s->mountpoint, f);
	if (!r)
		r = mount_session(s, f);
	if (!r)
		r = agree(s, f);
	if (r)
		goto fail;
	set_read_ahead(s);
	s->opts.fsname = s->opts.subtype = NULL; /* borrowed till here */
	*ret = s;
	return 0;
fail:
	fuse_cl_free(s);
	return r;
}

void fuse_cl_free(struct fuse_cl *s)
{
	if (!s)
		return;
	if (s->se) {
		/*
		 * libfuse would unmount whatever is at that path by now, so it is only told when it will see that all
		 * is over. Else closing the device ends the connection: unmounting must not wait for answers from here.
		 */
		if (atomic_load(&s->ended) == -ENODEV || !s->dev_minor)
			fuse_session_unmount(s->se);
		fuse_session_destroy(s->se);
		if (s->dev_minor && fuse_cl_is_mounted(s) && fuse_cl_unmount(s, true))
			log_warn("cannot unmount %s", s->mountpoint);
	}
	if (s->signals) {
		fuse_cl_signals_leave();
		fuse_set_log_func(NULL);
	}
	for (unsigned i = 0; i < FUSE_CL_THREADS_MAX; i++)
		fuse_cl_worker_done(&s->workers[i]);
	fuse_cl_seeker_free(s);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	free(s->mountpoint);
	free(s);
}
