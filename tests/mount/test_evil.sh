#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Hostile store under a running daemon, and before the tools: right data or EIO, a line in the log, nothing hangs, nothing outside is
# looked at. LONG=1: ten times as many changes.
. "$(dirname "$0")/lib.sh"

evil() { "$PYTHON" "$top/tests/mount/evil.py" "$M" "$V" "$T/log" "$@"; }
fsck() { timeout 60 fsck.cloison "$@" --tpm2 none --passphrase-file "$passphrase" "$V"; }

make_volume
mount_it
evil 0 0
unmount_it
cp -a "$V" "$T/good"
fresh() {
	rm -rf "$V"
	cp -a --sparse=always "$T/good" "$V"
}
comp=$(basename "$(dirname "$(find "$V" -name journal)")")

step 'lower files are changed while the daemon runs'
: >"$T/log"
mount_logged "$T/log"
pid=$(daemon_of)
evil "$([ "${LONG-}" ] && echo 360 || echo 36)" "${SEED:-$RANDOM}"
same 'the daemon' "$pid" "$(daemon_of)"
unmount_it
check_volume

step '... root page, journal, bitmaps, inode table: the daemon has what it needs of them'
fresh
: >"$T/log"
mount_logged "$T/log"
"$PYTHON" - "$V/$comp" <<'END'
import os, random, sys
os.chdir(sys.argv[1])
for name in "root", "journal", "01/0000000000000001.copy", "02/0000000000000002.copy":
    size = os.path.getsize(name)
    with open(name, "r+b") as f:
        for _ in range(20):
            f.seek(random.randrange(size))
            f.write(bytes([random.randrange(256)]))
END
echo more >"$M/more"
sync -f "$M"
same 'a new file' more "$(cat "$M/more")"
unmount_it
mount_it
same 'a new file' more "$(cat "$M/more")"
unmount_it

step 'damage that stays is told by path'
fresh
: >"$T/log"
mount_logged "$T/log"
for path in d1/f3 large; do
	read -r object page <<<"$("$PYTHON" "$top/tests/mount/objects.py" "$T/good" "$passphrase" "/$path" | awk -F'\t' '$3 == 0 && $4 == 1 { print $1, $2 }')"
	dd if=/dev/urandom of="$V/$object" bs=4096 seek="$page" count=1 conv=notrunc status=none
	refused 'Input/output error' cat "$M/$path"
	grep -q "${object##*/}: page $page " "$T/log" || fail "the log does not name $object: $(cat "$T/log")"
done
unmount_it
run fsck -n
same 'fsck.cloison' 4 $rc
for path in d1/f3 large; do grep -q "/$path" <<<"$out" || fail "fsck.cloison does not name /$path: $out"; done
same 'paths that fsck.cloison names' 2 "$(grep -oE '/(d[0-9]/f[0-9]|large|many/[0-9]+)' <<<"$out" | sort -u | wc -l)"

step 'things in the place of a lower file: refused, and at once'
secret=$T/outside
echo secret >"$secret"
touch -d '2001-01-01' "$secret"
before=$(stat -c '%x %y %z %s' "$secret")
for file in journal root lease; do
	things='symlink fifo zero folder name empty huge'
	[ $file = journal ] || [ "${LONG-}" ] || things=fifo
	for thing in $things; do
		fresh
		f=$V/$comp/$file
		case $thing in
		huge | empty | name) ;;
		*) rm "$f" ;;
		esac
		case $thing in
		symlink) ln -s "$secret" "$f" ;;
		fifo) mkfifo "$f" ;;
		zero) mknod "$f" c 1 5 ;;
		folder) mkdir "$f" ;;
		name) ln "$f" "$T/name" ;;
		empty) truncate -s 0 "$f" ;;
		huge) truncate -s 1T "$f" ;;
		esac
		run timeout 30 mount.cloison "$V" "$M" -o "$key"
		case $file/$thing/$rc in
		root/*/0 | journal/huge/0 | lease/empty/0 | lease/huge/0)
			# The other root page serves. A session that cannot write its own back says so.
			run umount.cloison "$M"
			[ $rc -le 1 ] && ! mountpoint -q "$M" || fail "$file is $thing: umount.cloison: exit $rc: $out"
			;;
		journal/*/5 | lease/*/1) ;;
		*) fail "$file is $thing: mount.cloison: exit $rc: $out" ;;
		esac
		run fsck -n
		[ $rc -le 4 ] || fail "$file is $thing: fsck.cloison: exit $rc: $out"
		rm -f "$T/name"
	done
done
same 'the file outside' "$before" "$(stat -c '%x %y %z %s' "$secret")"

step 'the header, and its backup'
for file in volume.json volume.json.bak; do
	things='missing symlink fifo zero folder empty huge garbage'
	[ "${LONG-}" ] || things='symlink fifo garbage'
	[ $file = volume.json ] || [ "${LONG-}" ] || things=fifo
	for thing in $things; do
		fresh
		f=$V/$file
		[ $thing = huge ] || [ $thing = garbage ] || rm "$f"
		case $thing in
		symlink) ln -s "$secret" "$f" ;;
		fifo) mkfifo "$f" ;;
		zero) mknod "$f" c 1 5 ;;
		folder) mkdir "$f" ;;
		empty) : >"$f" ;;
		huge) truncate -s 1T "$f" ;;
		garbage) head -c 3000 /dev/urandom >"$f" ;;
		esac
		timeout 30 mount.cloison "$V" "$M" -o "$key" >"$T/out" 2>&1 || fail "$file is $thing: $(cat "$T/out")"
		run umount.cloison "$M"
		run fsck -n
		[ $rc = 4 ] || fail "$file is $thing: fsck.cloison: exit $rc: $out"
	done
done
for thing in missing fifo symlink; do
	fresh
	rm "$V/volume.json" "$V/volume.json.bak"
	case $thing in
	fifo) mkfifo "$V/volume.json" "$V/volume.json.bak" ;;
	symlink) ln -s "$secret" "$V/volume.json"; ln -s "$secret" "$V/volume.json.bak" ;;
	esac
	run timeout 30 mount.cloison "$V" "$M" -o "$key"
	case $rc in 1 | 5) ;; *) fail "both headers are $thing: exit $rc: $out" ;; esac
done
same 'the file outside' "$before" "$(stat -c '%x %y %z %s' "$secret")"

step 'hostile names are shown harmless'
fresh
for name in $'line\nfeed' $'\e[2J\e]0;title\a' $'\xff\xfe' "$(printf 'n%.0s' {1..255})"; do
	: >"$V/$comp/$name"
	: >"$V/$comp/12/$name"
done
run fsck -n
same 'fsck.cloison' 4 $rc
if LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]' <<<"$out"; then fail "fsck.cloison shows control characters: $(cat -v <<<"$out")"; fi
if grep -qx 'feed.*' <<<"$out"; then fail "a name makes a line of its own: $out"; fi
mount_it
unmount_it
