# SPDX-License-Identifier: GPL-3.0-or-later
# Repairs: see tests/fsck/README. `tests/fsck/test_repair --long` cuts each repair at every call.

check_PROGRAMS += tests/fsck/test_repair
TESTS += tests/fsck/test_repair

tests_fsck_test_repair_SOURCES = \
	tests/fsck/damage.c \
	tests/fsck/fsck.h \
	tests/fsck/test_repair.c \
	tests/fsck/volume.c \
	tests/model/cutstore.c \
	tests/model/cutstore.h \
	tests/model/ref.c \
	tests/model/ref.h \
	tests/model/ref_data.c \
	tests/model/wrapstore.c \
	tests/model/wrapstore.h \
	tests/unit/check_fixture.h
tests_fsck_test_repair_LDADD = $(fs_test_libs)

EXTRA_DIST += tests/fsck/README tests/fsck/cases
