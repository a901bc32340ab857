#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Real filesystems below that lose their power under load: ext4 and xfs are shut down without writing their logs, so that they
# recover from their own journals. Then the volume mounts again without fsck, and what was synced is there.
# SEED=n, ROUNDS=n (for each).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/loads.sh"
need losetup mount umount truncate

seed=${SEED:-$RANDOM}
rounds=${ROUNDS:-2}
RANDOM=$seed
echo "seed $seed"
L=$T/lower
V=$L/volume
mkdir "$L"

# FS_IOC_SHUTDOWN with the flag "without the log": nothing more is written, neither data nor journal.
cut_power() { "$PYTHON" -c 'import fcntl, os, sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, b"\2\0\0\0")' "$L"; }

for type in ext4 xfs; do
	if ! command -v "mkfs.$type" >/dev/null || ! grep -qw "$type" /proc/filesystems; then
		echo "no $type here: left out"
		continue
	fi
	rm -f "$T/image"
	truncate -s 400M "$T/image"
	"mkfs.$type" -q "$T/image"
	mount -o loop "$T/image" "$L"
	make_volume
	cut_power
	umount "$L"
	mount -o loop "$T/image" "$L"
	look
	for round in $(seq "$rounds"); do
		mount_it "$key,commit=$((round % 3 + 1))"
		rm -f "$M"/db*
		start_loads "$seed-$type-$round"
		sleep "$((RANDOM % 3)).$((RANDOM % 900 + 100))"
		cut_power
		crash_it
		wait_for_loads
		step "$type, round $round: $(wc -l <"$T/rows") transactions"
		wait_until 20 umount "$L" || fail 'the filesystem below is in use'
		mount -o loop "$T/image" "$L"
		mount_it
		check_loads
		unmount_it
		look
	done
	umount "$L"
done
