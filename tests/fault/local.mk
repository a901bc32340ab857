# SPDX-License-Identifier: GPL-3.0-or-later
# Calls below the engine, and allocations, fail in turn: see test_faults.c. `tests/fault/test_faults --long` lets every call fail
# in every way.

check_PROGRAMS += tests/fault/test_faults
TESTS += tests/fault/test_faults

fault_model_sources = tests/model/memstore.c tests/model/memstore.h tests/model/ref.c tests/model/ref.h tests/model/ref_data.c \
	tests/model/tempdir.c tests/model/tempdir.h tests/model/wrapstore.c tests/model/wrapstore.h
fault_script_sources = tests/fault/past.c tests/fault/past.h tests/fault/script.c tests/fault/script.h tests/fault/scripts.c \
	tests/fault/steps.c tests/fault/steps.h $(fault_model_sources)

tests_fault_test_faults_SOURCES = tests/fault/faulty.c tests/fault/faulty.h tests/fault/test_faults.c $(fault_script_sources)
tests_fault_test_faults_LDADD = $(fs_test_libs)

# The linker puts allocators that fail in the place of those that the libraries call; the test's own files do not use them.
check_PROGRAMS += tests/fault/test_alloc tests/fault/test_alloc_keyring
TESTS += tests/fault/test_alloc tests/fault/test_alloc_keyring
fault_own_alloc = -include $(top_srcdir)/tests/fault/own_alloc.h
fault_wrap = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=strdup,--wrap=mmap64 \
	-Wl,--wrap=page_new,--wrap=pagemap_get_buf,--wrap=pagemap_get_bufs \
	-Wl,--wrap=secret_new,--wrap=secret_new_random,--wrap=secret_new_take \
	-Wl,--wrap=XXH3_createState,--wrap=EVP_CIPHER_CTX_new,--wrap=EVP_KDF_fetch,--wrap=EVP_KDF_CTX_new
fault_alloc_sources = tests/fault/failing_alloc.c tests/fault/failing_alloc.h tests/fault/own_alloc.h

tests_fault_test_alloc_SOURCES = tests/fault/test_alloc.c $(fault_alloc_sources) $(fault_script_sources)
tests_fault_test_alloc_CPPFLAGS = $(AM_CPPFLAGS) $(fault_own_alloc)
tests_fault_test_alloc_LDADD = $(fs_test_libs)
tests_fault_test_alloc_LDFLAGS = $(AM_LDFLAGS) $(fault_wrap)

tests_fault_test_alloc_keyring_SOURCES = tests/fault/test_alloc_keyring.c tests/model/tempdir.c tests/model/tempdir.h \
	$(fault_alloc_sources)
tests_fault_test_alloc_keyring_CPPFLAGS = $(AM_CPPFLAGS) $(fault_own_alloc)
tests_fault_test_alloc_keyring_LDADD = $(fs_test_libs)
tests_fault_test_alloc_keyring_LDFLAGS = $(AM_LDFLAGS) $(fault_wrap)

# System calls below the store that are interrupted, or do a part.
check_PROGRAMS += tests/fault/test_syscalls
TESTS += tests/fault/test_syscalls
tests_fault_test_syscalls_SOURCES = tests/fault/test_syscalls.c tests/model/tempdir.c tests/model/tempdir.h
tests_fault_test_syscalls_LDADD = $(fs_test_libs)
tests_fault_test_syscalls_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=pread64,--wrap=pwrite64,--wrap=pwritev64,--wrap=read,--wrap=write,--wrap=fdatasync,--wrap=fsync,--wrap=syncfs \
	-Wl,--wrap=ftruncate64,--wrap=fallocate64,--wrap=fcntl64,--wrap=syscall
