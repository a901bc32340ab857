# SPDX-License-Identifier: GPL-3.0-or-later
# The engine. Knows no FUSE and no TPM.

noinst_LIBRARIES += libfs.a
libfs_a_SOURCES = \
	fs/access.c \
	fs/access.h \
	fs/acl.c \
	fs/acl.h \
	fs/check.c \
	fs/check.h \
	fs/check_dir.c \
	fs/check_inode.c \
	fs/check_lower.c \
	fs/check_scrub.c \
	fs/check_scrub.h \
	fs/check_scrub_path.c \
	fs/check_scrub_walk.c \
	fs/check_table.c \
	fs/check_tree.c \
	fs/comp.c \
	fs/comp.h \
	fs/comp_repair.c \
	fs/data.c \
	fs/data.h \
	fs/dir.c \
	fs/dir.h \
	fs/follow.c \
	fs/follow.h \
	fs/fresh.c \
	fs/fresh.h \
	fs/fs.c \
	fs/fs.h \
	fs/fs_attr.c \
	fs/fs_data.c \
	fs/fs_name.c \
	fs/fs_private.h \
	fs/fs_rename.c \
	fs/home.c \
	fs/home.h \
	fs/inode.c \
	fs/inode.h \
	fs/inode_cache.c \
	fs/inode_codec.c \
	fs/inode_private.h \
	fs/journal.c \
	fs/journal.h \
	fs/leaf.c \
	fs/leaf.h \
	fs/node.c \
	fs/node.h \
	fs/page.c \
	fs/page.h \
	fs/pageio.c \
	fs/pageio.h \
	fs/pagemap.c \
	fs/pagemap.h \
	fs/repair.c \
	fs/repair.h \
	fs/repair_data.c \
	fs/repair_dir.c \
	fs/repair_kind.h \
	fs/repair_lower.c \
	fs/repair_table.c \
	fs/room.c \
	fs/room.h \
	fs/rule.h \
	fs/seal.c \
	fs/seal.h \
	fs/seal_backend.h \
	fs/seal_cache.c \
	fs/seal_ipsecmb.c \
	fs/seal_openssl.c \
	fs/seal_source.c \
	fs/store.h \
	fs/store_dir.c \
	fs/store_dirty.c fs/store_dirty.h \
	fs/tree.c \
	fs/tree.h \
	fs/txn.c \
	fs/txn.h \
	fs/xattr.c \
	fs/xattr.h

fs_test_libs = libfs.a libkeyring.a libcommon.a $(CHECK_LIBS) $(JANSSON_LIBS) $(XXHASH_LIBS) $(IPSECMB_LIBS) $(CRYPTO_LIBS)
fs_tests = tests/unit/test_seal tests/unit/test_seal_state tests/unit/test_check tests/unit/test_check_inside \
	tests/unit/test_scrub
check_PROGRAMS += $(fs_tests)
TESTS += $(fs_tests)

tests_unit_test_seal_SOURCES = tests/unit/test_seal.c tests/unit/seal_fixture.h
tests_unit_test_seal_LDADD = $(fs_test_libs)

tests_unit_test_seal_state_SOURCES = tests/unit/test_seal_state.c tests/unit/seal_fixture.h
tests_unit_test_seal_state_LDADD = $(fs_test_libs)

tests_unit_test_check_SOURCES = tests/unit/test_check.c tests/unit/check_fixture.h
tests_unit_test_check_LDADD = $(fs_test_libs)

tests_unit_test_check_inside_SOURCES = tests/unit/test_check_inside.c tests/unit/check_fixture.h
tests_unit_test_check_inside_LDADD = $(fs_test_libs)

tests_unit_test_scrub_SOURCES = tests/unit/test_scrub.c tests/unit/check_fixture.h tests/unit/hook_store.c \
	tests/unit/hook_store.h
tests_unit_test_scrub_LDADD = $(fs_test_libs)

check_PROGRAMS += tests/unit/test_format
TESTS += tests/unit/test_format
tests_unit_test_format_SOURCES = tests/unit/test_format.c
tests_unit_test_format_LDADD = $(fs_test_libs)

# Modules of the engine, one by one, on a store in memory.
fs_module_tests = tests/unit/test_dir tests/unit/test_inode tests/unit/test_journal tests/unit/test_pagemap tests/unit/test_tree \
	tests/unit/test_xattr
check_PROGRAMS += $(fs_module_tests) tests/unit/test_store
TESTS += $(fs_module_tests) tests/unit/test_store
fs_module_sources = tests/unit/engine_fixture.h tests/model/memstore.c tests/model/memstore.h tests/model/ref.c tests/model/ref.h \
	tests/model/ref_data.c

tests_unit_test_dir_SOURCES = tests/unit/test_dir.c $(fs_module_sources)
tests_unit_test_dir_LDADD = $(fs_test_libs)
tests_unit_test_inode_SOURCES = tests/unit/test_inode.c $(fs_module_sources)
tests_unit_test_inode_LDADD = $(fs_test_libs)
tests_unit_test_journal_SOURCES = tests/unit/test_journal.c tests/unit/hook_store.c tests/unit/hook_store.h $(fs_module_sources)
tests_unit_test_journal_LDADD = $(fs_test_libs)
tests_unit_test_pagemap_SOURCES = tests/unit/test_pagemap.c $(fs_module_sources)
tests_unit_test_pagemap_LDADD = $(fs_test_libs)
tests_unit_test_store_SOURCES = tests/unit/test_store.c
tests_unit_test_store_LDADD = $(fs_test_libs)
tests_unit_test_tree_SOURCES = tests/unit/test_tree.c $(fs_module_sources)
tests_unit_test_tree_LDADD = $(fs_test_libs)
tests_unit_test_xattr_SOURCES = tests/unit/test_xattr.c $(fs_module_sources)
tests_unit_test_xattr_LDADD = $(fs_test_libs)
