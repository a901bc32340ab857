#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Three labels: what a session of each sees, reads and may change; PINs; and that the key of one opens nothing of another.
. "$(dirname "$0")/lib.sh"
need swtpm

a=NP b=SECRET c=TRES-SECRET//NUC
tpm_start tpm
make_volume --tpm2 "$(tcti tpm)" --label "$a" --label "$b" --label "$c"
tpm=tpm2=$(tcti tpm)

names() { find "$M" -mindepth 1 -printf '%P\n' | sort | paste -sd' '; }

step 'without label: the lowest'
mount_it "$tpm"
same "the lowest session's label" "$a" "$(cloison status --json "$M" | sed -n 's/.*"label": "\(.*\)",/\1/p')"
same 'what it sees' '' "$(names)"
echo 'of NP' >"$M/low"
mkdir "$M/dir"
echo below >"$M/dir/file"
same 'link count of the root: no sign of the other labels' 3 "$(stat -c %h "$M")"

step 'hidden gates'
refused 'No such file' ls "$M/secret"
refused 'No such file' ls "$M/tres-secret"
refused 'No such file' rmdir "$M/secret"
refused 'No such file' mv "$M/secret" "$M/mine"
refused 'File exists' mkdir "$M/secret"
refused 'File exists' ln -sn low "$M/tres-secret"
unmount_it

step "$b: writes its own, reads below, does not see above"
mount_it "$tpm,label=$b"
same 'what it sees' 'dir dir/file low secret' "$(names)"
same 'reads below' 'of NP' "$(cat "$M/low")"
echo 'of SECRET' >"$M/secret/mid"
mkdir "$M/secret/dir"
ro='Read-only file system'
refused "$ro" touch "$M/new"
refused "$ro" mkdir "$M/new"
refused "$ro" ln -s x "$M/new"
refused "$ro" mkfifo "$M/new"
refused "$ro" sh -c "echo more >>$M/low"
refused "$ro" sh -c ": >$M/low"
refused "$ro" truncate -s 0 "$M/low"
refused "$ro" rm -f "$M/low"
refused "$ro" rmdir "$M/dir"
refused "$ro" mv "$M/low" "$M/dir/low"
refused "$ro" chmod 600 "$M/low"
refused "$ro" chown 1 "$M/low"
refused "$ro" touch -d 2000-01-01 "$M/low"
refused "$ro" setfattr -n user.x -v y "$M/low"
refused "$ro" setfacl -m u:1:r "$M/low"
refused "$ro" ln "$M/low" "$M/dir/link"
refused "$ro" rmdir "$M/secret"
refused "$ro" mv "$M/secret" "$M/moved"
"$PYTHON" - "$M" <<'END'
import errno, os, sys
os.chdir(sys.argv[1])
def refuses(number, f, *args):
    try:
        f(*args)
    except OSError as e:
        assert e.errno == number, f"{f.__name__}{args}: {e}"
    else:
        raise AssertionError(f"{f.__name__}{args} succeeded")
refuses(errno.EXDEV, os.rename, "secret/mid", "mid")
refuses(errno.EXDEV, os.rename, "low", "secret/low")
refuses(errno.EXDEV, os.link, "low", "secret/low")
refuses(errno.EXDEV, os.link, "secret/mid", "mid")
refuses(errno.EROFS, os.open, "low", os.O_RDWR)
refuses(errno.EROFS, os.open, ".", os.O_TMPFILE | os.O_RDWR)
before = os.stat("low")
open("low").read()
assert os.stat("low").st_atime_ns == before.st_atime_ns, "reading down leaves a trace"
assert os.stat("secret").st_dev == before.st_dev
assert len({os.stat(p).st_ino for p in (".", "low", "dir", "dir/file", "secret", "secret/mid")}) == 6
assert os.stat("secret/..").st_ino == os.stat(".").st_ino
END
cp "$M/low" "$M/secret/copy"
same 'a copy upward' 'of NP' "$(cat "$M/secret/copy")"
unmount_it

step "$c: reads all"
mount_it "$tpm,label=$c"
same 'what it sees' 'dir dir/file low secret secret/copy secret/dir secret/mid tres-secret' "$(names)"
echo 'of NUC' >"$M/tres-secret/high"
same 'reads the middle' 'of SECRET' "$(cat "$M/secret/mid")"
refused "$ro" touch "$M/secret/mid"
refused "$ro" touch "$M/low"
unmount_it

