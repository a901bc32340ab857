#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs the test suites and counts them. Usage: scripts/run-tests.sh [--no-skip] [SUITE]...   (--list shows their names)
# Needs ./build as ./bootstrap leaves it. Output of each suite: build/test-logs. --no-skip: a skipped suite is a failure.
set -u
shopt -s extglob nullglob
cd "$(dirname "$0")/.." || exit 1
top=$PWD
export BUILD=$top/build # for the scripts in tests/mount
export PYTHON=/usr/bin/python3
logs=$BUILD/test-logs
jobs=-j$(nproc)
passed=0 failed=0 skipped=0

suites=(unit lint second_compiler sanitizers tsan valgrind coverage cppcheck distcheck mount reader)

# Runs a command as the test NAME. Exit code 77 means skipped, the last line of its output says why.
run() {
	local name=$1 log=$logs/${1//\//-}.log start=$SECONDS rc
	shift
	("$@") >"$log" 2>&1 </dev/null
	rc=$?
	case $rc in
	0)
		passed=$((passed + 1))
		echo "PASS $name ($((SECONDS - start)) s)"
		;;
	77)
		skipped=$((skipped + 1))
		echo "SKIP $name: $(tail -n 1 "$log")"
		;;
	*)
		failed=$((failed + 1))
		echo "FAIL $name (exit $rc), end of $log:"
		tail -n 40 "$log" | sed 's/^/    /'
		;;
	esac
}

need() {
	local tool
	for tool; do
		command -v "$tool" >/dev/null || { echo "$tool is not installed"; exit 77; }
	done
}

check_in() { # DIR [MAKE ARGUMENT]...
	local dir=$1
	shift
	make -C "$dir" "$jobs" check "$@" && return
	cat "$dir/test-suite.log" 2>/dev/null
	return 1
}

# A build of its own below ./build, with other options of configure.
variant() { # NAME [CONFIGURE ARGUMENT]...
	local dir=$BUILD/$1
	shift
	mkdir -p "$dir"
	if [ ! -e "$dir/config.status" ] || [ configure -nt "$dir/config.status" ]; then
		(cd "$dir" && "$top/configure" --enable-werror "$@") || return
	fi
	make -C "$dir" "$jobs" && CLOISON_TEST_SHORT=1 check_in "$dir"
}

suite_unit() { run unit check_in "$BUILD"; }
suite_lint() { run lint scripts/lint.sh "$BUILD"; }
suite_second_compiler() { run second_compiler with clang variant clang CC=clang; }
suite_sanitizers() { run sanitizers variant asan --enable-sanitize=address,undefined; }
suite_tsan() { TSAN_OPTIONS=suppressions=$top/scripts/tsan.supp run tsan variant tsan --enable-sanitize=thread; }

suite_valgrind() {
	# The suppression is for a string that libfuse 3.14 itself loses when a busy mount is detached.
	CLOISON_TEST_SHORT=1 CLOISON_TEST_MEMORY=1 KEYRING_TEST_STEP=97 CK_FORK=no run valgrind with valgrind check_in "$BUILD" LOG_COMPILER=valgrind \
		LOG_FLAGS='-q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --suppressions='"$top/scripts/valgrind.supp"
}

# Its report is the end of build/test-logs/coverage.log.
suite_coverage() { run coverage with gcov coverage; }

coverage() {
	variant coverage --enable-coverage && scripts/coverage.sh "$BUILD/coverage"
}

# What is not initialised, compilers and valgrind know; cppcheck guesses.
suite_cppcheck() {
	run cppcheck with cppcheck cppcheck --quiet --error-exitcode=1 --enable=warning,portability,performance \
		--inline-suppr --suppress=missingIncludeSystem --suppress=uninitvar --suppress=uninitdata \
		--suppress=uninitStructMember --std=c11 --language=c -D_GNU_SOURCE -I. -j"$(nproc)" \
		common keyring tpm fs tools
}

suite_distcheck() { CLOISON_TEST_SHORT=1 run distcheck make -C "$BUILD" distcheck; }

with() { # TOOL COMMAND...
	need "$1"
	shift
	"$@"
}

mount_script() {
	[ "$(id -u)" = 0 ] || { echo 'needs root'; return 77; }
	[ -c /dev/fuse ] || { echo 'needs /dev/fuse'; return 77; }
	case $1 in
	*.py) timeout 1800 "$PYTHON" "$1" ;;
	*) timeout 1800 bash "$1" ;;
	esac
}

no_script() { echo 'has no script in tests/mount'; return 77; }

mount_scripts() { # SUITE SCRIPT...
	local suite=$1 script
	shift
	[ $# -gt 0 ] || run "$suite" no_script
	for script; do
		run "$suite/$(basename "$script")" mount_script "$script"
	done
}

# Each script in tests/mount is a test; those named test_reader* are of the independent reader, tests/reader.py.
suite_mount() { mount_scripts mount tests/mount/test_!(reader*).@(sh|py); }
suite_reader() { mount_scripts reader tests/mount/test_reader*.@(sh|py); }

no_skip=0
wanted=()
for arg; do
	case $arg in
	--no-skip) no_skip=1 ;;
	--list) printf '%s\n' "${suites[@]}"; exit 0 ;;
	*)
		[[ " ${suites[*]} " = *" $arg "* ]] || { echo "run-tests.sh: no suite $arg (--list shows them)" >&2; exit 2; }
		wanted+=("$arg")
		;;
	esac
done
[ -e "$BUILD/Makefile" ] || { echo 'run-tests.sh: no ./build: run ./bootstrap first' >&2; exit 2; }
mkdir -p "$logs"
run build make -C "$BUILD" "$jobs"
for suite in "${wanted[@]:-${suites[@]}}"; do
	suite_"$suite"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && { [ $no_skip = 0 ] || [ $skipped = 0 ]; }
