#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Shows the main job end to end: a volume with three labels, what the disk's thief sees, and another machine that cannot open it.
# Needs ./build as ./bootstrap leaves it, and root or a user who may mount. Leaves nothing behind. Fails if any step is not as it should be.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/build/tools:$PATH:/usr/sbin:/sbin
D=$(mktemp -d "${TMPDIR:-/tmp}/cloison-demo.XXXXXX")
V=$D/volume M=$D/mnt
started=()

clean_up() {
	trap - EXIT ERR
	mountpoint -q "$M" && { umount.cloison "$M" || umount -l "$M"; }
	[ ${#started[@]} -eq 0 ] || kill "${started[@]}" 2>/dev/null
	rm -rf --one-file-system "$D"
}
trap clean_up EXIT
trap 'echo "demo: step failed: $BASH_COMMAND" >&2' ERR

title() { printf '\n== %s\n' "$*"; }
show() {
	printf '$ %s\n' "$*"
	"$@" 2>&1 | sed 's/^/    /'
}
fail() {
	echo "demo: $*" >&2
	exit 1
}

software_tpm() { # NAME: prints its TCTI
	mkdir "$D/$1"
	swtpm socket --tpm2 --tpmstate dir="$D/$1" --server type=unixio,path="$D/$1/s" --ctrl type=unixio,path="$D/$1/s.ctrl" \
		--flags not-need-init,startup-clear --seccomp action=none --log file="$D/$1/log",level=1 &
	started+=($!)
	for _ in {1..100}; do
		[ -S "$D/$1/s" ] && return
		sleep 0.05
	done
	fail "the software TPM did not start"
}

mkdir "$M"
umask 077
printf 'demonstration only: twelve lucky herons\n' >"$D/passphrase"

title 'TPM'
if compgen -G '/dev/tpmrm*' >/dev/null; then
	tpm=auto
	echo "this machine's own TPM is used"
else
	software_tpm here
	tpm=swtpm:path=$D/here/s
	echo 'this machine has no TPM: a private software TPM (swtpm) stands in for it'
fi

title 'A volume with three labels, lowest first'
show mkfs.cloison --tpm2 "$tpm" --label NP --label SECRET --label 'TRES-SECRET//NUC' \
	--recovery-passphrase-file "$D/passphrase" "$V"

title 'Work at SECRET: it writes SECRET and reads what is below; what is above is not even listed'
show mount.cloison "$V" "$M" -o "tpm2=$tpm,label=SECRET"
echo 'the heron flies at dawn' >"$M/secret/operation-order.txt"
mkdir "$M/secret/annexes"
cp COPYING "$M/secret/annexes/"
show ls -l "$M" "$M/secret"
show cat "$M/secret/operation-order.txt"
echo '$ touch below (the NP part of the tree)'
if touch "$M/below" 2>"$D/said"; then fail 'a SECRET session wrote at NP'; fi
sed 's/^/    /' "$D/said"
show umount.cloison "$M"

title 'Work at TRES-SECRET//NUC'
show mount.cloison "$V" "$M" -o "tpm2=$tpm,label=TRES-SECRET//NUC"
echo 'and returns at dusk' >"$M/tres-secret/second-order.txt"
show ls "$M" "$M/tres-secret"
show umount.cloison "$M"

title 'A mount without a label sees the lowest only'
show mount.cloison "$V" "$M" -o "tpm2=$tpm"
show ls -A "$M"
[ -z "$(ls -A "$M")" ] || fail 'an upper label shows'
show umount.cloison "$M"

title "What the disk's thief sees"
echo "$(find "$V" -type f | wc -l) files, $(find "$V" -type d | wc -l) folders; for instance:"
find "$V" -path '*/??/*' -type f -printf '%M %8s %P\n' | sort -R --random-source="$D/passphrase" | head -5 | sed 's/^/    /'
for word in 'the heron' operation-order annexes SECRET TRES-SECRET 'GNU GENERAL'; do
	if grep -rqaF -- "$word" "$V"; then fail "'$word' stands in the backing directory"; fi
	printf "    grep -r %-20s nothing\n" "'$word'"
done

title 'The same disk in another machine (another TPM)'
cp -a "$V" "$D/stolen"
software_tpm thief
rc=0
mount.cloison "$D/stolen" "$M" -o "tpm2=swtpm:path=$D/thief/s,label=SECRET" 2>"$D/said" || rc=$?
sed 's/^/    /' "$D/said"
[ $rc = 4 ] || fail "expected exit code 4, found $rc"
echo "    (exit code $rc)"

title 'With the recovery passphrase it opens there'
show mount.cloison "$D/stolen" "$M" -o "tpm2=none,passphrase-file=$D/passphrase,label=SECRET"
show cat "$M/secret/operation-order.txt"
show umount.cloison "$M"

title 'Check of the whole volume'
show fsck.cloison -n --passphrase-file "$D/passphrase" --tpm2 none "$V"
printf '\ndemo: all as it should be\n'
