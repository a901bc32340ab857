#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The independent reader sees, in the backing directory alone, what the mount showed: after real use, with all labels, and
# with a journal that has not gone home.
. "$(dirname "$0")/lib.sh"
need swtpm rsync setfacl

tpm_start tpm
make_volume --tpm2 "$(tcti tpm)" --label NP --label SECRET --label TS//OPX
compare() { # what the mount showed, in $T/mounted
	reader tree | "$PYTHON" "$top/tests/mount/mounted_tree.py" --sort >"$T/read"
	diff "$T/mounted" "$T/read" >"$T/diff" || fail "the reader sees something else: $(cut -c1-300 "$T/diff" | head -20)"
	run reader verify
	[ $rc = 0 ] || fail "reader.py verify: $out"
}
look() { "$PYTHON" "$top/tests/mount/mounted_tree.py" "$M" >"$T/mounted"; }

step 'fill each label'
mount_it "tpm2=$(tcti tpm)"
mkdir "$M/t"
"$PYTHON" "$top/tests/mount/basic.py" "$M/t"
rm "$M/t/sparse" # 20 GiB of zeros take the reader too long
truncate -s 3G "$M/t/sparse"
echo in-the-middle | dd of="$M/t/sparse" bs=1 seek=123456789 conv=notrunc status=none
truncate -s 4M "$M/t/sparse"
"$PYTHON" - "$M" <<'END'
import os, sys
# Leaves at the edges of each level of the page tree, in a file with holes.
with open(sys.argv[1] + "/edges", "wb") as f:
    for page in 0, 1, 127, 128, 129, 128 * 127, 128 * 128 - 1, 128 * 128, 128 * 128 + 1:
        f.seek(page * 4096 + 5)
        f.write(b"page %d" % page)
END
unmount_it
for label in SECRET TS//OPX; do
	mount_it "tpm2=$(tcti tpm),label=$label"
	dir=$M/$([ $label = SECRET ] && echo secret || echo ts)
	rsync -aHAX /usr/include/linux "$dir/"
	setfacl -R -m u:77:rX "$dir/linux/can"
	rm -r "$dir/linux/netfilter"
	unmount_it
done

step 'at rest'
mount_it "tpm2=$(tcti tpm),label=TS//OPX,ro"
look
unmount_it
[ "$(wc -l <"$T/mounted")" -gt 8000 ] || fail 'too few files to tell'
compare

step 'with a journal that has not gone home'
for round in 1 2 3; do
	mount_it "tpm2=$(tcti tpm),label=TS//OPX,commit=3600"
	"$PYTHON" - "$M/ts" "$round" <<'END'
import os, random, sys
os.chdir(sys.argv[1])
r = random.Random(sys.argv[2])
files = sorted(e for e in os.listdir("linux") if os.path.isfile("linux/" + e))
for name in r.sample(files, 60):
    what = r.randrange(5)
    if what == 0:
        os.rename("linux/" + name, "linux/renamed-" + name)
    elif what == 1:
        os.unlink("linux/" + name)
    elif what == 2:
        os.setxattr("linux/" + name, "user.round", os.urandom(r.randrange(3000)))
    elif what == 3:
        with open("linux/" + name, "r+b") as f:
            f.seek(r.randrange(5000))
            f.write(os.urandom(r.randrange(20000)))
    else:
        os.truncate("linux/" + name, r.randrange(3000))
for folder, dirs, names in os.walk("."):
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isfile(path) and not os.path.islink(path):
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
END
	mkdir "$M/ts/round-$round"
	sync "$M/ts"
	look
	crash_it
	"$PYTHON" - "$top/tests" "$V" "$passphrase" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
import reader
with open(sys.argv[3], "rb") as f:
    volume = reader.Volume(sys.argv[2], f.read(), {})
assert any(volume.compartment(cid).lowers for cid in volume.keys), "no journal holds a record: this tests nothing"
END
	compare
done
