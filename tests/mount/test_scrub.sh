#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# fsck.cloison -n of a mounted volume while programs work on it: never a false finding, and damage to what nobody touches is told
# by its path. LONG=1: 300 scrubs instead of 15.
. "$(dirname "$0")/lib.sh"

scrubs=15
[ "${LONG-}" ] && scrubs=300
fsck=(fsck.cloison --tpm2 none --passphrase-file "$passphrase")

make_volume
mount_it
mkdir -p "$M/quiet/dir" "$M/busy"
for i in {1..30}; do echo "$i" >"$M/quiet/small-$i"; done
head -c 3000000 /dev/urandom >"$M/quiet/dir/file"
sum=$(sha256sum <"$M/quiet/dir/file")
unmount_it
read -r lower page < <("$PYTHON" "$top/tests/mount/objects.py" "$V" "$passphrase" quiet/dir/file |
	awk -F'\t' '$3 == 0 && $4 == 200 { print $1, $2 }')
[ "$page" ] || fail 'the page is not known'
flip() {
	"$PYTHON" -c '
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]) * 4096 + 99)
    b = f.read(1)
    f.seek(-1, 1)
    f.write(bytes([b[0] ^ 1]))' "$V/$lower" "$page"
}
mount_it

step 'who wants to write is sent away'
for option in -p -y -a -f; do
	expect 8 "in use: it is mounted on $M.*unmount it first.*-n scrubs" "${fsck[@]}" $option "$V"
done

step 'nothing is written'
sync -f "$M"
wait_until 30 sh -c "! cloison status --json '$M' | grep -q '\"pending_pages\": [1-9]'" || fail 'no checkpoint'
print_lower() { (cd "$V" && find . -type f -printf '%p %s %T@ %C@ %i\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum); }
before=$(print_lower)
expect 0 'labels in use: their pages were verified' "${fsck[@]}" -n "$V"
same 'the backing directory' "$before" "$(print_lower)"

step "$scrubs scrubs while programs work"
cat >"$T/work.py" <<'END'
import os, random, sys
os.chdir(sys.argv[1])
r = random.Random(int(sys.argv[2]))
while not os.path.exists(sys.argv[3]):
    name = f"{sys.argv[2]}-{r.randrange(12)}"
    what = r.randrange(8)
    try:
        if what == 0:
            os.unlink(name)
        elif what == 1:
            os.rename(name, f"{sys.argv[2]}-{r.randrange(12)}")
        elif what == 2:
            os.truncate(name, r.randrange(500000))
        else:
            fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
            os.pwrite(fd, os.urandom(r.randrange(1, 200000)), r.randrange(600000))
            if r.randrange(3) == 0:
                os.fsync(fd)
            os.close(fd)
    except FileNotFoundError:
        pass
END
for i in 1 2; do
	"$PYTHON" "$T/work.py" "$M/busy" $i "$T/stop" &
	started+=($!)
done
for ((i = 0; i < scrubs; i++)); do
	expect 0 'no errors in what could be checked' "${fsck[@]}" -n "$V"
done
expect 0 '"errors": 0.*"scrubbed": 1' bash -c 'fsck.cloison "$@" | tr "\n" " "' - "${fsck[@]:1}" -n --json "$V"

step 'damage to a file that nobody touches'
flip
expect 4 '/quiet/dir/file: contents: page 200 \(bytes 819200-823295\) does not authenticate' "${fsck[@]}" -n "$V"
[ "$(grep -c 'authenticate' <<<"$out")" = 1 ] || fail "more than that one: $out"
flip
expect 0 'no errors' "${fsck[@]}" -n "$V"

step 'what they left'
touch "$T/stop"
for p in "${started[@]}"; do wait "$p" || fail 'a program failed'; done
started=()
same 'the quiet file' "$sum" "$(sha256sum <"$M/quiet/dir/file")"
unmount_it
check_volume
expect 0 'clean' "${fsck[@]}" -n "$V"

step 'a replay that is to come, and a TPM that is not there'
mount_it
echo more >"$M/more"
sync -f "$M"
crash_it
expect 0 'not closed cleanly: [0-9]+ transactions? of its journal waits? to be replayed' "${fsck[@]}" -n "$V"
expect 0 'the TPM swtpm:path=.*absent' fsck.cloison -n --tpm2 "swtpm:path=$T/absent" --passphrase-file "$passphrase" "$V"
check_volume 1
