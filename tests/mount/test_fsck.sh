#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# fsck.cloison as people run it: what -n, -p and -y do to a damaged volume, their exit codes, lost+found, JSON, the
# question on a terminal. What each kind of damage leads to is in tests/fsck.
. "$(dirname "$0")/lib.sh"
need script

make_volume
mount_it
mkdir "$M/dir" "$M/dir/sub"
head -c 3000000 /dev/urandom >"$M/dir/victim"
head -c 100000 /dev/urandom >"$M/dir/sub/other"
ln "$M/dir/victim" "$M/dir/second-name"
cp "$M/dir/victim" "$T/victim"
chmod 0644 "$M/dir/victim"
unmount_it
good=$T/good
mv "$V" "$good"
id=$(basename "$(dirname "$(echo "$good"/*/journal)")")

fresh() {
	rm -rf "$V"
	cp -a "$good" "$V"
}
page() { # PATH LEVEL INDEX: "lower-file page"
	"$PYTHON" "$top/tests/mount/objects.py" "$good" "$passphrase" "$1" |
		awk -F'\t' -v l="$2" -v i="$3" '$3 == l && $4 == i { print $1, $2 }'
}
flip() { # FILE PAGE
	"$PYTHON" -c '
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]) * 4096 + 99)
    b = f.read(1)
    f.seek(-1, 1)
    f.write(bytes([b[0] ^ 4]))' "$V/$1" "$2"
}
prints() { (cd "$V" && find . -printf '%p %m %s %T@\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum); }
fsck=(fsck.cloison --tpm2 none --passphrase-file "$passphrase")
read -r object number <<<"$(page /dir/victim 0 300)"

step 'options'
fresh
expect 16 'only one of' "${fsck[@]}" -n -y "$V"
expect 16 'only one of' "${fsck[@]}" -p -y "$V"
expect 16 'only one of' "${fsck[@]}" -n -a "$V"

step 'a damaged file: found, left alone, quarantined'
flip "$object" "$number"
prints >"$T/before"
expect 4 '/dir/.*: contents: page 300 \(bytes 1228800-1232895\) does not authenticate' "${fsck[@]}" -n "$V"
prints >"$T/after"
cmp -s "$T/before" "$T/after" || fail "-n has written: $(diff "$T/before" "$T/after")"
expect 4 '1 error left, 0 corrected' "${fsck[@]}" -p "$V"
expect 4 '1 error left, 0 corrected' "${fsck[@]}" "$V"
expect 1 'page 300 .*the file is /lost\+found/#[0-9]+ \(corrected\)' "${fsck[@]}" -y "$V"
grep -Eq '/dir/(victim|second-name): another name of a damaged file; removed' <<<"$out" || fail "the other name is not told: $out"
expect 0 'clean, 0 corrected' "${fsck[@]}" -n "$V"
check_volume
mount_it
same 'what is left in dir' sub "$(ls "$M/dir")"
same 'lost+found' '700 0 0' "$(stat -c '%a %u %g' "$M/lost+found")"
lost=("$M"/lost+found/*)
same 'lost files' 1 "${#lost[@]}"
dd if=/dev/zero of="$T/victim" bs=4096 seek=300 count=1 conv=notrunc status=none
cmp "$T/victim" "${lost[0]}" || fail 'more was lost than the page'
mv "${lost[0]}" "$M/dir/victim"
same 'links' 1 "$(stat -c %h "$M/dir/victim")"
unmount_it
check_volume

step 'without loss: copies, modes, leftovers'
fresh
flip "$id/root" 0
flip "$id/01/0000000000000001.copy" 0
chmod 0644 "$V/$id/journal"
chmod 0755 "$V/$id/3f"
head -c 4096 /dev/zero >"$V/$id/11/0000000000000111"
chmod 0600 "$V/$id/11/0000000000000111"
printf 'nonsense' >"$V/volume.json"
expect 4 '5 errors left, 0 corrected' "${fsck[@]}" -n "$V"
expect 1 'clean, 6 corrected' "${fsck[@]}" -p "$V"
grep -q '1 lower file belongs to no inode.*1 removed' <<<"$out" || fail "no word of what was left over: $out"
expect 0 'clean, 0 corrected' "${fsck[@]}" -p "$V"
check_volume

step 'JSON'
fresh
flip "$object" "$number"
run "${fsck[@]}" -y --json "$V"
same 'exit code' 1 "$rc"
"$PYTHON" -c '
import json, sys
r = json.loads(sys.argv[1])
assert r["errors"] == 0 and r["fixed"] == 2, r
assert all(f["fixed"] for f in r["findings"]) and len(r["findings"]) == 2, r' "$out"

step 'on a terminal it asks'
fresh
flip "$object" "$number"
answer() { # ANSWER
	rc=0
	out=$( (sleep 3; echo "$1"; sleep 3) | script -qec "${fsck[*]} $V" /dev/null) || rc=$?
}
answer n
same 'exit code after no' 4 "$rc"
grep -q 'can be repaired. Repair them (y/n)?' <<<"$out" || fail "it does not ask: $out"
answer y
same 'exit code after yes' 1 "$rc"
expect 0 'clean' "${fsck[@]}" -n "$V"

step 'no root page that authenticates: said, and nothing is written'
fresh
for file in root root.copy; do flip "$id/$file" 0; done
head -c $((8 << 20)) /dev/zero | dd of="$V/$id/journal" bs=4096 seek=2 conv=notrunc status=none
prints | grep -v ' \./[0-9a-f]*/lease ' >"$T/before"
expect 4 'neither copy of its root page authenticates.*restore it from a backup' "${fsck[@]}" -y "$V"
prints | grep -v ' \./[0-9a-f]*/lease ' >"$T/after"
cmp -s "$T/before" "$T/after" || fail "-y has written: $(diff "$T/before" "$T/after")"

step 'while it is mounted: refused'
fresh
mount_it
expect 8 'in use' "${fsck[@]}" -y "$V"
unmount_it
check_volume
