#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Wrong PINs, passphrases, TPMs, options, directories and damaged headers: exit code and message of each, and nothing
# harmed afterwards.
. "$(dirname "$0")/lib.sh"
need swtpm

other=$T/other-vol
empty=$T/empty busy=$T/busy
mkdir "$empty" "$busy"
: >"$T/file"
printf 'a wrong passphrase' >"$T/wrong"
printf 'short' >"$T/short"
printf 271828 >"$T/pin"
printf 314159 >"$T/wrong-pin"
: >"$T/nothing"
tpm_start tpm
tpm_start other
make_volume --tpm2 "$(tcti tpm)" --label NP --label SECRET,unlock=pin --pin-file "$T/pin"
mv "$V" "$other"
make_volume
mount_it
echo 'what is to stay' >"$M/file"
unmount_it

sums() { find "$V" "$other" "$T/full" -type f -print0 | sort -z | xargs -0 sha256sum; }
# bad CODE PATTERN COMMAND...: as expect; then nothing is mounted, nothing changed, and no more than one sentence was said.
bad() {
	expect "$@"
	! mountpoint -q "$M" || fail "${*:3}: it is mounted all the same"
	[ "$(grep -cv "^[a-z.]*: try '.* --help'$" <<<"$out")" = 1 ] || fail "${*:3}: more than one line: $out"
	sums >"$T/now"; cmp -s "$T/now" "$T/sums" || fail "${*:3}: something was changed"
}
mount_bad() { # CODE PATTERN OPTIONS [DIR [MOUNTPOINT]]
	bad "$1" "$2" mount.cloison "${4:-$V}" "${5:-$M}" -o "$3"
}
mkdir "$T/full"
echo x >"$T/full/.hidden"
sums >"$T/sums"

step 'mkfs.cloison'
new=$T/new
mkfs_bad() { # CODE PATTERN ARGUMENT...
	bad "$1" "$2" mkfs.cloison "${@:3}"
	[ ! -e "$new" ] || fail "${*:3}: a directory was left behind"
}
p=(--tpm2 none --recovery-passphrase-file "$passphrase")
mkfs_bad 1 'full is not empty' "${p[@]}" "$T/full"
mkfs_bad 1 'vol is not empty' "${p[@]}" "$V"
mkfs_bad 1 'file is not a directory' "${p[@]}" "$T/file"
mkfs_bad 1 'No such file' "${p[@]}" "$T/no/such"
mkfs_bad 2 'DIR is missing' "${p[@]}"
mkfs_bad 2 'one directory only' "${p[@]}" "$new" "$empty"
mkfs_bad 2 'unknown option --nonsense' "${p[@]}" --nonsense "$new"
mkfs_bad 2 'passphrase is required' --tpm2 none "$new"
mkfs_bad 2 'at least 8 bytes' --tpm2 none --recovery-passphrase-file "$T/short" "$new"
mkfs_bad 4 'nothing is empty' --tpm2 none --recovery-passphrase-file "$T/nothing" "$new"
mkfs_bad 4 'No such file' --tpm2 none --recovery-passphrase-file "$T/absent" "$new"
mkfs_bad 2 'without a recovery way' --tpm2 "$(tcti tpm)" "$new"
mkfs_bad 2 'unlock=pin needs a TPM' "${p[@]}" --label A,unlock=pin "$new"
mkfs_bad 2 'give --pin-file' --tpm2 "$(tcti tpm)" --no-recovery --label A,unlock=pin "$new"
mkfs_bad 2 "'A' is given twice" "${p[@]}" --label A --label A "$new"
mkfs_bad 2 'dir=a/b' "${p[@]}" --label A --label B,dir=a/b "$new"
mkfs_bad 2 'dir=x is given twice' "${p[@]}" --label A --label B,dir=x --label C,dir=x "$new"
mkfs_bad 2 'unlock=nonsense' "${p[@]}" --label A,unlock=nonsense "$new"
mkfs_bad 2 'does not name a TPM' --tpm2 nonsense --no-recovery "$new"
mkfs_bad 8 'no TPM can be reached' --tpm2 "swtpm:path=$T/absent" --no-recovery "$new"
mkfs_bad 2 'journal-size' "${p[@]}" --journal-size 1K "$new"

