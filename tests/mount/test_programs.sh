#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Real programs at work on a mount: git, make and cc, sqlite3, rsync, tar, PostgreSQL.
. "$(dirname "$0")/lib.sh"
need git make cc sqlite3 rsync tar su
pg=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
for program in initdb pg_ctl pgbench pg_amcheck; do
	[ -x "$pg/$program" ] || skip "PostgreSQL's $program is not installed"
done
id postgres >/dev/null 2>&1 || skip 'there is no user postgres'

make_volume
chmod 711 "$T" # the server works below it, and is not root
mount_it "$key,allow_other"
export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@localhost GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@localhost
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null

step 'git: clone of a repository with some hundred commits, fsck, gc'
"$PYTHON" - >"$T/fast-import" <<'END'
import random
r = random.Random(1)
n, files = 0, [f"dir-{i % 17}/file-{i}.c" for i in range(300)]
for c in range(1, 401):
    changes = []
    for path in r.sample(files, 12):
        n += 1
        data = "".join(f"line {r.randrange(1000)} of {path}\n" for _ in range(r.randrange(200)))
        print(f"blob\nmark :{n + 1000}\ndata {len(data)}\n{data}")
        changes.append(f"M 100644 :{n + 1000} {path}")
    text = f"commit {c}"
    print(f"commit refs/heads/master\nmark :{100000 + c}\ncommitter x <x@localhost> {1700000000 + c} +0000")
    print(f"data {len(text)}\n{text}" + (f"\nfrom :{99999 + c}" if c > 1 else ""))
    print("\n".join(changes) + "\n")
END
git init -q --bare -b master "$T/origin.git"
git -C "$T/origin.git" fast-import --quiet <"$T/fast-import"
git clone -q --no-local "$T/origin.git" "$M/clone"
same 'commits' 400 "$(git -C "$M/clone" rev-list --count HEAD)"
git -C "$M/clone" fsck --full --strict
git -C "$M/clone" checkout -q HEAD~200
git -C "$M/clone" checkout -q master
git -C "$M/clone" gc -q --aggressive
git -C "$M/clone" fsck --full
same 'git status' '' "$(git -C "$M/clone" status --porcelain)"

step 'make: a C project'
mkdir "$M/project"
(
	cd "$M/project"
	for i in $(seq 40); do
		echo "#include \"all.h\"
int f$i(int x) { return x + $i; }" >f$i.c
		echo "int f$i(int x);" >>all.h
	done
	{
		echo '#include <stdio.h>'
		echo '#include "all.h"'
		echo 'int main(void) { int s = 0;'
		for i in $(seq 40); do echo "s += f$i(1);"; done
		echo 'printf("%d\n", s); return 0; }'
	} >main.c
	printf 'objects = main.o %s\nprogram: $(objects)\n\t$(CC) -o $@ $(objects)\n$(objects): all.h\n' \
		"$(seq -f 'f%g.o' 40 | paste -sd' ')" >Makefile
	make -s -j2
	same 'what the program says' 860 "$(./program)"
	grep -q 'up to date' <(make program) || fail 'make builds it again: times are not as they should be'
	touch f7.c
	same 'what make does after a touch' 2 "$(make -n program | wc -l)"
)

step 'sqlite3: WAL, 100,000 inserts'
sqlite3 "$M/db" 'PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE t(id INTEGER PRIMARY KEY, a, b);
	CREATE INDEX i ON t(a);' >"$T/out"
seq 100000 | awk 'BEGIN { print "BEGIN;" } NR % 1000 == 0 { print "COMMIT; BEGIN;" }
	{ print "INSERT INTO t(a, b) VALUES(" $1 * 7919 % 100003 ", hex(randomblob(20)));" } END { print "COMMIT;" }' |
	sqlite3 "$M/db"
same 'rows' 100000 "$(sqlite3 "$M/db" 'SELECT count(*) FROM t')"
same 'integrity' ok "$(sqlite3 "$M/db" 'PRAGMA integrity_check')"

step 'rsync -aHAX of /usr/include; tar of it'
rsync -aHAX /usr/include "$M/rsync/"
mkdir "$M/tar"
tar -C /usr -cf "$M/include.tar" include
tar -C "$M/tar" -xf "$M/include.tar"
remount_it "$key,allow_other"
same 'rsync after a remount' '' "$(rsync -aHAXnci --delete /usr/include "$M/rsync/")"
same 'tar after a remount' '' "$(rsync -aHAXnci --delete /usr/include "$M/tar/")"
tar -C /usr -df "$M/include.tar"
git -C "$M/clone" fsck --full
same 'sqlite3 after a remount' ok "$(sqlite3 "$M/db" 'PRAGMA integrity_check')"

step 'PostgreSQL: initdb, pgbench, pg_amcheck'
install -d -o postgres -m 700 "$M/pg" "$T/socket"
as_postgres() { su -s /bin/bash postgres -c "cd /; $1"; }
server() { as_postgres "'$pg/pg_ctl' -D '$M/pg' -w -s -l '$M/pg/log' -o \"-c listen_addresses= -k '$T/socket'\" $1"; }
as_postgres "'$pg/initdb' -D '$M/pg' --data-checksums >/dev/null"
server start
trap 'server "stop -m immediate" || true; clean_up' EXIT
as_postgres "'$pg/pgbench' -h '$T/socket' -i -q -s 2 postgres" >"$T/out" 2>&1
as_postgres "'$pg/pgbench' -h '$T/socket' -c 4 -T 10 postgres" >"$T/out" 2>&1 || fail "pgbench: $(cat "$T/out")"
grep -E '^(tps|number of transactions actually)' "$T/out"
as_postgres "'$pg/pg_amcheck' -h '$T/socket' --install-missing -d postgres --heapallindexed"
server restart
same 'balances agree' t "$(as_postgres "psql -h '$T/socket' -Atc \"SELECT (SELECT sum(delta) FROM pgbench_history) =
	(SELECT sum(abalance) FROM pgbench_accounts)\" postgres")"
server stop
trap clean_up EXIT
as_postgres "'$pg/pg_checksums' -D '$M/pg' --check" >"$T/out" || fail "pg_checksums: $(cat "$T/out")"

step 'verify all of it'
hwm=$(awk '/VmHWM/ { print $2 }' "/proc/$(daemon_of)/status")
[ "$hwm" -lt $((256 * 1024)) ] || fail "the daemon's memory went up to $hwm KiB"
unmount_it
check_volume
