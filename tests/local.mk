# SPDX-License-Identifier: GPL-3.0-or-later
# Tests that are no unit tests; those stand in the local.mk of what they test. scripts/run-tests.sh runs tests/mount.

include tests/bench/local.mk
include tests/fault/local.mk
include tests/fuzz/local.mk
include tests/evil/local.mk
include tests/full/local.mk
include tests/fsck/local.mk
include tests/model/local.mk
include tests/mount/local.mk
include tests/sim/local.mk

EXTRA_DIST += tests/mount tests/reader.py tests/reader_volume.py tests/reader_xxh3.py

# A folder in EXTRA_DIST brings along what was built in it.
dist-hook:
	cd $(distdir) && rm -f $(check_PROGRAMS) $(noinst_PROGRAMS)
	find $(distdir)/tests -name '*.o' -exec rm -f {} +
	find $(distdir)/tests \( -name .deps -o -name __pycache__ \) -prune -exec rm -rf {} +
