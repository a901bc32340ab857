#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The backing directory, copied to a machine with another TPM, stays shut; the recovery passphrase opens it there.
. "$(dirname "$0")/lib.sh"
need swtpm

tpm_start owner
tpm_start thief
make_volume --tpm2 "$(tcti owner)" --label NP --label SECRET
mount_it "tpm2=$(tcti owner),label=SECRET"
echo 'the crown jewels' >"$M/secret/file"
unmount_it
cp -a "$V" "$T/copy"

step 'another TPM'
for label in NP SECRET; do
	expect 4 'another TPM' mount.cloison "$T/copy" "$M" -o "tpm2=$(tcti thief),label=$label"
	! mountpoint -q "$M" || fail 'it is mounted all the same'
done
run mount.cloison "$T/copy" "$M" -o "tpm2=$(tcti thief)"
grep -q 'passphrase' <<<"$out" || fail "the message does not say what would help: $out"

step 'no TPM'
expect 4 'TPM' mount.cloison "$T/copy" "$M" -o tpm2=none
expect 8 'TPM' mount.cloison "$T/copy" "$M" -o "tpm2=swtpm:path=$T/absent"

step 'other commands, too'
expect 4 'another TPM' cloison label list --tpm2 "$(tcti thief)" "$T/copy"
! grep -q SECRET <<<"$out" || fail "the label shows: $out"
expect 8 'another TPM' fsck.cloison -n --tpm2 "$(tcti thief)" "$T/copy"

step "the thief's attempts have changed nothing"
diff -r "$V" "$T/copy" || fail 'the copy was changed'

step 'the passphrase opens it, with the other TPM and without any'
for tpm in none "$(tcti thief)"; do
	mount_it "tpm2=$tpm,passphrase-file=$passphrase,label=SECRET" "$T/copy"
	same 'contents' 'the crown jewels' "$(cat "$M/secret/file")"
	unmount_it
done

step 'the owner still needs no passphrase'
mount_it "tpm2=$(tcti owner),label=SECRET"
same 'contents' 'the crown jewels' "$(cat "$M/secret/file")"
unmount_it
check_volume
