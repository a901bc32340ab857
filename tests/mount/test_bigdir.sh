#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# 100,000 names in one directory (BIG=1: 1,000,000): created, listed, looked up, renamed, removed, within bounded memory.
. "$(dirname "$0")/lib.sh"

n=100000
if [ "${BIG-}" ]; then n=1000000; fi
make_volume --tpm2 none --journal-size 64M
mount_it
big_dir() { # STEP
	"$PYTHON" - "$M/dir" "$n" "$1" <<'END'
import os, sys
os.chdir(os.path.dirname(sys.argv[1]))
n, step = int(sys.argv[2]), sys.argv[3]
name = "dir/name-of-entry-{:07}".format
if step == "create":
    os.mkdir("dir")
    for i in range(n):
        os.close(os.open(name(i), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
elif step == "list":
    seen = [e.name for e in os.scandir("dir")]
    assert len(seen) == n and len(set(seen)) == n, f"{len(seen)} entries, {len(set(seen))} different"
    assert min(seen) == os.path.basename(name(0)) and max(seen) == os.path.basename(name(n - 1))
elif step == "look up":
    for i in range(0, n, 97):
        assert os.stat(name(i)).st_nlink == 1
        assert not os.path.lexists(name(i) + "x")
elif step == "rename":
    for i in range(0, n, 10):
        os.rename(name(i), name(i) + "-renamed")
    for i in range(0, n, 10):
        os.rename(name(i) + "-renamed", name(i))
elif step == "remove":
    with os.scandir("dir") as entries:
        for e in entries:
            os.unlink("dir/" + e.name)
    assert os.listdir("dir") == []
    os.rmdir("dir")
END
}
memory() {
	awk '/VmHWM/ { print $2 }' "/proc/$(daemon_of)/status"
}
for what in create list; do
	step "$what"
	big_dir "$what"
done
peak=$(memory)
remount_it
for what in list 'look up' rename; do
	step "$what, after a remount"
	big_dir "$what"
done
same 'entries as ls lists them' "$n" "$(ls -f "$M/dir" | grep -c name-of)"
peak="$peak $(memory)"
remount_it
step 'remove'
big_dir remove
peak="$peak $(memory)"
echo "most memory: $peak KiB"
for kib in $peak; do
	[ "$kib" -lt $((256 * 1024)) ] || fail "the daemon's memory went up to $kib KiB"
done
unmount_it
check_volume
