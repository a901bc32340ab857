#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Lines of the engine and of the keyring that the tests ran, file by file; below 85 of 100 for a directory is an error.
# Usage: scripts/coverage.sh BUILDDIR, a build with --enable-coverage whose tests have run.
set -eu
build=$(cd "${1:?usage: scripts/coverage.sh BUILDDIR}" && pwd)
cd "$(dirname "$0")/.."
bad=0
for dir in fs keyring; do
	for note in "$build/$dir"/*.gcno; do
		case $note in */tests_*) continue ;; esac # a second build of the same files
		(cd "$build" && gcov -n -o "$dir" "$note" 2>/dev/null)
	done | awk -v dir="$dir" '
		/^File / { split($0, part, "\047"); file = part[2]; mine = file ~ "(^|/)" dir "/[^/]*\\.c$" }
		/^Lines executed:/ && mine {
			sub("^Lines executed:", ""); split($0, n, "% of ")
			sub(".*/", "", file)
			printf "%6.1f %5d  %s/%s\n", n[1], n[2], dir, file
			all += n[2]; run += n[1] * n[2] / 100; mine = 0
		}
		END {
			if (!all) { print "coverage: no data for " dir; exit 1 }
			printf "%6.1f %5d  %s: lines run, of 100; lines\n", 100 * run / all, all, dir
			exit 100 * run < 85 * all
		}' || bad=1
done
exit $bad
