# SPDX-License-Identifier: GPL-3.0-or-later
# A full disk: see test_full.c. `tests/full/test_full --long` makes a thousand runs.

check_PROGRAMS += tests/full/test_full
TESTS += tests/full/test_full

tests_full_test_full_SOURCES = \
	tests/full/test_full.c \
	tests/full/tightstore.c \
	tests/full/tightstore.h \
	tests/model/memstore.c \
	tests/model/memstore.h \
	tests/model/ref.c \
	tests/model/ref.h \
	tests/model/ref_data.c
tests_full_test_full_LDADD = $(fs_test_libs)
