#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 of the daemon at random moments under load (overwrites, cuts, mappings, renames, tar, git, sqlite): each time it
# mounts again without fsck, what was synced is there, nothing is torn, and fsck.cloison has nothing to say.
# SEED=n repeats a run as far as the moments go, ROUNDS=n makes it longer.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/loads.sh"
need git tar

seed=${SEED:-$RANDOM}
rounds=${ROUNDS:-8}
RANDOM=$seed
echo "seed $seed"
make_volume
export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@localhost GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@localhost
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
repo=$M/git
g() { git -C "$repo" -c core.fsync=all -c core.fsyncMethod=fsync -c gc.auto=0 "$@"; }

mkdir "$T/tree"
for i in $(seq 300); do head -c $((i * 37 % 9000)) /dev/urandom >"$T/tree/file-$i"; done
tar -cf "$T/tree.tar" -C "$T" tree

load_git() {
	local i=0 repo=.
	cd git
	while g rev-parse -q HEAD >/dev/null; do
		i=$((i + 1))
		echo "$i $RANDOM" >>"file-$((i % 7))" || break
		# git syncs the new reference, not the rename that puts it in its place.
		g add -A && g commit -qm "commit $i" && sync .git/refs/heads && g rev-parse HEAD >>"$T/commits"
	done
}
load_tar() {
	while tar -xf "$T/tree.tar" -C tar && rm -rf tar/tree; do :; done
}

for round in $(seq "$rounds"); do
	case $((round % 3)) in
	0) what=$key,commit=1 ;; # many commits
	1) what=$key ;;
	2) what=$key,cache=4M ;;
	esac
	mount_it "$what"
	rm -rf "$M/tar"
	if [ $((round % 20)) = 1 ]; then
		rm -rf "$M/git" "$M"/db*
		mkdir "$M/git"
		g init -q
		g commit -q --allow-empty -m first
		find "$M" -type f -exec sync {} +
		sync "$M" "$M/git"
	fi
	mkdir "$M/tar"
	rm -f "$M"/git/.git/*.lock "$M"/git/.git/refs/heads/*.lock # what the last kill of git left
	g reset -q --hard
	: >"$T/commits"
	start_loads "$seed-$round"
	cd "$M"
	for load in load_git load_tar; do
		$load >/dev/null 2>&1 &
		jobs+=($!)
	done
	cd "$T"
	sleep "$((RANDOM % 3)).$((RANDOM % 900 + 100))"
	crash_it
	wait_for_loads
	step "round $round: $(wc -l <"$T/commits") commits, $(wc -l <"$T/rows") transactions"
	[ $((round % 4)) != 0 ] || look

	mount_it
	check_loads
	run g fsck --full --strict --no-dangling
	[ $rc = 0 ] || fail "git fsck: $out"
	! grep -Ewq 'missing|corrupt|error|bad' <<<"$out" || fail "git fsck: $out"
	for commit in $(tail -n 3 "$T/commits"); do
		g merge-base --is-ancestor "$commit" HEAD || fail "commit $commit was made, and is not in the history"
	done
	unmount_it
	look
done
check_volume

step 'fsck.cloison first instead of a mount'
mount_it
start_loads "$seed-last"
sleep 1
crash_it
wait_for_loads
run fsck.cloison -p --tpm2 none --passphrase-file "$passphrase" "$V"
[[ $rc = [01] ]] || fail "fsck.cloison -p: exit $rc: $out"
mount_it
check_loads
