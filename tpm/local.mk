# SPDX-License-Identifier: GPL-3.0-or-later
# Sealing in a TPM.

noinst_LIBRARIES += libtpm.a
libtpm_a_SOURCES = \
	tpm/context.c \
	tpm/context.h \
	tpm/device.c \
	tpm/device.h \
	tpm/error.c \
	tpm/error.h \
	tpm/helper.c \
	tpm/object.c \
	tpm/object.h \
	tpm/policy.c \
	tpm/policy.h \
	tpm/run.h \
	tpm/spawn.c \
	tpm/spawn.h \
	tpm/srk.c \
	tpm/srk.h \
	tpm/tpm.c \
	tpm/tpm.h \
	tpm/wire.c \
	tpm/wire.h

check_PROGRAMS += tests/tpm/test_tpm
TESTS += tests/tpm/test_tpm
tests_tpm_test_tpm_SOURCES = \
	tests/tpm/jobs.c \
	tests/tpm/jobs.h \
	tests/tpm/swtpm.c \
	tests/tpm/swtpm.h \
	tests/tpm/test_blobs.c \
	tests/tpm/test_gone.c \
	tests/tpm/test_names.c \
	tests/tpm/test_tpm.c
tests_tpm_test_tpm_LDADD = libtpm.a libcommon.a $(CHECK_LIBS) $(TSS2_LIBS) $(CRYPTO_LIBS)
