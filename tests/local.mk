# SPDX-License-Identifier: GPL-3.0-or-later
# Tests that are no unit tests; those stand in the local.mk of what they test. scripts/run-tests.sh runs tests/mount.

include tests/bench/local.mk
include tests/model/local.mk

EXTRA_DIST += tests/mount tests/reader.py tests/reader_volume.py tests/reader_xxh3.py
