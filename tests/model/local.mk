# SPDX-License-Identifier: GPL-3.0-or-later
# The model-based test: see test_model.c. `tests/model/test_model --long` takes twenty times as long.

check_PROGRAMS += tests/model/test_model
TESTS += tests/model/test_model

tests_model_test_model_SOURCES = \
	tests/model/chaos.c \
	tests/model/crash.c \
	tests/model/cutstore.c \
	tests/model/cutstore.h \
	tests/model/drive.c \
	tests/model/drive.h \
	tests/model/drive_attr.c \
	tests/model/drive_data.c \
	tests/model/drive_name.c \
	tests/model/memstore.c \
	tests/model/memstore.h \
	tests/model/ref.c \
	tests/model/ref.h \
	tests/model/ref_data.c \
	tests/model/run.c \
	tests/model/run.h \
	tests/model/tempdir.c \
	tests/model/tempdir.h \
	tests/model/test_model.c \
	tests/model/verify.c \
	tests/model/wrapstore.c \
	tests/model/wrapstore.h
tests_model_test_model_LDADD = $(fs_test_libs)
