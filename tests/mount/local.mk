# SPDX-License-Identifier: GPL-3.0-or-later
# Programs that the scripts in this directory need, hence built with the rest.

noinst_PROGRAMS += tests/mount/powerfs
tests_mount_powerfs_SOURCES = tests/mount/powerdisk.c tests/mount/powerdisk.h tests/mount/powerfs.c
tests_mount_powerfs_LDADD = $(FUSE3_LIBS)
