# SPDX-License-Identifier: GPL-3.0-or-later
# The FUSE layer over the engine. Link it in front of libfs.a, with $(FUSE3_LIBS).

noinst_LIBRARIES += libfusecl.a
libfusecl_a_SOURCES = \
	fs/fuse/fuse_cl.h fs/fuse/internal.h \
	fs/fuse/loop.c \
	fs/fuse/ops_attr.c \
	fs/fuse/ops_dir.c \
	fs/fuse/ops_file.c \
	fs/fuse/ops_seek.c \
	fs/fuse/ops_xattr.c \
	fs/fuse/raw.c \
	fs/fuse/session.c \
	fs/fuse/signals.c

# The layer mounted over a tree in memory. Says SKIP where nothing can be mounted.
check_PROGRAMS += tests/mount/test_fuse_layer
TESTS += tests/mount/test_fuse_layer
tests_mount_test_fuse_layer_SOURCES = \
	tests/mount/fakefs.c tests/mount/fakefs.h \
	tests/mount/test_fuse_layer.c fs/acl.c
tests_mount_test_fuse_layer_LDADD = libfusecl.a libcommon.a $(FUSE3_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/unit/test_acl
TESTS += tests/unit/test_acl
tests_unit_test_acl_SOURCES = tests/unit/test_acl.c fs/acl.c
tests_unit_test_acl_LDADD = $(CHECK_LIBS)
