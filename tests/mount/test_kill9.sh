#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 of the daemon at ten random moments under load (overwrites, renames, tar, git, sqlite): each time it mounts again
# without fsck, what was synced is there, nothing is torn, and fsck.cloison has nothing to say. SEED=n repeats a run.
. "$(dirname "$0")/lib.sh"
need git tar sqlite3

seed=${SEED:-$RANDOM}
rounds=${ROUNDS:-10}
RANDOM=$seed
echo "seed $seed"
make_volume
export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@localhost GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@localhost
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
g() { git -C "$M/git" -c core.fsync=all -c core.fsyncMethod=fsync -c gc.auto=0 "$@"; }

mkdir "$T/tree"
for i in $(seq 300); do head -c $((i * 37 % 9000)) /dev/urandom >"$T/tree/file-$i"; done
tar -cf "$T/tree.tar" -C "$T" tree

load_git() {
	local i=0
	while g rev-parse -q HEAD >/dev/null; do
		i=$((i + 1))
		echo "$i $RANDOM" >>"$M/git/file-$((i % 7))" || break
		g add -A && g commit -qm "commit $i" && g rev-parse HEAD >>"$T/commits"
	done
}
load_sqlite() {
	local i=0
	while [ -e "$M/db" ]; do
		i=$((i + 1))
		sqlite3 "$M/db" "PRAGMA synchronous=FULL; BEGIN; INSERT INTO t(v) VALUES(hex(randomblob(2000)));
			INSERT INTO t(v) VALUES('x'); COMMIT; SELECT max(id) FROM t" >"$T/last-id.new" || break
		[ -s "$T/last-id.new" ] && mv "$T/last-id.new" "$T/last-id"
	done
}
load_tar() {
	while mountpoint -q "$M" && [ -d "$M/tar" ]; do
		tar -xf "$T/tree.tar" -C "$M/tar" || break
		rm -rf "$M/tar/tree" || break
	done
}

for round in $(seq "$rounds"); do
	case $((round % 3)) in
	0) what=$key,commit=1 ;; # many commits
	1) what=$key ;;
	2) what=$key,cache=4M ;;
	esac
	mount_it "$what"
	if [ "$round" = 1 ]; then
		mkdir "$M/git" "$M/tar" "$M/w"
		g init -q
		g commit -q --allow-empty -m first
		sqlite3 "$M/db" 'PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v)' >/dev/null
		find "$M" -type f -exec sync {} +
		sync "$M" "$M/git"
	fi
	rm -rf "$M/w" "$M/tar"
	mkdir "$M/w" "$M/tar"
	rm -f "$M"/git/.git/*.lock "$M"/git/.git/refs/heads/*.lock # what the last kill of git left
	g reset -q --hard
	sync "$M" "$M/w"
	: >"$T/commits"
	: >"$T/last-id"
	"$PYTHON" "$top/tests/mount/writer.py" run "$M/w" "$T/state" "$seed-$round" &
	jobs=($!)
	for load in load_git load_sqlite load_tar; do
		$load >/dev/null 2>&1 &
		jobs+=($!)
	done
	sleep "$((RANDOM % 3)).$((RANDOM % 900 + 100))"
	crash_it
	wait "${jobs[@]}"
	step "round $round: $(wc -l <"$T/commits") commits, row $(cat "$T/last-id")"

	mount_it
	"$PYTHON" "$top/tests/mount/writer.py" check "$M/w" "$T/state"
	run g fsck --full --strict
	[ $rc = 0 ] || fail "git fsck: $out"
	! grep -Eq 'missing|corrupt|error|bad' <<<"$out" || fail "git fsck: $out"
	for commit in $(tail -n 3 "$T/commits"); do
		g merge-base --is-ancestor "$commit" HEAD || fail "commit $commit was made, and is not in the history"
	done
	same 'sqlite' ok "$(sqlite3 "$M/db" 'PRAGMA integrity_check')"
	[ "$(sqlite3 "$M/db" 'SELECT max(id) FROM t')" -ge "$(sed 's/^$/0/' "$T/last-id" | grep . || echo 0)" ] ||
		fail "row $(cat "$T/last-id") was committed, and is not there"
	unmount_it
	check_volume
done

step 'fsck.cloison first instead of a mount'
mount_it
"$PYTHON" "$top/tests/mount/writer.py" run "$M/w" "$T/state" "$seed-last" &
sleep 1
crash_it
wait $!
run fsck.cloison -p --tpm2 none --passphrase-file "$passphrase" "$V"
[[ $rc = [01] ]] || fail "fsck.cloison -p: exit $rc: $out"
mount_it
"$PYTHON" "$top/tests/mount/writer.py" check "$M/w" "$T/state"