step 'lower sessions see nothing new'
mount_it "$tpm,label=$a"
same 'what the lowest sees' 'dir dir/file low' "$(names)"
echo 'written again' >"$M/low"
remount_it "$tpm,label=$b"
same 'what the middle sees' 'dir dir/file low secret secret/copy secret/dir secret/mid' "$(names)"
same 'a change below is seen' 'written again' "$(cat "$M/low")"
same 'a copy stays as it was' 'of NP' "$(cat "$M/secret/copy")"
unmount_it

step 'unknown labels'
for label in UNKNOWN secret TRES-SECRET 'NP '; do
	expect 6 'label' mount.cloison "$V" "$M" -o "$tpm,label=$label"
	mountpoint -q "$M" && fail "mounted with label '$label'"
done

step 'the key of one label opens nothing of another'
keys=$(reader keys)
key_of() { awk -F'\t' -v l="$1" '$3 == l { print $4 }' <<<"$keys"; }
id_of() { awk -F'\t' -v l="$1" '$3 == l { print $1 }' <<<"$keys"; }
for label in "$a" "$b" "$c"; do
	[ ${#key} -gt 0 ] && [[ $(key_of "$label") =~ ^[0-9a-f]{64}$ ]] || fail "no key of $label: $keys"
done
same "three different keys" 3 "$(cut -f4 <<<"$keys" | sort -u | wc -l)"
with_key() { # KEY ID VERB...
	"$PYTHON" "$top/tests/reader.py" --label-key "$1:$2" "$3" "$headless" "${@:4}"
}
expect 1 'MAC' "$PYTHON" "$top/tests/reader.py" --label-key "$(key_of "$b"):$(id_of "$c")" tree "$V"
headless=$T/headless # so that nothing is refused because of the header
cp -a "$V" "$headless"
rm "$headless"/volume.json*
run with_key "$(key_of "$b")" "$(id_of "$b")" tree
[ $rc = 0 ] || fail "the key of $b does not open $b: $out"
grep -q '"path": "/mid"' <<<"$out" || fail "the key of $b does not show what is in $b: $out"
! grep -Eq 'high|tres-secret|low|NUC' <<<"$out" || fail "the key of $b shows another label: $out"
expect 1 'root' with_key "$(key_of "$b")" "$(id_of "$c")" tree
expect 1 'root' with_key "$(key_of "$b")" "$(id_of "$a")" tree
expect 1 'root' with_key "$(key_of "$a")" "$(id_of "$c")" tree
same "with its own key" "of NUC" "$(with_key "$(key_of "$c")" "$(id_of "$c")" cat /high 2>/dev/null)"

step 'the compartment of another label may be missing or empty'
cp -a "$V" "$T/part"
find "$T/part/$(id_of "$c")" -type f ! -name lease -delete
mount_it "$tpm,label=$b" "$T/part"
same 'the middle without the highest' 'of SECRET' "$(cat "$M/secret/mid")"
unmount_it
expect 5 'missing or damaged' mount.cloison "$T/part" "$M" -o "$tpm,label=$c"
check_volume

step 'PINs'
mv "$V" "$T/first"
printf 271828 >"$T/pin"
printf 314159 >"$T/wrong"
make_volume --tpm2 "$(tcti tpm)" --label "$a" --label "$b,unlock=pin" --label "$c,unlock=pin" --pin-file "$T/pin"
mount_it "$tpm"
same 'the lowest needs no PIN' '' "$(names)"
unmount_it
expect 4 'PIN' mount.cloison "$V" "$M" -o "$tpm,label=$b"
expect 4 'wrong PIN: [0-9]+ tries left' mount.cloison "$V" "$M" -o "$tpm,label=$b,pin-file=$T/wrong"
left=$(sed -n 's/.*wrong PIN: \([0-9]*\) tries.*/\1/p' <<<"$out")
expect 4 "wrong PIN: $((left - 1)) tr" mount.cloison "$V" "$M" -o "$tpm,label=$c,pin-file=$T/wrong"
mount_it "$tpm,label=$c,pin-file=$T/pin"
same 'with the PIN' 'secret tres-secret' "$(names)"
unmount_it
