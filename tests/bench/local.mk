# The benchmark: its two programs are built by `make bench` alone and never installed.

EXTRA_PROGRAMS += tests/bench/passthrough tests/bench/workload

tests_bench_passthrough_SOURCES = \
	tests/bench/passthrough.c \
	tests/bench/pt.h \
	tests/bench/ptdir.c \
	tests/bench/ptfile.c \
	tests/bench/ptname.c \
	tests/bench/ptnode.c \
	tests/bench/ptnode.h
tests_bench_passthrough_LDADD = $(FUSE3_LIBS)

tests_bench_workload_SOURCES = tests/bench/workload.c
tests_bench_workload_LDADD =

EXTRA_DIST += tests/bench/bench.py tests/bench/fusecount.py tests/bench/subjects.py
CLEANFILES += tests/bench/passthrough$(EXEEXT) tests/bench/workload$(EXEEXT)

# As root, for instance: make bench BENCHFLAGS='--backing tmpfs --tests small --count'
bench: all tests/bench/passthrough$(EXEEXT) tests/bench/workload$(EXEEXT)
	/usr/bin/python3 $(srcdir)/tests/bench/bench.py --builddir $(builddir) $(BENCHFLAGS)
.PHONY: bench
