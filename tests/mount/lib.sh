# SPDX-License-Identifier: GPL-3.0-or-later
# What the mount tests share: a private directory, software TPMs, a volume, its mount, and an end that leaves nothing.
# Environment: BUILD (build directory, default ./build), PYTHON, TMPDIR, KEEP=1 (leave the private directory).
# A test is skipped (exit 77) only when a program is missing. Any command that fails and is not asked for fails the test.
# shellcheck shell=bash
set -Eeuo pipefail
export LC_ALL=C.UTF-8
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-$top/build}
PYTHON=${PYTHON:-/usr/bin/python3}
export PYTHONDONTWRITEBYTECODE=1 # the source tree may be read-only
export PATH=$BUILD/tools:$PATH:/usr/sbin:/sbin
T=$(mktemp -d "${TMPDIR:-/tmp}/cloison-test.XXXXXX")
V=$T/vol # the volume
M=$T/mnt # its mount point
started=()
rc=0 out='' # of the last run()

# What the test's cloisonfs processes are: they carry its private directory in their arguments.
daemons() {
	local p
	for p in /proc/[0-9]*; do
		case $(readlink "$p/exe") in */cloisonfs | */cloisonfs' (deleted)') ;; *) continue ;; esac
		if tr '\0' '\n' <"$p/cmdline" | grep -qF "$T"; then echo "${p#/proc/}"; fi
	done 2>/dev/null
}

