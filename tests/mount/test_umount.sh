#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Ends of a mount: umount returns when everything is home; SIGTERM; lazy; by mount(8) and umount(8); with a dead daemon.
. "$(dirname "$0")/lib.sh"
need mount umount unshare

make_volume --tpm2 none --journal-size 64M
data="$T/data"
head -c 30000000 /dev/urandom >"$data"
work() { # DIR: much that is not on disk yet
	cp "$data" "$1/data"
	for i in $(seq 500); do echo "$i" >"$1/file-$i"; done
}
at_home() { # all there, verified, nothing left to replay
	cmp -s "$data" <(reader cat /data) || fail 'the data is not home'
	same 'files' 501 "$(reader ls | wc -l)"
	run fsck.cloison -n --tpm2 none --passphrase-file "$passphrase" "$V"
	[ $rc = 0 ] && ! grep -q 'replayed' <<<"$out" || fail "fsck.cloison -n: exit $rc: $out"
}
again() {
	mount_it
	rm -f "$M"/*
	work "$M"
}

step 'umount.cloison returns when the data is home and the daemon has ended'
again
pid=$(daemon_of)
unmount_it
gone "$pid" || fail 'the daemon still runs'
at_home
[ -z "$(ls /run/cloison 2>/dev/null)" ] || ! grep -qsF "$V" /run/cloison/* || fail 'a record of the mount was left in /run'

step 'a file that is open: refused, nothing lost'
again
exec 9>"$M/open"
expect 1 'in use' umount.cloison "$M"
mountpoint -q "$M" || fail 'it was unmounted'
echo 'written after that' >&9
exec 9>&-
rm "$M/open"
unmount_it
at_home

for signal in TERM INT HUP; do
	step "SIG$signal unmounts cleanly"
	again
	pid=$(daemon_of)
	kill -$signal "$pid"
	wait_until 20 gone "$pid" || fail 'the daemon does not end'
	! mountpoint -q "$M" || fail 'it is still mounted'
	at_home
done

step 'SIGTERM while a file is open: the data is safe, the daemon ends'
again
exec 9>>"$M/open"
echo 'before' >&9
pid=$(daemon_of)
kill -TERM "$pid"
wait_until 30 gone "$pid" || fail 'the daemon does not end'
exec 9>&-
! mountpoint -q "$M" || umount -l "$M"
mount_it
same 'what was written before' before "$(cat "$M/open")"
rm "$M/open"
unmount_it
at_home

step 'lazy: goes at once, the open file works on, then all is home'
again
exec 9>"$M/open"
pid=$(daemon_of)
run umount.cloison -l "$M"
[ $rc = 0 ] || fail "umount.cloison -l: $out"
! mountpoint -q "$M" || fail 'it is still mounted'
echo 'written after that' >&9
expect 1 'in use' mount.cloison "$V" "$M" -o "$key" # its daemon still works
exec 9>&-
wait_until 20 gone "$pid" || fail 'the daemon does not end'
same 'what was written' 'written after that' "$(reader cat /open)"
mount_it
rm "$M/open"
unmount_it
at_home

step "plain umount(2): the next mount waits for the daemon's end"
again
umount -i "$M"
mount_it
cmp "$data" "$M/data"
unmount_it

step 'a dead daemon: the mount point says so, umount helps'
again
sync "$M/data"
pid=$(daemon_of)
kill -KILL "$pid"
wait_until 20 gone "$pid"
refused 'not connected|connection abort' ls "$M"
expect 1 'dead' cloison status "$M"
expect 1 'daemon that has died is still there' mount.cloison "$V" "$M" -o "$key"
run umount.cloison "$M"
[ $rc = 1 ] && grep -q 'died before' <<<"$out" || fail "umount.cloison does not tell that the daemon died: exit $rc: $out"
! mountpoint -q "$M" || fail 'it is still mounted'
mount_it
cmp "$data" "$M/data"
unmount_it
check_volume

step 'two mount points of one filesystem: it ends with the last'
again
mkdir "$T/second"
mount --bind "$M" "$T/second"
pid=$(daemon_of)
run umount.cloison "$M"
[ $rc = 0 ] && grep -q 'another place' <<<"$out" || fail "umount.cloison: exit $rc: $out"
! gone "$pid" || fail 'the daemon ended too early'
same 'the second place' 1 "$(cat "$T/second/file-1")"
run umount.cloison "$T/second"
[ $rc = 0 ] || fail "umount.cloison: exit $rc: $out"
gone "$pid" || fail 'the daemon did not end'
at_home

step 'mount(8) and umount(8) with the helpers in /sbin'
# In a mount namespace of its own, with a copy of /usr/sbin in its place.
mkdir "$T/sbin"
cp -a /usr/sbin/. "$T/sbin/"
for helper in mount.cloison mount.fuse.cloison; do ln -sf "$BUILD/tools/mount.cloison" "$T/sbin/$helper"; done
for helper in umount.cloison umount.fuse.cloison; do ln -sf "$BUILD/tools/umount.cloison" "$T/sbin/$helper"; done
printf '%s %s cloison noauto,nofail,x-systemd.automount,%s 0 0\n' "$V" "$M" "$key" >"$T/fstab"
unshare --mount --propagation private bash -euc '
	V=$1 M=$2 T=$3 key=$4
	mount --bind "$T/sbin" /usr/sbin
	[ "$(readlink -f /sbin)" = /usr/sbin ] || mount --bind "$T/sbin" /sbin
	mount -t cloison "$V" "$M" -o "noexec,$key"
	grep -q "$M fuse.cloison .*noexec" /proc/mounts
	rm "$M"/*
	cp "$T/data" "$M/data"
	pid=$(cloison status --json "$M" | sed -n "s/.*\"pid\": \([0-9]*\).*/\1/p")
	grep -q uhelper=cloison /run/mount/utab
	umount "$M"
	! grep -F "$M" /run/mount/utab
	[ -z "$(ls "/proc/$pid/fd" 2>/dev/null)" ] || { echo "umount(8) returned before the daemon had ended"; exit 1; }
	code=0
	mount -t cloison "$V" "$M" -o tpm2=none 2>"$T/err" || code=$?
	[ $code = 4 ] || { echo "mount(8): exit $code instead of 4"; exit 1; }
	mount --bind "$T/fstab" /etc/fstab
	mount "$M"
	cmp "$T/data" "$M/data"
	umount "$M"
' bash "$V" "$M" "$T" "$key"
check_volume
