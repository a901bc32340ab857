#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A byte flipped in each kind of lower file: who reads it gets EIO and the log names it, or it is healed from its second
# copy; everything else can be read; fsck.cloison names the file by its path.
. "$(dirname "$0")/lib.sh"

make_volume
mount_it
mkdir "$M/dir" "$M/dir/sub" "$M/big-dir"
"$PYTHON" - "$M" <<'END'
import os, sys
os.chdir(sys.argv[1])
for path, size in ("small", 100), ("dir/victim", 3 << 20), ("dir/other", 1 << 20), ("dir/sub/file", 5000):
    with open(path, "wb") as f:
        f.write(bytes((i * 7 + i // 251) % 256 for i in range(size)))
for i in range(2000):
    os.close(os.open(f"big-dir/entry-{i:04}", os.O_CREAT | os.O_WRONLY))
os.setxattr("small", "user.big", bytes(range(256)) * 200)
os.symlink("l" * 1000, "dir/long-link")
END
unmount_it
mv "$V" "$T/good"
D=$V # each case works on a fresh copy, in the place of the volume

fresh() {
	rm -rf "$D"
	cp -a "$T/good" "$D"
}
pages_of() { "$PYTHON" "$top/tests/mount/objects.py" "$T/good" "$passphrase" "$@"; }
flip() { # FILE PAGE: one bit of one byte somewhere in that page
	"$PYTHON" -c '
import random, sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]) * 4096 + random.randrange(4096))
    b = f.read(1)
    assert len(b) == 1, "behind the end of the file"
    f.seek(-1, 1)
    f.write(bytes([b[0] ^ 1 << random.randrange(8)]))' "$D/$1" "$2"
}
# page PATH LEVEL INDEX [xattr]: "lower-file page" of that page
page() {
	pages_of "$1" ${4+"$4"} | awk -F'\t' -v l="$2" -v i="$3" '$3 == l && $4 == i { print $1, $2 }'
}
log_names() { # LOWER FILE, PAGE
	grep -Eq "error: .*object [0-9a-f/]*${1##*/}: page $2 .*does not authenticate" "$T/log" ||
		fail "the log does not name page $2 of ${1##*/}: $(cat "$T/log")"
}
eio() { refused 'Input/output error' "$@"; }
# Everything but what is left out can be read, and is as it was.
rest_is_good() { # PATH OF WHAT IS BAD
	"$PYTHON" - "$M" "$1" <<'END'
import os, sys
os.chdir(sys.argv[1])
bad = sys.argv[2]
for path, size in ("small", 100), ("dir/victim", 3 << 20), ("dir/other", 1 << 20), ("dir/sub/file", 5000):
    if not path.startswith(bad):
        with open(path, "rb") as f:
            data = f.read()
        assert data == bytes((i * 7 + i // 251) % 256 for i in range(size)), path
if bad != "big-dir":
    assert len(os.listdir("big-dir")) == 2000, "big-dir"
if bad != "small/xattr":
    assert os.getxattr("small", "user.big") == bytes(range(256)) * 200, "xattr"
if bad != "dir/long-link":
    assert os.readlink("dir/long-link") == "l" * 1000, "symlink"
END
}
# try_mounted: mounts with an empty log; done_mounted: unmounts.
try_mounted() {
	: >"$T/log"
	mount_logged "$T/log"
}
fsck_names() { # PATTERN: by all ways to run it; what loses something is repaired with -y alone, once and for all
	expect 4 "$1" fsck.cloison -n --tpm2 none --passphrase-file "$passphrase" "$D"
	expect 4 "$1" fsck.cloison --tpm2 none --passphrase-file "$passphrase" "$D"
	expect 4 "$1" fsck.cloison -p --tpm2 none --passphrase-file "$passphrase" "$D"
	rm -rf "$T/repaired"
	cp -a "$D" "$T/repaired"
	expect 1 "$1" fsck.cloison -y --tpm2 none --passphrase-file "$passphrase" "$T/repaired"
	expect 0 'clean' fsck.cloison -n --tpm2 none --passphrase-file "$passphrase" "$T/repaired"
}

step 'a leaf of a file'
fresh
read -r object number <<<"$(page /dir/victim 0 300)"
flip "$object" "$number"
try_mounted
eio cat "$M/dir/victim"
log_names "$object" "$number"
eio dd if="$M/dir/victim" bs=4096 skip=300 count=1 iflag=direct status=none
for skip in 0 299 301 600; do # the pages around it are whole
	dd if="$M/dir/victim" bs=4096 skip=$skip count=1 iflag=direct status=none | cmp -s - <("$PYTHON" -c '
import sys
at = int(sys.argv[1]) * 4096
sys.stdout.buffer.write(bytes((i * 7 + i // 251) % 256 for i in range(at, at + 4096)))' $skip) ||
		fail "page $skip of the damaged file cannot be read"
done
rest_is_good dir/victim
same 'the log has a line for it' 1 "$(grep -c 'does not authenticate' "$T/log")"
unmount_it
fsck_names '/dir/victim'

step '... can be overwritten, and then it is good again'
mount_it
"$PYTHON" -c '
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(300 * 4096)
    f.write(bytes((i * 7 + i // 251) % 256 for i in range(300 * 4096, 301 * 4096)))' "$M/dir/victim"
remount_it
rest_is_good nothing
unmount_it
check_volume

step 'the last leaf, which the file ends in: a read that begins before it does not end there, nor go on with zeros'
fresh
read -r object number <<<"$(page /dir/sub/file 0 1)"
flip "$object" "$number"
try_mounted
eio cat "$M/dir/sub/file"
dd if="$M/dir/sub/file" bs=4096 count=1 iflag=direct status=none | cmp -s - <("$PYTHON" -c '
import sys
sys.stdout.buffer.write(bytes((i * 7 + i // 251) % 256 for i in range(4096)))') || fail 'the page before it cannot be read'
rest_is_good dir/sub/file
unmount_it
fsck_names '/dir/sub/file'

step 'an index page of a file: costs its range'
fresh
read -r object number <<<"$(page /dir/victim 1 3)"
flip "$object" "$number"
try_mounted
eio dd if="$M/dir/victim" bs=4096 skip=400 count=1 iflag=direct status=none
log_names "$object" "$number"
dd if="$M/dir/victim" bs=4096 count=384 iflag=direct status=none | cmp -s - <(head -c $((384 * 4096)) <("$PYTHON" -c '
import sys
sys.stdout.buffer.write(bytes((i * 7 + i // 251) % 256 for i in range(384 * 4096)))')) ||
	fail 'pages that do not hang on it cannot be read'
rest_is_good dir/victim
unmount_it
fsck_names '/dir/victim'

step 'a lower file cut off, exchanged with another, missing, or of an older time'
for how in cut missing exchanged; do
	fresh
	read -r object number <<<"$(page /dir/victim 0 0)"
	read -r other _ <<<"$(page /dir/other 0 0)"
	case $how in
	cut) truncate -s 4096 "$D/$object" ;;
	missing) rm "$D/$object" ;;
	exchanged) cp "$D/$other" "$D/$object" ;;
	esac
	try_mounted
	eio cat "$M/dir/victim"
	grep -q "${object##*/}" "$T/log" || fail "the log does not name ${object##*/}: $(cat "$T/log")"
	rest_is_good dir/victim
	unmount_it
	fsck_names '/dir/victim'
done
fresh
mount_it
"$PYTHON" -c '
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(4096)
    f.write(b"new")' "$M/dir/victim"
unmount_it
cp "$T/good/$object" "$D/$object"
try_mounted
eio dd if="$M/dir/victim" bs=4096 skip=1 count=1 iflag=direct status=none
grep -q 'older' "$T/log" || fail "the log does not say that a page may be old: $(cat "$T/log")"
rest_is_good dir/victim
unmount_it
fsck_names '/dir/victim'

step 'a page of a directory'
fresh
pages=$(pages_of /big-dir | awk -F'\t' '$3 == 0' | wc -l)
[ "$pages" -gt 8 ] || fail "big-dir has $pages pages"
read -r object number <<<"$(page /big-dir 0 5)"
flip "$object" "$number"
try_mounted
run ls "$M/big-dir"
grep -q 'Input/output error' <<<"$out" || fail 'listing a damaged directory does not say so'
same 'entry on another page' 0 "$(stat -c %s "$M/big-dir/entry-0000")"
log_names "$object" "$number"
rest_is_good big-dir
unmount_it
fsck_names '/big-dir'

step 'extended attributes, a long symlink'
fresh
read -r object number <<<"$(page /small 0 1 xattr)"
flip "$object" "$number"
read -r link _ <<<"$(page /dir/long-link 0 0)"
flip "$link" 0
try_mounted
eio getfattr -n user.big "$M/small"
log_names "$object" "$number"
eio readlink -v "$M/dir/long-link"
log_names "$link" 0
same 'contents of the file' 100 "$(wc -c <"$M/small")"
unmount_it
fsck_names '/small'
fsck_names '/dir/long-link'

step 'the inode table, the bitmaps, the root page: healed from the second copy'
id=$(pages_of table | awk 'NR == 1 { sub("/.*", ""); print }')
for file in 01/0000000000000001 01/0000000000000001.copy 02/0000000000000002 03/0000000000000003 root root.copy; do
	fresh
	case $file in
	03/*) [ -s "$D/$id/$file" ] || continue ;; # no orphans, no page
	esac
	flip "$id/$file" 0
	try_mounted
	ls -lR "$M" >"$T/out"
	echo new >"$M/new"
	rest_is_good nothing
	unmount_it
	case $file in
	*1) grep -q 'healed from its second copy' "$T/log" || fail "no word of healing $file: $(cat "$T/log")" ;;
	root | root.copy) grep -q 'root page is damaged' "$T/log" || fail "no word of $file: $(cat "$T/log")" ;;
	esac
done

step 'fsck.cloison finds a damaged second copy'
for file in 01/0000000000000001 01/0000000000000001.copy 02/0000000000000002 02/0000000000000002.copy root root.copy; do
	fresh
	flip "$id/$file" 0
	run fsck.cloison -n --tpm2 none --passphrase-file "$passphrase" "$D"
	[ $rc = 4 ] || fail "fsck.cloison -n: $file: exit $rc: $out"
done

step 'both copies of a page of the inode table: costs the inodes on it'
fresh
read -r object number <<<"$(page table 0 100)"
flip "$object" "$number"
flip "$object.copy" "$number"
try_mounted
run ls -l "$M/big-dir"
grep -q 'Input/output error' <<<"$out" || fail 'files whose inodes are lost can be looked at'
same 'how many are lost' 8 "$(grep -c 'Input/output error' <<<"$out")"
rest_is_good nothing
unmount_it
fsck_names '/big-dir/entry-'

step 'both copies of the root page: refused, with a message'
fresh
flip "$id/root" 0
flip "$id/root.copy" 0
expect 5 'root' mount.cloison "$D" "$M" -o "$key"
expect 4 'root' fsck.cloison -n --tpm2 none --passphrase-file "$passphrase" "$D"
