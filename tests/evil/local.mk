# SPDX-License-Identifier: GPL-3.0-or-later
# The hostile store: see test_evil.c and test_evil_dir.c.

check_PROGRAMS += tests/evil/test_evil tests/evil/test_evil_dir
TESTS += tests/evil/test_evil tests/evil/test_evil_dir

evil_scene = \
	tests/evil/image.c \
	tests/evil/image.h \
	tests/evil/read.c \
	tests/evil/scene.c \
	tests/evil/scene.h \
	tests/evil/trial.c \
	tests/evil/trial.h
tests_evil_test_evil_SOURCES = $(evil_scene) \
	tests/evil/flip.c \
	tests/evil/places.c \
	tests/evil/places.h \
	tests/evil/swap.c \
	tests/evil/test_evil.c
tests_evil_test_evil_LDADD = $(fs_test_libs)
tests_evil_test_evil_dir_SOURCES = $(evil_scene) tests/evil/test_evil_dir.c
tests_evil_test_evil_dir_LDADD = $(fs_test_libs)
