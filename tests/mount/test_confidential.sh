#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What the backing directory gives away, byte for byte: no name, no content, no label, no user, no time of a file.
. "$(dirname "$0")/lib.sh"
need swtpm setfacl

tpm_start tpm
make_volume --tpm2 "$(tcti tpm)" --label GRUENSTUFE --label ROTSTUFE//KENNWORT,dir=rotes-verzeichnis
open=tpm2=$(tcti tpm),label=ROTSTUFE//KENNWORT

step 'use it'
umask 0
mount_it "tpm2=$(tcti tpm)"
fill() { # DIR
	"$PYTHON" - "$1" <<'END'
import os, sys
os.chdir(sys.argv[1])
os.mkdir("PFERDDIRECTORY", 0o777)
with open("PFERDDIRECTORY/PFERDFILE.doc", "wb") as f:
    f.write(b"CONTENTSMARK" * 100000)
os.chmod("PFERDDIRECTORY/PFERDFILE.doc", 0o6777)
os.chown("PFERDDIRECTORY/PFERDFILE.doc", 0x4b4c4d4e, 0x4f505152)
os.utime("PFERDDIRECTORY/PFERDFILE.doc", (0x5a595857, 0x5b5a5958))
os.symlink("TARGETMARK" * 5, "PFERDSHORTLINK")
os.symlink("TARGETMARK" * 100, "PFERDLONGLINK")
os.setxattr("PFERDDIRECTORY", "user.XATTRPFERD", b"XATTRVALUE")
os.setxattr("PFERDDIRECTORY/PFERDFILE.doc", "user.XATTRPFERD", b"XATTRVALUE" * 1000)
for i in range(500):
    os.close(os.open(f"PFERDDIRECTORY/PFERDMANY-{i}", os.O_CREAT | os.O_WRONLY, 0o644))
for i in range(100):
    os.rename(f"PFERDDIRECTORY/PFERDMANY-{i}", f"PFERDDIRECTORY/PFERDAGAIN-{i}")
with open("PFERDEQUAL", "wb") as f:
    f.write(b"=" * (1 << 22))
os.close(os.open("PFERDZERO", os.O_CREAT | os.O_WRONLY))
with open("PFERDZERO", "wb") as f:
    f.write(bytes(1 << 22))
END
}
fill "$M"
unmount_it
mount_it "$open"
fill "$M/rotes-verzeichnis"
setfacl -m u:1263291726:rwx "$M/rotes-verzeichnis/PFERDDIRECTORY"

# All marks; numbers as their little- and big-endian bytes (uid and gid next to each other, seconds of a time).
marks=(GRUENSTUFE ROTSTUFE KENNWORT rotes- PFERD XATTR CONTENTSMARK TARGETMARK ={16} R1JVRU5TVFVGR Uk9UU1RVRk KLMNOPQR
	NMLKRQPO 'ZYXW\0\0\0\0' 'WXYZ\0\0\0\0' '\0\0\0\0ZYXW' 'correct horse')
finds() { LC_ALL=C grep -rlaiP -- "$@"; } # MARK DIR
mkdir "$T/control"
printf '%b' "${marks[@]/=\{16\}/================}" >"$T/control/file"
for mark in "${marks[@]}"; do finds "$mark" "$T/control" >"$T/found" || fail "the search does not find '$mark'"; done

look() {
	local mark
	for mark in "${marks[@]}"; do
		run finds "$mark" "$V"
		[ $rc = 1 ] || fail "'$mark' can be read in $out"
	done
	run find "$V" -mindepth 1 \( -iname '*pferd*' -o -iname '*stufe*' -o -iname '*rot*' -o -iname '*doc*' \)
	[ -z "$out" ] || fail "names: $out"
	run find "$V" ! \( -type d -perm 700 -o -type f -perm 600 \)
	[ -z "$out" ] || fail "modes: $out"
	run find "$V" -type f -path '*/[0-9a-f][0-9a-f]/*' -size +0c -printf '%s %p\n'
	[ -z "$(awk '$1 % 4096' <<<"$out")" ] || fail "sizes that are no whole pages: $out"
}

step 'search the backing directory while it is in use'
find "$M/rotes-verzeichnis" -type f -exec sync {} +
look
step 'after a crash, the journal full of fresh pages'
crash_it
look
mount_it "$open"
unmount_it
step 'at rest'
look

step 'equal pages do not look equal, and nothing can be compressed'
"$PYTHON" - "$V" <<'END'
import os, sys, zlib
pages, total, big = {}, 0, 0
for folder, _, files in os.walk(sys.argv[1]):
    for name in files:
        if len(os.path.basename(folder)) != 2 or name.endswith(".copy"):
            continue
        with open(os.path.join(folder, name), "rb") as f:
            data = f.read()
        for at in range(0, len(data), 4096):
            page = data[at:at + 4096]
            if page == bytes(4096):
                continue  # not written: a hole
            total += 1
            assert page not in pages, f"{name}: page {at // 4096} equals one of {pages[page]}"
            pages[page] = name
            assert len(zlib.compress(page, 6)) > 4050, f"{name}: page {at // 4096} can be compressed"
        big += len(data) > 1 << 20
assert big >= 5 and total > 4000, f"too few pages to tell: {total} in {big} large files"
END
check_volume
