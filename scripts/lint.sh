#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# House rules that no compiler knows: layers, names of symbols, headers that stand alone. Usage: scripts/lint.sh [BUILDDIR]
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
bad=0

complain() {
	echo "lint: $*" >&2
	bad=1
}

# What a file may include, by its path: the first pattern that fits counts.
may_include() {
	case $1 in
	common/*) echo 'common/*' ;;
	keyring/*) echo 'common/* keyring/*' ;;
	tpm/*) echo 'common/* tpm/*' ;;
	fs/fuse/*) echo 'common/* keyring/* tpm/* fs/fs.h fs/store.h fs/acl.h fs/fuse/* tools/common/*' ;;
	fs/store*) echo 'common/* fs/store*' ;;
	fs/seal*) echo 'common/* fs/seal*' ;;
	fs/label* | fs/access* | fs/acl*) echo 'common/* fs/label* fs/access* fs/acl*' ;;
	fs/journal*) echo 'common/* fs/store* fs/journal* fs/rule.h' ;;
	fs/comp*) echo 'common/* keyring/keyring.h fs/[!/]*.h' ;; # keys are derived there
	fs/*) echo 'common/* fs/[!/]*.h' ;;
	tools/*) echo 'common/* keyring/* tpm/* fs/[!/]*.h tools/*' ;;
	tests/*) echo '*' ;;
	esac
}

# The prefixes of a directory's global symbols (extended regular expression).
prefixes() {
	case $1 in
	common) echo 'bytes_|secret_|fault_|log_|file_|list_|le(16|32|64)_' ;;
	keyring) echo 'keyring_' ;;
	tpm) echo 'tpm_' ;;
	fs) echo '(seal|store|journal|page|pageio|pagemap|node|tree|leaf|data|inode|dir|xattr|txn|room|fresh|home|comp|fs|label|access|acl|check|repair|rule|follow)_' ;;
	fs/fuse) echo 'fuse_cl_' ;;
	esac
}

sources() {
	find common keyring tpm fs tools tests -name '*.[ch]' | sort
}

lint_layers() {
	local file included pattern allowed ok
	while IFS=: read -r file included; do
		[ "$included" = config.h ] && continue
		ok=no
		allowed=$(may_include "$file")
		set -f # the patterns are for case, not for files
		for pattern in $allowed; do
			# shellcheck disable=SC2254
			case $included in $pattern) ok=yes ;; esac
		done
		set +f
		[ $ok = yes ] || complain "$file includes $included, which its layer must not know"
	done < <(sources | xargs grep -Eo '^#include "[^"]+"' | sed 's/#include "//; s/"$//')
}

lint_symbols() {
	local dir object symbol allowed n=0
	for dir in common keyring tpm fs fs/fuse tools/common; do
		for object in "$build/$dir"/*.o; do
			[ -e "$object" ] || continue
			n=$((n + 1))
			allowed=$(prefixes "$dir")
			[ -n "$allowed" ] || allowed=$(basename "$object" .o)'(_|$)' # elsewhere a file is a module
			while read -r symbol; do
				[[ $symbol = main || $symbol =~ ^($allowed) ]] ||
					complain "${object#"$build"/}: global symbol $symbol, expected ^($allowed)"
			done < <(nm --defined-only --extern-only --format=just-symbols "$object")
		done
	done
	[ $n -gt 0 ] || complain "no object files in $build: build first"
}

lint_headers() {
	local header flags
	flags=$(pkg-config --cflags fuse3 libcrypto jansson libxxhash tss2-esys check) || complain 'pkg-config failed'
	while read -r header; do
		# shellcheck disable=SC2086
		echo "#include \"$header\"" | ${CC:-cc} -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra \
			-Werror -I. -I"$build" $flags -fsyntax-only -x c - || complain "$header does not compile alone"
	done < <(sources | grep '\.h$')
}

lint_text() {
	local file
	while read -r file; do
		head -n 2 "$file" | grep -q 'SPDX-License-Identifier: GPL-3.0-or-later' || complain "$file has no SPDX line"
		if grep -Eq '\b(HAVE_[A-Z]|PACKAGE_)' "$file" && ! grep -q '#include "config.h"' "$file"; then
			complain "$file asks for a result of configure without including config.h"
		fi
		[ "$(wc -l <"$file")" -lt 1000 ] || complain "$file has 1000 lines or more: split it"
	done < <(sources; find scripts tests bootstrap .ci/run -name '*.sh' -o -name '*.py' -o -path bootstrap -o -path .ci/run)
}

lint_layers
lint_symbols
lint_headers
lint_text
exit $bad
