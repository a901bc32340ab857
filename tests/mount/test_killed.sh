#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 of mkfs.cloison, of a mount in its recovery, of a daemon that unmounts, of fsck.cloison -p, at random moments; and the
# power cut in the midst of each. Afterwards the volume opens, or what is there says that it is none.
# SEED=n, ROUNDS=n (of each).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/loads.sh"
[ -x "$BUILD/tests/mount/powerfs" ] || fail "no powerfs in $BUILD/tests/mount: build first"

seed=${SEED:-$RANDOM}
rounds=${ROUNDS:-1}
RANDOM=$seed
echo "seed $seed"
L=$T/lower
mkdir "$L" "$M"
"$BUILD/tests/mount/powerfs" "$L"
power() { setfattr -n user.power -v "$1" "$L"; }

# Milliseconds that a command takes.
time_of() {
	local start=${EPOCHREALTIME/./}
	"$@" >/dev/null 2>&1
	echo $(((${EPOCHREALTIME/./} - start) / 1000))
}

# kill_within MILLISECONDS COMMAND...: kills it, and its helpers, at a random moment within that time, if it still runs.
# With $cuts it is the power that fails, before or after, and what was not durable is lost by the dice.
kill_within() {
	local ms=$((RANDOM % $1 + 1)) pid
	shift
	[ ! "$cuts" ] || power "off:$((RANDOM % cuts))"
	setsid "$@" >"$T/out" 2>&1 </dev/null &
	pid=$!
	sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
	[ ! "$cuts" ] || power off
	kill -KILL -- "-$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	for pid in $(daemons); do # one that went into the background
		kill -KILL "$pid" || true
		wait_until 20 gone "$pid" || fail 'it survived kill -9'
	done
	# mountpoint(1) does not see the mount of a daemon that is dead.
	! grep -q " $M " /proc/self/mountinfo || umount -l "$M"
	[ ! "$cuts" ] || power "on:mix:$RANDOM"
}

try_mkfs() { mkfs.cloison --journal-size 8M --tpm2 none --recovery-passphrase-file "$passphrase" "$V"; }
check_twice() { # mounted, and unmounted
	mount_it
	check_loads
	unmount_it
	look
}
crashed() { # a volume with a journal to replay and leftovers to remove
	mount_it
	start_loads "$seed-$RANDOM"
	sleep 0.7
	crash_it
	wait_for_loads
}

V=$T/first
taken=$(time_of try_mkfs)
made=0
for round in $(seq $((rounds * 4))); do
	cuts=''
	V=$T/mkfs-$round
	if [ $((round % 2)) = 0 ]; then
		cuts=700 # what mkfs.cloison changes, and some
		V=$L/mkfs-$round
	fi
	kill_within "$((taken * 5 / 4))" try_mkfs
	run mount.cloison "$V" "$M" -o "$key"
	if [ $rc = 0 ]; then
		made=$((made + 1))
		echo 1 >"$M/file"
		unmount_it
		look
		refused 'not empty' try_mkfs
	else
		grep -Eq 'is not a cloison volume|No such file or directory' <<<"$out" || fail "mount.cloison: $out"
		run try_mkfs
		if [ $rc != 0 ]; then
			grep -q 'is not empty; a volume is made in an empty or a new directory' <<<"$out" || fail "mkfs.cloison: $out"
			rm -r "$V"
			try_mkfs >/dev/null
		fi
		mount_it
		unmount_it
	fi
	rm -r "$V"
done
step "mkfs.cloison was killed $((rounds * 4)) times, $made volumes were made none the less"

for where in disk power; do
	cuts=''
	V=$T/volume
	if [ $where = power ]; then
		umount "$L" # and a new one
		"$BUILD/tests/mount/powerfs" "$L"
		V=$L/volume
	fi
	make_volume
	for round in $(seq "$rounds"); do
		for i in 1 2 3; do
			[ $where = disk ] || cuts=400
			[ "$i" != 1 ] || crashed
			kill_within 1000 cloisonfs -f "$V" "$M" -o "$key"
		done
		check_twice
	done
	step "$where: a mount was killed in its recovery, $((rounds * 3)) times"

	for round in $(seq "$rounds"); do
		for i in 1 2 3; do
			[ "$i" != 1 ] || crashed
			kill_within 700 fsck.cloison -p --tpm2 none --passphrase-file "$passphrase" "$V"
		done
		check_twice
	done
	step "$where: fsck.cloison -p was killed $((rounds * 3)) times"

	for round in $(seq "$rounds"); do
		mount_it
		head -c 3000000 /dev/urandom >"$T/kept"
		cp "$T/kept" "$M/kept"
		sync "$M/kept" "$M"
		for i in $(seq 200); do echo "$round" >"$M/file-$i"; done
		pid=$(daemon_of)
		kill_within 60 umount.cloison "$M"
		wait_until 20 gone "$pid" || fail 'the daemon survived'
		mount_it
		cmp "$T/kept" "$M/kept" || fail 'what was synced is lost'
		for i in $(seq 200); do
			[ ! -s "$M/file-$i" ] || [ "$(cat "$M/file-$i")" -le "$round" ] || fail "file $i is torn"
		done
		unmount_it
		look
	done
	step "$where: a daemon was killed while it unmounted, $rounds times"
done
