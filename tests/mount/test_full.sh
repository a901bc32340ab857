#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The backing filesystem is full: filled through the mount, by somebody else, by both; unmounted and mounted like that, killed like
# that. Programs are told, nothing that was synced is lost, deleting works and gives the space back, and then writing works again.
# On ext4; LONG=1: also on an ext4 that runs out of inodes, and on xfs and btrfs where their tools are there. FILESYSTEMS="ext4 ..." chooses.
. "$(dirname "$0")/lib.sh"
need losetup mkfs.ext4 sqlite3 fallocate dd

B=$T/backing
mkdir "$B"
V=$B/vol

make_filesystem() { # KIND
	case $1 in
	ext4) truncate -s 96M "$T/image" && mkfs.ext4 -qF -m 0 "$T/image" ;;
	inodes) truncate -s 96M "$T/image" && mkfs.ext4 -qF -m 0 -N 800 "$T/image" ;;
	xfs) truncate -s 320M "$T/image" && mkfs.xfs -q "$T/image" ;;
	btrfs) truncate -s 256M "$T/image" && mkfs.btrfs -q "$T/image" 2>/dev/null ;;
	esac
	mount -o loop "$T/image" "$B"
}

avail() { sync -f "$B" && df --output=avail -k "$B" | tail -n 1; } # KiB of the backing filesystem

# What is left goes to somebody else, to the last block that he can have; a big step first, then small files.
somebody_fills() {
	mkdir -p "$B/other"
	! dd if=/dev/zero of="$B/other/big" bs=64k oflag=append conv=notrunc status=none 2>/dev/null || fail 'the disk has no end'
	for i in $(seq 200); do
		head -c 4096 /dev/zero 2>/dev/null >"$B/other/$RANDOM-$i" || break
	done
	! dd if=/dev/zero of="$B/other/big" bs=4k oflag=append conv=notrunc status=none 2>/dev/null || fail 'the disk has no end'
	sync -f "$B"
}
somebody_leaves() { rm -rf "$B/other"; }

# Until no file more can be made and synced: small ones through the journal, large ones directly.
fill() { # NAME SIZE
	local i
	mkdir -p "$M/$1"
	for i in $(seq 6000); do
		head -c "$2" /dev/urandom 2>/dev/null >"$M/$1/$i" && sync "$M/$1/$i" 2>/dev/null || return 0
	done
	fail "the disk does not get full"
}

no_room() { # COMMAND...: says so
	run "$@"
	[ "$rc" != 0 ] || fail "$*: succeeded on a full disk"
	grep -Eq 'No space left|Disk quota exceeded|disk is full|disk I/O error|unable to open database file' <<<"$out" || fail "$*: said: $out"
}

works() { # the mount takes new files and old ones, and stays writable
	local i
	for i in 1 2 3; do
		cp "$T/keep" "$M/new-$i" && sync "$M/new-$i" || fail 'writing does not work again'
		cmp "$T/keep" "$M/new-$i"
	done
	sqlite3 "$M/db" "INSERT INTO t(v) VALUES('again')" || fail 'sqlite does not work again'
	rm -f "$M"/new-*
	sync "$M"
}

