# SPDX-License-Identifier: GPL-3.0-or-later
# volume.json and label keys.

noinst_LIBRARIES += libkeyring.a
libkeyring_a_SOURCES = \
	keyring/create.c \
	keyring/crypt.c \
	keyring/disk.c \
	keyring/format.c \
	keyring/json.c \
	keyring/keyring.h \
	keyring/lock.c \
	keyring/model.c keyring/model.h \
	keyring/open.c \
	keyring/parse.c \
	keyring/record.c \
	keyring/unlock.c

keyring_tests = tests/unit/test_keyring tests/unit/test_keyring_create tests/unit/test_keyring_hostile
check_PROGRAMS += $(keyring_tests)
TESTS += $(keyring_tests)
keyring_test_sources = tests/unit/keyring_fixture.c tests/unit/keyring_fixture.h
keyring_test_libs = libkeyring.a libcommon.a $(CHECK_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)

tests_unit_test_keyring_SOURCES = tests/unit/test_keyring.c $(keyring_test_sources)
tests_unit_test_keyring_LDADD = $(keyring_test_libs)

tests_unit_test_keyring_create_SOURCES = tests/unit/test_keyring_create.c $(keyring_test_sources)
tests_unit_test_keyring_create_LDADD = $(keyring_test_libs)

tests_unit_test_keyring_hostile_SOURCES = tests/unit/test_keyring_hostile.c $(keyring_test_sources)
tests_unit_test_keyring_hostile_LDADD = $(keyring_test_libs)
