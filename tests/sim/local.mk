# SPDX-License-Identifier: GPL-3.0-or-later
# Simulated power cuts: see test_sim.c.

sim_sources = \
	tests/model/drive.c \
	tests/model/drive.h \
	tests/model/drive_attr.c \
	tests/model/drive_data.c \
	tests/model/drive_name.c \
	tests/model/ref.c \
	tests/model/ref.h \
	tests/model/ref_data.c \
	tests/model/verify.c \
	tests/sim/history.c \
	tests/sim/history.h \
	tests/sim/scripts.c \
	tests/sim/scripts.h \
	tests/sim/simdisk.c \
	tests/sim/simdisk.h \
	tests/sim/simnode.h \
	tests/sim/simstore.c \
	tests/sim/trial.c \
	tests/sim/trial.h

check_PROGRAMS += tests/sim/test_sim tests/sim/test_mutants tests/sim/test_made
TESTS += tests/sim/test_sim tests/sim/test_mutants tests/sim/test_made
tests_sim_test_sim_SOURCES = tests/sim/test_sim.c $(sim_sources)
tests_sim_test_sim_LDADD = $(fs_test_libs)

# The engine once more, with rules that can be switched off.
check_LIBRARIES = tests/sim/libmutants.a
tests_sim_libmutants_a_SOURCES = $(libfs_a_SOURCES)
tests_sim_libmutants_a_CPPFLAGS = $(AM_CPPFLAGS) -DCLOISON_MUTANTS
tests_sim_test_mutants_SOURCES = tests/sim/test_mutants.c $(sim_sources)
tests_sim_test_mutants_LDADD = tests/sim/libmutants.a $(fs_test_libs)

# Making a volume, and its header; the header is written with plain calls, which are led to the simulated disk.
tests_sim_test_made_SOURCES = tests/sim/test_made.c tests/sim/simdisk.c tests/sim/simdisk.h tests/sim/simnode.h tests/sim/simstore.c \
	tests/model/ref.c tests/model/ref.h tests/model/ref_data.c
tests_sim_test_made_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=openat64,--wrap=write,--wrap=fsync,--wrap=renameat,--wrap=unlinkat,--wrap=close \
	-Wl,--wrap=fchmod,--wrap=fchown
tests_sim_test_made_LDADD = $(fs_test_libs)