step 'options'
mount_bad 2 'unknown option nonsense' "$key,nonsense"
mount_bad 2 'unknown option nonsense' "nonsense=1,$key"
mount_bad 2 'commit' "$key,commit=never"
mount_bad 2 'commit' "$key,commit=0"
mount_bad 2 'cache' "$key,cache=1"
mount_bad 2 'ro takes no value' "$key,ro=1"
mount_bad 2 'label needs a value' "$key,label="
mount_bad 2 'quote' "$key,label=\"x"
mount_bad 2 'remount' "$key,remount"
mount_bad 2 'anchor is not available' "$key,anchor=sync"
mount_bad 2 'does not name a TPM' tpm2=nonsense
bad 2 'expected DIR and MOUNTPOINT' mount.cloison "$V"
bad 2 'expected DIR and MOUNTPOINT' mount.cloison "$V" "$M" "$M"
bad 2 'unknown option -x' mount.cloison -x "$V" "$M"
mount_bad 6 'no such label' "$key,label=NONSENSE"

step 'directories and mount points'
mount_bad 1 'absent: No such file' "$key" "$T/absent"
mount_bad 1 'file is not a directory' "$key" "$T/file"
mount_bad 1 'empty is not a cloison volume' "$key" "$empty"
mount_bad 1 'full is not a cloison volume' "$key" "$T/full"
mount_bad 1 'absent: No such file' "$key" "$V" "$T/absent"
mount_bad 1 'file is not a directory' "$key" "$V" "$T/file"
mount_bad 2 'within the volume' "$key" "$V" "$V"
mount --bind "$empty" "$busy"
expect 1 'busy.* something is mounted there already' mount.cloison "$V" "$busy" -o "$key"
umount "$busy"
sums >"$T/sums" # the volume was opened before that was seen

step 'keys'
mount_bad 4 'the passphrase is wrong' "tpm2=none,passphrase-file=$T/wrong"
mount_bad 4 'No such file' "tpm2=none,passphrase-file=$T/absent"
mount_bad 4 'no passphrase was given' tpm2=none
pinned=tpm2=$(tcti tpm),label=SECRET
mount_bad 4 'PIN' "$pinned" "$other"
mount_bad 4 'wrong PIN: [0-9]+ tries left' "$pinned,pin-file=$T/wrong-pin" "$other"
mount_bad 4 'another TPM' "tpm2=$(tcti other)" "$other"
mount_bad 4 'another TPM' "tpm2=$(tcti other),label=SECRET,pin-file=$T/pin" "$other"
mount_bad 8 'no TPM can be reached' "tpm2=swtpm:path=$T/absent" "$other"
for i in 1 2 3; do
	mount_it "$pinned,pin-file=$T/pin" "$other"
	unmount_it
done
sums >"$T/sums" # a mount changes the volume

step 'a volume that is in use'
mount_it
expect 1 "in use: it is mounted on $M" mount.cloison "$V" "$busy" -o "$key"
expect 1 "in use: it is mounted on $M" mount.cloison "$V" "$M" -o "$key"
expect 1 'something is mounted there already' mount.cloison "$other" "$M" -o "tpm2=$(tcti tpm)"
expect 8 'in use' fsck.cloison --tpm2 none --passphrase-file "$passphrase" "$V"
expect 1 'is not empty' mkfs.cloison "${p[@]}" "$V"
expect 1 'is not empty' mkfs.cloison "${p[@]}" "$M"
same 'contents' 'what is to stay' "$(cat "$M/file")"
exec 9<"$M/file"
expect 1 'in use' umount.cloison "$M"
exec 9<&-
unmount_it
expect 1 'not mounted' umount.cloison "$M"
expect 1 'No such file|not mounted' umount.cloison "$T/absent"
mount --bind "$empty" "$busy"
expect 1 'not a mount of cloison' umount.cloison "$busy"
umount "$busy"
sums >"$T/sums"

# damage COMMAND...: runs it in a copy of the volume, which is then $D.
D=$T/damaged
damage() {
	rm -rf "$D"
	cp -a "$V" "$D"
	(cd "$D" && "$@")
}
id=$(cd "$V" && echo [0-9a-f]*[0-9a-f])
opens() { # PATTERN OF THE LOG
	: >"$T/log"
	mount_logged "$T/log" "$key" "$D"
	same 'contents' 'what is to stay' "$(cat "$M/file")"
	unmount_it
	grep -Eq -- "$1" "$T/log" || fail "the log does not say '$1': $(cat "$T/log")"
}

