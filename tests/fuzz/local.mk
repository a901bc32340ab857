# SPDX-License-Identifier: GPL-3.0-or-later
# Fuzz targets: one program that runs all of them a little, and with --enable-fuzzing a fuzzer of each. See doc/HACKING.

fuzz_shared = \
	tests/fuzz/disk.c \
	tests/fuzz/disk.h \
	tests/fuzz/fuzz.c \
	tests/fuzz/fuzz.h \
	tests/fuzz/operate.c \
	tests/fuzz/plant.c \
	tests/fuzz/plant.h \
	tests/fuzz/reseal.c \
	tests/fuzz/reseal.h \
	tests/fuzz/session.c \
	tests/fuzz/session.h \
	tests/model/memstore.c \
	tests/model/memstore.h \
	tests/model/ref.c \
	tests/model/ref.h \
	tests/model/ref_data.c
fuzz_libs = libtools.a libfs.a libkeyring.a libtpm.a libcommon.a \
	$(JANSSON_LIBS) $(TSS2_LIBS) $(CRYPTO_LIBS) $(XXHASH_LIBS) $(IPSECMB_LIBS)

check_PROGRAMS += tests/fuzz/test_fuzz
TESTS += tests/fuzz/test_fuzz
tests_fuzz_test_fuzz_SOURCES = \
	tests/fuzz/fuzz_acl.c \
	tests/fuzz/fuzz_dir.c \
	tests/fuzz/fuzz_engine.c \
	tests/fuzz/fuzz_inode.c \
	tests/fuzz/fuzz_journal.c \
	tests/fuzz/fuzz_label.c \
	tests/fuzz/fuzz_opts.c \
	tests/fuzz/fuzz_root.c \
	tests/fuzz/fuzz_tpm.c \
	tests/fuzz/fuzz_tree.c \
	tests/fuzz/fuzz_volume_json.c \
	tests/fuzz/fuzz_xattr.c \
	tests/fuzz/mutate.c \
	tests/fuzz/mutate.h \
	tests/fuzz/test_fuzz.c \
	$(fuzz_shared)
tests_fuzz_test_fuzz_LDADD = $(fuzz_libs)

EXTRA_DIST += tests/fuzz/corpus tests/fuzz/entry.c
CLEANFILES += fuzz-*.failed

if FUZZING
noinst_PROGRAMS += $(fuzz_programs)
endif
EXTRA_PROGRAMS += $(fuzz_programs)
fuzz_programs =

fuzz_programs += tests/fuzz/fuzz_acl
tests_fuzz_fuzz_acl_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz_acl.c $(fuzz_shared)
tests_fuzz_fuzz_acl_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_acl
tests_fuzz_fuzz_acl_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_acl_LDADD = $(fuzz_libs)

fuzz_programs += tests/fuzz/fuzz_dir
tests_fuzz_fuzz_dir_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz_dir.c $(fuzz_shared)
tests_fuzz_fuzz_dir_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_dir
tests_fuzz_fuzz_dir_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_dir_LDADD = $(fuzz_libs)

fuzz_programs += tests/fuzz/fuzz_engine
tests_fuzz_fuzz_engine_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz_engine.c $(fuzz_shared)
tests_fuzz_fuzz_engine_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_engine
tests_fuzz_fuzz_engine_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_engine_LDADD = $(fuzz_libs)

fuzz_programs += tests/fuzz/fuzz_inode
tests_fuzz_fuzz_inode_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz_inode.c $(fuzz_shared)
tests_fuzz_fuzz_inode_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_inode
tests_fuzz_fuzz_inode_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_inode_LDADD = $(fuzz_libs)

fuzz_programs += tests/fuzz/fuzz_journal
tests_fuzz_fuzz_journal_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz_journal.c $(fuzz_shared)
tests_fuzz_fuzz_journal_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_journal
tests_fuzz_fuzz_journal_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_journal_LDADD = $(fuzz_libs)

fuzz_programs += tests/fuzz/fuzz_label
tests_fuzz_fuzz_label_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz_label.c $(fuzz_shared)
tests_fuzz_fuzz_label_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_label
tests_fuzz_fuzz_label_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_label_LDADD = $(fuzz_libs)

fuzz_programs += tests/fuzz/fuzz_opts
tests_fuzz_fuzz_opts_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz_opts.c $(fuzz_shared)
tests_fuzz_fuzz_opts_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_opts
tests_fuzz_fuzz_opts_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_opts_LDADD = $(fuzz_libs)

fuzz_programs += tests/fuzz/fuzz_root
tests_fuzz_fuzz_root_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz_root.c $(fuzz_shared)
tests_fuzz_fuzz_root_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_root
tests_fuzz_fuzz_root_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_root_LDADD = $(fuzz_libs)

fuzz_programs += tests/fuzz/fuzz_tpm
tests_fuzz_fuzz_tpm_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz_tpm.c $(fuzz_shared)
tests_fuzz_fuzz_tpm_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_tpm
tests_fuzz_fuzz_tpm_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_tpm_LDADD = $(fuzz_libs)

fuzz_programs += tests/fuzz/fuzz_tree
tests_fuzz_fuzz_tree_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz_tree.c $(fuzz_shared)
tests_fuzz_fuzz_tree_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_tree
tests_fuzz_fuzz_tree_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_tree_LDADD = $(fuzz_libs)

fuzz_programs += tests/fuzz/fuzz_volume_json
tests_fuzz_fuzz_volume_json_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz_volume_json.c $(fuzz_shared)
tests_fuzz_fuzz_volume_json_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_volume_json
tests_fuzz_fuzz_volume_json_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_volume_json_LDADD = $(fuzz_libs)

fuzz_programs += tests/fuzz/fuzz_xattr
tests_fuzz_fuzz_xattr_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz_xattr.c $(fuzz_shared)
tests_fuzz_fuzz_xattr_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_xattr
tests_fuzz_fuzz_xattr_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_xattr_LDADD = $(fuzz_libs)
