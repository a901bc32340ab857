# SPDX-License-Identifier: GPL-3.0-or-later
# What every module shares.

noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = \
	common/base.h \
	common/bytes.c common/bytes.h \
	common/fault.c common/fault.h \
	common/file.c common/file.h \
	common/list.h common/lock.h \
	common/log.c common/log.h \
	common/secret.c common/secret.h

common_tests = tests/unit/test_common tests/unit/test_common_secret
check_PROGRAMS += $(common_tests)
TESTS += $(common_tests)
common_test_libs = libcommon.a $(CHECK_LIBS) $(CRYPTO_LIBS)

tests_unit_test_common_SOURCES = tests/unit/test_common.c
tests_unit_test_common_LDADD = $(common_test_libs)

tests_unit_test_common_secret_SOURCES = tests/unit/test_common_secret.c
tests_unit_test_common_secret_LDADD = $(common_test_libs)