whole() { # all that was synced before
	cmp "$T/keep" "$M/keep" || fail 'what was synced is not there'
	same 'sqlite' ok "$(sqlite3 "file:$M/db?immutable=1" 'PRAGMA integrity_check')"
	cmp "$T/sum" <(cd "$M" && sha256sum small/* 2>/dev/null) || fail 'small files have changed'
}

sqlite_on_full() {
	no_room sqlite3 "$M/db" "PRAGMA synchronous=FULL; BEGIN; INSERT INTO t(v) SELECT hex(randomblob(4000)) FROM t, t AS u LIMIT 30000; COMMIT"
}

# Deleting gives the space back to the backing filesystem: at least that many KiB after a sync.
delete() { # KIB FILE...
	local before
	before=$(avail)
	rm -rf "${@:2}" || fail 'deleting does not work'
	comes_back $((before + $1))
}

# The kernel tells of a deleted file a moment after rm has ended.
comes_back() { wait_until 10 has "$1" || fail "$(avail) KiB are available, expected $1"; }
has() { sync "$M" && [ "$(avail)" -ge "$1" ]; }

check_full_volume() { # as check_volume; its journal may have to keep what has no room
	for how in -n -p; do
		run fsck.cloison "$how" --tpm2 none --passphrase-file "$passphrase" "$V"
		[[ $rc = [01] && $out = *': clean'* ]] || fail "fsck.cloison $how: exit $rc: $out"
	done
	run reader verify
	[ $rc = 0 ] || fail "reader.py verify: exit $rc: $out"
}

one_filesystem() { # KIND
	make_filesystem "$1"
	make_volume --tpm2 none
	mount_it
	cp "$T/keep" "$M/keep"
	mkdir "$M/small"
	for i in $(seq 200); do echo "$i $RANDOM" >"$M/small/$i"; done
	sqlite3 "$M/db" "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES('first')"
	sync "$M"
	(cd "$M" && sha256sum small/*) >"$T/sum"

	remount_it # all of it is home now
	step "$1: sparse files cost nothing, and holes give space back"
	before=$(avail)
	truncate -s 1G "$M/sparse"
	fallocate -l 12M "$M/room"
	head -c 12M /dev/urandom | dd of="$M/room" conv=notrunc bs=1M status=none iflag=fullblock
	sync "$M"
	used=$(du -sk "$V" | cut -f 1)
	fallocate -p -o 1M -l 10M "$M/room"
	sync "$M"
	[ "$(du -sk "$V" | cut -f 1)" -le $((used - 10000)) ] || fail 'a hole gave no space back'
	rm "$M/sparse" "$M/room"
	comes_back $((before - 1500))

	step "$1: filled through the mount, with large files, then small ones"
	fill large 3M
	fill tiny 3000
	no_room sh -c "head -c 3000000 /dev/urandom >'$M/more' && sync '$M/more'"
	same 'df of a full volume' 1 "$(($(df --output=avail -k "$M" | tail -n 1) < 2000))"
	sqlite_on_full
	whole

	step "$1: unmounted and mounted while it is full"
	remount_it
	whole
	unmount_it
	check_full_volume
	mount_it
	delete 1500 "$M/large/1" # pages that had waited have gone home
	works
	delete 1 "$M/tiny"

	step "$1: somebody else takes the rest at once, while there is work"
	for i in $(seq 400); do head -c $((RANDOM % 9000)) /dev/urandom >"$M/busy-$i"; done
	somebody_fills
	run sync "$M"
	for i in $(seq 300); do
		head -c 2000 /dev/urandom 2>/dev/null >"$M/busier-$i" || true
	done
	for i in $(seq 3000); do
		head -c 2000 /dev/urandom 2>/dev/null >"$M/last" && sync "$M/last" 2>/dev/null && mv "$M/last" "$M/small-$i" 2>/dev/null || break
	done
	[ "$i" -lt 3000 ] || fail 'nothing gets full'
	whole
	step "$1: killed while it is full, and mounted"
	crash_it
	mount_it
	whole
	rm -f "$M"/bus* "$M"/small-* "$M/last" || fail 'deleting does not work'
	sync "$M"
	step "$1: deleted while somebody takes all that comes free"
	somebody_fills
	rm -r "$M/large" || fail 'deleting does not work'
	sync "$M" || fail 'sync on a full disk'
	somebody_fills
	remount_it
	whole
	unmount_it
	check_full_volume
	mount_it
	somebody_leaves
	works
	whole
	unmount_it
	check_volume
	umount "$B"
	rm "$T/image"
}

step 'mkfs.cloison where there is no room for its journal'
make_filesystem ext4
refused 'No space left on device: its journal alone takes 131072 KiB' mkfs.cloison --tpm2 none --recovery-passphrase-file "$passphrase" --journal-size 128M "$V"
[ ! -e "$V" ] || fail "mkfs.cloison left something: $(find "$V" | head)"
umount "$B" && rm "$T/image"

head -c 700000 /dev/urandom >"$T/keep"
[ -z "${LONG-}" ] || FILESYSTEMS=${FILESYSTEMS:-ext4 inodes xfs btrfs}
for kind in ${FILESYSTEMS:-ext4}; do
	if [ "$kind" != inodes ] && ! command -v "mkfs.$kind" >/dev/null; then
		echo "mkfs.$kind is not installed"
		continue
	fi
	one_filesystem "$kind"
done
