#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The power of the disk below fails under load, and what was not made durable is lost, kept or torn (powerfs.c): each time the
# volume mounts again without fsck, what was synced is there, nothing is torn, and fsck.cloison has nothing to say.
# SEED=n repeats the losses, ROUNDS=n makes it longer.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/loads.sh"
[ -x "$BUILD/tests/mount/powerfs" ] || fail "no powerfs in $BUILD/tests/mount: build first"

seed=${SEED:-$RANDOM}
rounds=${ROUNDS:-10}
RANDOM=$seed
echo "seed $seed"
L=$T/lower
V=$L/volume
mkdir "$L"
"$BUILD/tests/mount/powerfs" "$L"
power() { setfattr -n user.power -v "$1" "$L"; }
is_off() { [[ $(getfattr --only-values --absolute-names -n user.power "$L" 2>/dev/null) = off* ]]; }

step 'a new volume is durable when mkfs.cloison returns'
make_volume
power on:drop:0
look

step 'many small files: synced one by one and all at once'
mount_it
mkdir "$M/many"
for i in $(seq 60); do
	head -c 70000 /dev/zero | tr '\0' "\\$((i % 8))" >"$M/many/$i" # large enough for a home of their own at once
done
find "$M/many" -type f -exec sync {} + # the first commits them all, or leaves the others for their own
sync "$M/many"
power off
crash_it
power on:drop:0
mount_it
for i in $(seq 60); do
	cmp "$M/many/$i" <(head -c 70000 /dev/zero | tr '\0' "\\$((i % 8))") || fail "file $i was synced, and is not what it was"
done
rm -r "$M/many"
unmount_it
look

step 'the largest file here is that of the disk below, 1 GiB, less what its index pages take'
mount_it
truncate -s 1000M "$M/large"
echo 'the end' >>"$M/large"
sync "$M/large"
refused 'File too large' fallocate -l 1025M "$M/large"
same 'its end' 'the end' "$(tail -c 8 "$M/large")"
rm "$M/large"
unmount_it
look

for round in $(seq "$rounds"); do
	if [ $((round % 2)) = 0 ]; then power nodirect; else power direct; fi
	mount_it "$key,commit=$((round % 3 + 1))"
	rm -f "$M"/db*
	start_loads "$seed-$round"
	power "off:$((RANDOM % 3000))"
	wait_until $((RANDOM % 2)) is_off || power off
	crash_it
	wait_for_loads
	case $((round % 3)) in
	0) loss=drop ;;
	*) loss=mix ;;
	esac
	power "on:$loss:$seed$round"
	step "round $round: $loss of $(getfattr --only-values --absolute-names -n user.power "$L"); $(wc -l <"$T/rows") transactions"
	[ $((round % 4)) != 0 ] || look

	mount_it
	check_loads
	unmount_it
	look
done

step 'a disk that lies about its syncs is found out by this test'
mount_it
power lie
echo 'not durable' >"$M/lost"
sync "$M/lost" "$M"
power off
crash_it
power on:drop:0
power honest
mount_it
[ ! -e "$M/lost" ] || fail 'powerfs keeps what was never made durable'
unmount_it
look
