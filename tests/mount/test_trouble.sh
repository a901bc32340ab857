#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Trouble below and around a mount: a disk that fails, a filesystem below that turns read-only or is unmounted, a daemon that is
# stopped or killed for its memory. Programs get an error, what can be read is read, the log says why, nothing is lost.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/loads.sh"
need losetup mkfs.ext4 mount umount truncate
[ -x "$BUILD/tests/mount/powerfs" ] || fail "no powerfs in $BUILD/tests/mount: build first"

lines() { grep -Ec -- "$1" "$T/log" || true; }
end_it() { # with a daemon in the foreground; what it has to say is in $T/log
	local pid
	pid=$(daemon_of)
	run umount.cloison "$M"
	! mountpoint -q "$M" || fail "it does not unmount: $out"
	wait_until 20 gone "$pid" || fail 'the daemon does not end'
}
kept() { # what was synced before the trouble
	cmp "$T/kept" "$M/kept" || fail 'what was synced is not there'
	same 'what was synced' 1 "$(cat "$M/small")"
}
fill() {
	cp "$T/kept" "$M/kept"
	echo 1 >"$M/small"
	mkdir -p "$M/d"
	sync "$M/kept" "$M/small" "$M"
}
write_new() { echo 2 >"$M/new" && sync "$M/new"; }
head -c 3000000 /dev/urandom >"$T/kept"
L=$T/lower
mkdir "$L" "$M"

# ---- a disk that fails

"$BUILD/tests/mount/powerfs" "$L"
V=$L/volume
power() { setfattr -n user.power -v "$1" "$L"; }
make_volume

for what in writes syncs; do
	step "the disk fails all $what: the program is told, then the volume is read-only and is read from"
	: >"$T/log"
	mount_logged "$T/log"
	fill
	power "fail:$what"
	refused 'Input/output error|Read-only' write_new
	wait_until 10 eval '! touch "$M/d/another" 2>"$T/err"' || fail 'files are made on a disk that fails'
	grep -Eq 'Read-only file system|Input/output error' "$T/err" || fail "making a file: $(cat "$T/err")"
	refused 'Read-only|Input/output' rm "$M/small"
	kept
	ls "$M" "$M/d" >/dev/null
	power fail:none
	refused 'Read-only' mkdir "$M/later"
	kept
	same 'lines that say why' 1 "$(lines 'a commit failed.*read-only from now on')"
	end_it
	look
	mount_it
	kept
	echo 'goes on' >"$M/d/after"
	sync "$M/d/after"
	unmount_it
	look
done

step 'the disk fails all reads for a while: EIO, then all is as before, and writing went on'
: >"$T/log"
mount_logged "$T/log"
power fail:reads
refused 'Input/output error' cat "$M/kept"
grep -q 'object .* page .*Input/output error' "$T/log" || fail "the log does not say which page: $(cat "$T/log")"
power fail:none
kept
rm -f "$M/d/after"
end_it
look
umount "$L"

# ---- a real filesystem below

truncate -s 200M "$T/image"
mkfs.ext4 -q -F "$T/image"
mount -o loop,errors=remount-ro "$T/image" "$L"
V=$L/volume
make_volume

step 'a filesystem below that is in use is not remounted read-only behind our back'
mount_it
fill
if mount -o remount,ro "$L" 2>/dev/null; then fail 'the daemon has nothing open for writing'; fi
unmount_it

step 'the filesystem below turns read-only after an error: programs get it, reads go on, the log says why'
: >"$T/log"
mount_logged "$T/log"
fill
mount -o remount,abort "$L" 2>/dev/null || true
if touch "$L/x" 2>/dev/null; then fail 'the test does not make it read-only'; fi
refused 'Input/output error|Read-only' write_new
refused 'Read-only' mkdir "$M/later"
kept
same 'lines that say why' 1 "$(lines 'a commit failed.*read-only from now on')"
end_it
umount "$L"
mount -o loop "$T/image" "$L"
look
mount_it
kept
echo 'goes on' >"$M/d/after"
unmount_it
look

step 'the filesystem below is unmounted lazily: the mount works on, and ends cleanly'
mount_it
pid=$(daemon_of)
umount -l "$L"
[ ! -e "$V" ] || fail 'it is still mounted'
kept
cp "$T/kept" "$M/d/copy"
for i in $(seq 300); do echo "$i" >"$M/d/$i"; done
sync "$M/d/copy" "$M/d/300" "$M/d"
rm "$M/d/1"
unmount_it
gone "$pid" || fail 'the daemon did not end'
wait_until 20 eval '! losetup -n -O BACK-FILE | grep -qF "$T/image"' || fail 'the filesystem below is still in use'
mount -o loop "$T/image" "$L"
look
mount_it
kept
cmp "$T/kept" "$M/d/copy"
same 'files' 300 "$(ls "$M/d" | grep -c '^[0-9c]')"

# ---- the daemon

step 'the daemon is stopped under load: all wait, then all goes on'
start_loads stopped
pid=$(daemon_of)
for i in 1 2 3; do
	sleep 0.4
	kill -STOP "$pid"
	sleep 0.6
	kill -CONT "$pid"
done
for job in "${jobs[@]}"; do kill -0 "$job" || fail 'a program was told of an error'; done
crash_it
wait_for_loads
mount_it
check_loads

step 'unmounted while it is stopped: waits, and ends well when it goes on'
pid=$(daemon_of)
echo 'before the stop' >"$M/d/stop"
kill -STOP "$pid"
umount.cloison "$M" >"$T/out" 2>&1 &
job=$!
sleep 1
kill -0 $job 2>/dev/null || fail "umount.cloison did not wait: $(cat "$T/out")"
kill -CONT "$pid"
wait $job || fail "umount.cloison: exit $?: $(cat "$T/out")"
gone "$pid" || fail 'the daemon did not end'
look
mount_it
same 'what was written' 'before the stop' "$(cat "$M/d/stop")"

step 'the daemon is killed for the memory that it takes'
memory=''
for group in /sys/fs/cgroup/memory /sys/fs/cgroup; do
	if mkdir "$group/cloison-test-$$" 2>/dev/null; then
		memory=$group/cloison-test-$$
		[ ! -e "$memory/memory.limit_in_bytes" ] && [ ! -e "$memory/memory.max" ] || break
		rmdir "$memory"
		memory=''
	fi
done
if [ "$memory" ]; then
	pid=$(daemon_of)
	echo "$pid" >"$memory/cgroup.procs"
	limit=$memory/memory.max events=$memory/memory.events
	[ -e "$limit" ] || limit=$memory/memory.limit_in_bytes events=$memory/memory.oom_control
	[ ! -e "$memory/memory.swap.max" ] || echo 0 >"$memory/memory.swap.max"
	echo 8M >"$limit" # for what it takes from here on
	start_loads memory
	sleep 1
	for i in $(seq 50); do
		head -c 2000000 /dev/urandom >"$M/d/memory-$i" || break
	done 2>/dev/null
	wait_until 20 gone "$pid" || fail "the daemon lives within its limit: $(cat "$events")"
	grep -Eq 'oom_kill [1-9]' "$events" || fail "it was not the kernel that killed it: $(cat "$events")"
	wait_for_loads
	umount -l "$M"
	rmdir "$memory"
	mount_it
	check_loads
	kept
else
	echo 'no memory cgroup here: left out'
fi
unmount_it
look
umount "$L"
