# SPDX-License-Identifier: GPL-3.0-or-later
# Every text is distributed, every man page installed.

EXTRA_DIST += doc
man5_MANS = $(wildcard $(srcdir)/doc/*.5)
man7_MANS = $(wildcard $(srcdir)/doc/*.7)
man8_MANS = $(wildcard $(srcdir)/doc/*.8)