clean_up() {
	local code=$? p
	trap - EXIT ERR
	trap '' INT TERM HUP
	set +e
	cd /
	awk -v t="$T/" 'index($5, t) == 1 { print $5 }' /proc/self/mountinfo | tac | while read -r p; do umount -l "$p"; done
	for p in "${started[@]}" $(daemons); do kill -KILL "$p"; done 2>/dev/null
	if [ "${KEEP-}" ]; then
		echo "left: $T"
	else
		chmod -R u+rwX "$T" 2>/dev/null
		rm -rf --one-file-system "$T"
	fi
	exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
trap 'echo "$0: line $LINENO: $BASH_COMMAND: exit $?" >&2' ERR

fail() { # MESSAGE
	local i
	echo "FAILED: $*" >&2
	for ((i = 1; i < ${#BASH_SOURCE[@]}; i++)); do
		echo "    at ${BASH_SOURCE[i]}:${BASH_LINENO[i - 1]}" >&2
	done
	exit 1
}

skip() {
	echo "$*"
	exit 77
}

need() { # PROGRAM...
	local p
	for p; do
		command -v "$p" >/dev/null || skip "$p is not installed"
	done
}

step() { printf '%5d s  %s\n' "$SECONDS" "$*"; }

# run COMMAND...: its exit code is in $rc, what it said in $out.
run() {
	rc=0
	out=$("$@" 2>&1 </dev/null | tr -d "\0") || rc=$?
}

# expect CODE PATTERN COMMAND...: the exit code, and an extended regular expression that the output matches.
expect() {
	local code=$1 pattern=$2
	shift 2
	run "$@"
	[ "$rc" = "$code" ] || fail "$*: exit $rc, expected $code; it said: $out"
	grep -Eq -- "$pattern" <<<"$out" || fail "$*: said: $out; expected: $pattern"
}

# refused PATTERN COMMAND...: fails with this message, whatever the exit code.
refused() {
	local pattern=$1
	shift
	run "$@"
	[ "$rc" != 0 ] || fail "$*: succeeded; expected: $pattern"
	grep -Eq -- "$pattern" <<<"$out" || fail "$*: said: $out; expected: $pattern"
}

same() { # WHAT EXPECTED FOUND
	[ "$2" = "$3" ] || fail "$1: found '$3', expected '$2'"
}

wait_until() { # SECONDS COMMAND...
	local until=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -le $until ] || return 1
		sleep 0.05
	done
}

# ---- TPMs

tcti() { echo "swtpm:path=$T/$1/s"; }

tpm_start() { # NAME: a machine's TPM; its state is kept in $T/NAME
	local dir=$T/$1
	need swtpm
	mkdir -p "$dir"
	swtpm socket --tpm2 --tpmstate dir="$dir" --server type=unixio,path="$dir/s" \
		--ctrl type=unixio,path="$dir/s.ctrl" --flags not-need-init,startup-clear --seccomp action=none \
		--log file="$dir/log",level=1 &
	started+=($!)
	disown
	wait_until 20 test -S "$dir/s" || fail "swtpm does not start: $(cat "$dir/log")"
}

# ---- volume and mount

passphrase=$T/passphrase
printf 'correct horse battery staple' >"$passphrase"
key=tpm2=none,passphrase-file=$passphrase # how the volume is opened, unless a test says otherwise

# make_volume [OPTION OF mkfs]...: at $V. Without options: one label and the passphrase.
make_volume() {
	[ $# -gt 0 ] || set -- --tpm2 none
	run mkfs.cloison --journal-size 8M --recovery-passphrase-file "$passphrase" "$@" "$V"
	[ $rc = 0 ] || fail "mkfs.cloison $*: exit $rc: $out"
	mkdir -p "$M"
}

mount_it() { # [OPTIONS [VOLUME [MOUNTPOINT]]]
	run mount.cloison "${2:-$V}" "${3:-$M}" -o "${1:-$key}"
	[ $rc = 0 ] || fail "mount.cloison $*: exit $rc: $out"
	mountpoint -q "${3:-$M}" || fail "mount.cloison said that it mounted, but did not"
}

# As mount_it; what the daemon has to say goes into the file LOG.
mount_logged() { # LOG [OPTIONS [VOLUME [MOUNTPOINT]]]
	cloisonfs -f "${3:-$V}" "${4:-$M}" -o "${2:-$key}" 2>>"$1" </dev/null &
	started+=($!)
	disown
	wait_until 20 mountpoint -q "${4:-$M}" || fail "cloisonfs does not mount: $(cat "$1")"
}

unmount_it() { # [MOUNTPOINT]
	run umount.cloison "${1:-$M}"
	[ $rc = 0 ] || fail "umount.cloison: exit $rc: $out"
	! mountpoint -q "${1:-$M}" || fail "umount.cloison said that it unmounted, but did not"
	[ -z "$out" ] || fail "umount.cloison has something to say: $out"
}

remount_it() { # [OPTIONS]
	unmount_it
	mount_it "$@"
}

daemon_of() { # [MOUNTPOINT]: its process
	cloison status --json "${1:-$M}" | sed -n 's/.*"pid": \([0-9]*\).*/\1/p'
}

# A process that has ended, or has closed all its files and is about to.
gone() { [ -z "$(ls "/proc/$1/fd" 2>/dev/null)" ]; }

# kill -9 of the daemon, and what an administrator then does; no check, no repair.
crash_it() { # [MOUNTPOINT]
	local pid
	pid=$(daemon_of "${1:-$M}")
	[ "$pid" ] || fail 'the daemon is not known'
	kill -KILL "$pid"
	wait_until 20 gone "$pid" || fail 'the daemon survived kill -9'
	umount -l "${1:-$M}"
}

reader() { # VERB [PATH]
	"$PYTHON" "$top/tests/reader.py" --passphrase-file "$passphrase" "$1" "$V" "${@:2}"
}

# The volume is as it should be: says fsck.cloison, which verifies every page, and the independent reader.
check_volume() { # [CODE OF fsck.cloison, default 0; 1: it replayed a journal]
	run fsck.cloison --tpm2 none --passphrase-file "$passphrase" "$V"
	[ $rc = "${1:-0}" ] || fail "fsck.cloison: exit $rc: $out"
	run reader verify
	[ $rc = 0 ] || fail "reader.py verify: exit $rc: $out"
}

# What can be seen of a tree, but for the contents of huge files; two trees are equal if their prints are.
print_tree() { # DIR
	(
		cd "$1"
		find . -mindepth 1 -printf '%P\t%y\t%#m\t%U\t%G\t%n\t%s\t%T@\t%l\n' | awk -F'\t' -v OFS='\t' '$2 == "d" { $7 = "-" } { print }' |
			sort
		find . -type f -size -1048576k -print0 | sort -z | xargs -0r sha256sum
		getfattr -PhdRm '^(user|trusted|system.posix_acl)' . 2>/dev/null
	)
}

[ "$(id -u)" = 0 ] || fail 'needs root'
[ -c /dev/fuse ] || fail 'needs /dev/fuse'
need mountpoint setfattr getfattr "$PYTHON"
[ -x "$BUILD/tools/cloisonfs" ] || fail "no programs in $BUILD/tools: build first (BUILD=...)"
