# SPDX-License-Identifier: GPL-3.0-or-later
# The commands: one main each, over what they share.

noinst_LIBRARIES += libtools.a
libtools_a_SOURCES = \
	tools/common/background.c tools/common/background.h \
	tools/common/busy.c tools/common/busy.h \
	tools/common/compartments.c tools/common/compartments.h \
	tools/common/json_out.c tools/common/json_out.h \
	tools/common/label_spec.c tools/common/label_spec.h \
	tools/common/limits.c tools/common/limits.h \
	tools/common/mount_opts.c tools/common/mount_opts.h \
	tools/common/mtab.c tools/common/mtab.h \
	tools/common/opts.c tools/common/opts.h \
	tools/common/progress.c tools/common/progress.h \
	tools/common/prompt.c tools/common/prompt.h \
	tools/common/record.c tools/common/record.h \
	tools/common/say.c tools/common/say.h \
	tools/common/tpm_join.c tools/common/tpm_join.h \
	tools/common/undo.c tools/common/undo.h \
	tools/common/unlock.c tools/common/unlock.h

tools_key_libs = libtools.a libkeyring.a libtpm.a libcommon.a $(JANSSON_LIBS) $(TSS2_LIBS) $(CRYPTO_LIBS)
tools_fs_libs = libtools.a libfs.a libkeyring.a libtpm.a libcommon.a \
	$(JANSSON_LIBS) $(TSS2_LIBS) $(CRYPTO_LIBS) $(XXHASH_LIBS) $(IPSECMB_LIBS) $(ACL_LIBS) $(ATTR_LIBS)

bin_PROGRAMS += tools/cloison tools/cloisonfs
sbin_PROGRAMS += tools/mkfs.cloison tools/mount.cloison tools/umount.cloison tools/fsck.cloison

tools_cloison_SOURCES = tools/cloison.c tools/cloison.h tools/cmd_key.c tools/cmd_label.c tools/cmd_status.c
tools_cloison_LDADD = $(tools_key_libs)

tools_cloisonfs_SOURCES = tools/cloisonfs.c tools/common/utab.c tools/common/utab.h
tools_cloisonfs_LDADD = libfusecl.a $(tools_fs_libs) $(FUSE3_LIBS) $(MOUNT_LIBS)

tools_mkfs_cloison_SOURCES = tools/mkfs.c
tools_mkfs_cloison_LDADD = $(tools_fs_libs)

tools_fsck_cloison_SOURCES = tools/fsck.c
tools_fsck_cloison_LDADD = $(tools_fs_libs)

tools_mount_cloison_SOURCES = tools/mount.c
tools_mount_cloison_CPPFLAGS = $(AM_CPPFLAGS) -DBINDIR='"$(bindir)"' -DSBINDIR='"$(sbindir)"'
tools_mount_cloison_LDADD = $(tools_key_libs)

tools_umount_cloison_SOURCES = tools/umount.c
tools_umount_cloison_LDADD = libtools.a libcommon.a $(CRYPTO_LIBS)

# umount(8) and mount -o remount look for a helper by the type in the mount table, which is fuse.cloison.
install-exec-hook:
	cd $(DESTDIR)$(sbindir) && rm -f umount.fuse.cloison mount.fuse.cloison && \
		$(LN_S) umount.cloison umount.fuse.cloison && $(LN_S) mount.cloison mount.fuse.cloison
uninstall-hook:
	cd $(DESTDIR)$(sbindir) && rm -f umount.fuse.cloison mount.fuse.cloison

tools_tests = tests/unit/test_opts tests/unit/test_tools
check_PROGRAMS += $(tools_tests)
TESTS += $(tools_tests)

tests_unit_test_opts_SOURCES = tests/unit/test_opts.c
tests_unit_test_opts_LDADD = $(tools_key_libs) $(CHECK_LIBS)

tests_unit_test_tools_SOURCES = tests/unit/test_tools.c
tests_unit_test_tools_LDADD = $(tools_key_libs) $(CHECK_LIBS) -lutil

check_PROGRAMS += tests/tpm/test_unlock
tests_tpm_test_unlock_SOURCES = tests/tpm/test_unlock.c tests/tpm/swtpm.c tests/tpm/swtpm.h
tests_tpm_test_unlock_LDADD = $(tools_key_libs) $(CHECK_LIBS)
TESTS += tests/tpm/test_unlock
