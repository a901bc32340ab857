# SPDX-License-Identifier: GPL-3.0-or-later
# Loads for the tests that kill the daemon or the disk, and the comparison afterwards. Sourced behind lib.sh.
# shellcheck shell=bash
"$PYTHON" -c 'import sqlite3' || skip "$PYTHON has no sqlite3"
jobs=() # of the loads

writer() { "$PYTHON" "$top/tests/mount/writer.py" "$@"; }
load() { "$PYTHON" "$top/tests/mount/load.py" "$@"; }

# In folders of their own, made anew. What starts late must not work on what is below the mount point, so they start in it.
start_loads() { # SEED
	local i
	rm -rf "$M/w"
	mkdir "$M/w"
	sync "$M" "$M/w"
	: >"$T/rows"
	rm -f "$T"/fsx-? "$T/state"
	cd "$M"
	writer run w "$T/state" "$1" &
	jobs=($!)
	for i in 1 2; do
		load fsx "w/fsx-$i" "$T/fsx-$i" "$1-$i" &
		jobs+=($!)
	done
	load sqlite db "$T/rows" "$1" &
	jobs+=($!)
	cd "$T"
}

wait_for_loads() { wait "${jobs[@]}"; }

check_loads() {
	local i
	writer check "$M/w" "$T/state"
	for i in 1 2; do
		[ ! -e "$T/fsx-$i" ] || load fsx-check "$M/w/fsx-$i" "$T/fsx-$i"
	done
	load sqlite-check "$M/db" "$T/rows"
}

# fsck.cloison on what is there, which changes nothing.
look() {
	run fsck.cloison -n --tpm2 none --passphrase-file "$passphrase" "$V"
	[ $rc = 0 ] || fail "fsck.cloison -n: exit $rc: $out"
}
