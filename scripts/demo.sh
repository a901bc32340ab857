#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Shows the main job from end to end: a volume with three labels, sealed in this machine's TPM or in a private software
# TPM; write, read, unmount; what a thief of the disk sees; that another machine cannot open it, and that the recovery
# passphrase can. Everything is made in a temporary directory and removed. Fails if any step is not as it should be.
# Usage: scripts/demo.sh   (./bootstrap demo runs it; BUILD: the build directory, default ./build)
set -Eeuo pipefail
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/.."
build=${BUILD:-$PWD/build}
export PATH=$build/tools:$PATH:/usr/sbin:/sbin
work=$(mktemp -d "${TMPDIR:-/tmp}/cloison-demo.XXXXXX")
volume=$work/volume mnt=$work/mnt
swtpms=()

if [ -t 1 ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m'); else bold='' dim='' plain=''; fi

clean_up() {
	local code=$? p
	trap - EXIT ERR
	set +e
	cd /
	if mountpoint -q "$mnt"; then umount.cloison "$mnt" 2>/dev/null || fusermount3 -uz "$mnt" || umount -l "$mnt"; fi
	for p in "${swtpms[@]}"; do kill "$p" 2>/dev/null; done
	rm -rf --one-file-system "$work"
	[ "$code" = 0 ] || echo "demo: failed" >&2
	exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
trap 'echo "demo: line $LINENO: $BASH_COMMAND: exit $?" >&2' ERR

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
wrong() {
	echo "demo: NOT AS IT SHOULD BE: $*" >&2
	exit 1
}
indent() { sed "s/^/    /"; }
# Shows a command and what it says, without the temporary directory's name; fails if the command does.
show() {
	printf '  %s$ %s%s\n' "$dim" "${*//"$work/"/}" "$plain"
	"$@" 2>&1 </dev/null | sed "s|$work/||g" | indent
}
# The same for a command that must be refused with this exit code, and a sentence that holds these words.
refused() { # CODE WORDS COMMAND...
	local code=$1 words=$2 rc=0 out
	shift 2
	printf '  %s$ %s%s\n' "$dim" "${*//"$work/"/}" "$plain"
	out=$("$@" 2>&1 </dev/null) || rc=$?
	sed "s|$work/||g" <<<"$out" | indent
	echo "    (exit $rc)"
	[ "$rc" = "$code" ] || wrong "exit $rc, expected $code"
	grep -q "$words" <<<"$out" || wrong "the message does not say '$words'"
}
same() { [ "$1" = "$2" ] || wrong "expected '$1', found '$2'"; }

start_swtpm() { # NAME
	local dir=$work/$1
	mkdir "$dir"
	swtpm socket --tpm2 --tpmstate dir="$dir" --server type=unixio,path="$dir/s" \
		--ctrl type=unixio,path="$dir/s.ctrl" --flags not-need-init,startup-clear --seccomp action=none \
		--log file="$dir/log",level=1 &
	swtpms+=($!)
	disown
	for _ in $(seq 200); do
		[ ! -S "$dir/s" ] || return 0
		sleep 0.05
	done
	wrong "swtpm does not start: $(cat "$dir/log")"
}

for program in mkfs.cloison mount.cloison umount.cloison cloisonfs fsck.cloison swtpm fusermount3 mountpoint; do
	command -v "$program" >/dev/null || { echo "demo: $program is missing: run ./bootstrap first" >&2; exit 1; }
done
[ -c /dev/fuse ] || { echo 'demo: there is no /dev/fuse on this machine: FUSE is needed to mount' >&2; exit 1; }
mkdir "$mnt"
if [ -z "${XDG_RUNTIME_DIR-}" ] && [ "$(id -u)" != 0 ]; then # where the daemon says when everything is on disk
	mkdir -m 700 "$work/run"
	export XDG_RUNTIME_DIR=$work/run
fi

say 'cloison: one directory, several labels, a key of its own for each'
if [ -c /dev/tpmrm0 ] && [ -r /dev/tpmrm0 ] && [ -w /dev/tpmrm0 ]; then
	tpm=device:/dev/tpmrm0
	echo "This demonstration uses the TPM of this machine, /dev/tpmrm0."
else
	start_swtpm tpm
	tpm=swtpm:path=$work/tpm/s
	echo "This machine has no TPM that we may use (/dev/tpmrm0): a private software TPM (swtpm) takes its place."
fi
printf 'a long recovery passphrase' >"$work/passphrase"
chmod 600 "$work/passphrase"

say '1. Make a volume with three labels'
show mkfs.cloison --label NP --label SECRET --label TRES-SECRET//NUC --tpm2 "$tpm" \
	--recovery-passphrase-file "$work/passphrase" "$volume"

say '2. Mount it as SECRET; the TPM unseals the keys of SECRET and of what is below'
show mount.cloison "$volume" "$mnt" -o "tpm2=$tpm,label=SECRET"
echo 'The reactor restarts on Monday.' >"$mnt/secret/plan.txt"
mkdir "$mnt/secret/archive"
cp "$mnt/secret/plan.txt" "$mnt/secret/archive/copy.txt"
show ls -l "$mnt" "$mnt/secret"
show cat "$mnt/secret/plan.txt"
same 'The reactor restarts on Monday.' "$(cat "$mnt/secret/archive/copy.txt")"
echo '  What is below can be read, not written; what is above is not there:'
refused 1 'Read-only file system' touch "$mnt/note"
refused 2 'No such file' ls "$mnt/tres-secret"
show umount.cloison "$mnt"

say '3. Mount it as TRES-SECRET//NUC: this session sees all three'
show mount.cloison "$volume" "$mnt" -o "tpm2=$tpm,label=TRES-SECRET//NUC"
echo 'Core temperature 312 degrees.' >"$mnt/tres-secret/core.txt"
show cat "$mnt/secret/plan.txt" "$mnt/tres-secret/core.txt"
refused 1 'Read-only file system' touch "$mnt/secret/note"
show umount.cloison "$mnt"

say '4. Mount it without a label: the lowest, and nothing else'
show mount.cloison "$volume" "$mnt" -o "tpm2=$tpm"
same '' "$(ls -A "$mnt")"
show ls -A "$mnt"
echo '    (empty)'
show umount.cloison "$mnt"

say '5. What a thief of the disk has'
(cd "$volume" && find . -type f -size +0 -printf '%M %9s %p\n' | grep -v '\.copy$' | sort -k3 | sed -n 1,12p | indent)
echo "    ... $(find "$volume" -type f | wc -l) files in all"
for words in 'reactor' 'Core temperature' 'plan.txt' 'core.txt' 'archive' 'SECRET' 'tres-secret'; do
	found=$(grep -rlaiF -- "$words" "$volume" || true)
	[ -z "$found" ] || wrong "'$words' can be read in $found"
	[ -z "$(find "$volume" -iname "*$words*")" ] || wrong "'$words' is in the name of a file"
	printf '  %s$ grep -ri "%s" volume%s\n    (nothing)\n' "$dim" "$words" "$plain"
done
[ -z "$(find "$volume" ! \( -type d -perm 700 -o -type f -perm 600 \))" ] || wrong 'modes are not 0700 and 0600'

say "6. Another machine, with another TPM: the thief's"
start_swtpm other-tpm
cp -a "$volume" "$work/stolen"
refused 4 'another TPM' mount.cloison "$work/stolen" "$mnt" \
	-o "tpm2=swtpm:path=$work/other-tpm/s,label=SECRET"
refused 4 'TPM' mount.cloison "$work/stolen" "$mnt" -o tpm2=none
! mountpoint -q "$mnt" || wrong 'it is mounted'

say '7. There, too, the recovery passphrase opens it: for its owner, when the machine is lost'
show mount.cloison "$work/stolen" "$mnt" \
	-o "tpm2=swtpm:path=$work/other-tpm/s,passphrase-file=$work/passphrase,label=TRES-SECRET//NUC"
show cat "$mnt/secret/plan.txt" "$mnt/tres-secret/core.txt"
same 'Core temperature 312 degrees.' "$(cat "$mnt/tres-secret/core.txt")"
show umount.cloison "$mnt"

say '8. Check every page of the original'
show fsck.cloison --tpm2 "$tpm" "$volume"

printf '\n%sAll as it should be%s, in %d seconds. The demonstration is removed again.\n' "$bold" "$plain" "$SECONDS"