step 'damaged volume.json: one copy'
flip() { # FILE OFFSET
	"$PYTHON" -c '
import sys
with open(sys.argv[1], "r+b") as f:
    at = int(sys.argv[2])
    f.seek(at, 2 if at < 0 else 0)
    b = f.read(1)
    f.seek(-1, 1)
    f.write(bytes([b[0] ^ 4]))' "$1" "$2"
}
damage truncate -s 0 volume.json
opens 'volume.json'
damage truncate -s 100 volume.json
opens 'volume.json'
damage rm volume.json
opens 'volume.json'
damage rm volume.json.bak
opens 'is mounted'
expect 4 'volume.json.bak' fsck.cloison -n --tpm2 none --passphrase-file "$passphrase" "$D"
damage cp "$(command -v bash)" volume.json
opens 'volume.json'
for at in 1 200 500 900; do
	damage flip volume.json $at
	opens 'volume.json'
done

step 'damaged volume.json: well-formed, but not what was written'
change() { # FILE: another digit in the first MAC
	"$PYTHON" -c '
import re, sys
text = open(sys.argv[1]).read()
at = re.search(r"\"mac\": *\"", text).end()
text = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]
open(sys.argv[1], "w").write(text)' "$1"
}
damage change volume.json
opens 'volume.json'
for option in -n -p; do # none is written over the other: which of them is good is not for fsck to say
	cp "$D/volume.json" "$T/changed"
	expect 4 'differ' fsck.cloison $option --tpm2 none --passphrase-file "$passphrase" "$D"
	cmp "$D/volume.json" "$T/changed"
	cmp "$D/volume.json.bak" "$V/volume.json.bak"
done
damage change volume.json
change "$D/volume.json.bak"
run fsck.cloison -p --tpm2 none --passphrase-file "$passphrase" "$D"
[ "$rc" != 0 ] && [ "$rc" != 1 ] || fail "fsck.cloison over a header that does not authenticate: exit $rc: $out"
grep -q 'MAC' <<<"$out" || fail "fsck.cloison does not name what is wrong: $out"

step 'damaged volume.json: both copies'
both() { "$@" volume.json && cp volume.json volume.json.bak; }
damage both truncate -s 0
mount_bad 5 'volume.json' "$key" "$D"
damage both truncate -s 100
mount_bad 5 'volume.json' "$key" "$D"
damage cp "$other/volume.json" .
cp "$other/volume.json" "$D/volume.json.bak"
run mount.cloison "$D" "$M" -o "$key"
[[ $rc = [145] ]] || fail "the header of another volume: exit $rc: $out"
damage rm volume.json volume.json.bak
mount_bad 1 'not a cloison volume' "$key" "$D"
grown() { head -c 2000000 /dev/zero | tr '\0' ' ' >>"$1"; }
damage both grown
mount_bad 5 'volume.json' "$key" "$D"

step 'a journal that is empty, missing or nonsense'
damaged_sums() { find "$D" -type f -print0 | sort -z | xargs -0 sha256sum; }
for how in 'truncate -s 0' rm 'cp /bin/bash' 'flip_all'; do
	flip_all() { flip "$1" 60 && flip "$1" 4156; } # the check sums of both copies of its header
	# shellcheck disable=SC2086
	damage $how "$id/journal"
	damaged_sums >"$T/damaged-sums"
	mount_bad 5 'journal is missing or damaged' "$key" "$D"
	damaged_sums | cmp - "$T/damaged-sums"
	expect 4 'journal' fsck.cloison --tpm2 none --passphrase-file "$passphrase" "$D"
done

step 'a journal that was cut off behind its header, when all of it had gone home'
for size in 5000 8192 500000; do
	damage truncate -s $size "$id/journal"
	expect 4 "journal: it has $size bytes" fsck.cloison -n --tpm2 none --passphrase-file "$passphrase" "$D"
	mount_it "$key" "$D"
	same 'contents' 'what is to stay' "$(cat "$M/file")"
	unmount_it
	expect 0 clean fsck.cloison --tpm2 none --passphrase-file "$passphrase" "$D"
done

step 'nothing was harmed'
mount_it
same 'contents' 'what is to stay' "$(cat "$M/file")"
unmount_it
check_volume
