# SPDX-License-Identifier: GPL-3.0-or-later
# Two more loads for the tests that kill the daemon or the disk, each with a memory outside of what must be there afterwards.
#   load.py fsx FILE STATE SEED     writes, cuts, punches and maps one file until the filesystem goes away; then writes STATE
#   load.py fsx-check FILE STATE    compares
#   load.py sqlite DB LOG SEED      transactions in WAL mode, each committed one's number into LOG
#   load.py sqlite-check DB LOG     compares
#
# Of the file: since its last fsync each page had a series of contents, and the file a series of sizes. Afterwards each
# page has one of them, never a mixture. Pages stored to through a mapping may be a mixture until msync returned.
import ctypes
import mmap
import os
import pickle
import random
import sqlite3
import sys

PAGE = 4096
SIZE_MAX = 200 * PAGE
PUNCH = 3  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
libc = ctypes.CDLL(None, use_errno=True)


def pad(data):
    return bytes(data).ljust(PAGE, b"\0")


class Shadow:
    """What the file is, and what it may be found as."""

    def __init__(self):
        self.data = bytearray()
        self.pages = {}      # number -> contents since the last sync, the synced first; what is missing: unchanged
        self.sizes = [0]
        self.synced = False  # at all, with its name
        self.loose = set()   # pages that may be a mixture
        self.syncs = self.steps = 0

    def page(self, number):
        return pad(self.data[number * PAGE:(number + 1) * PAGE])

    def change(self, data, loose=False):
        """Before the call: both what is there and what is to be may be found, until a sync."""
        last = max(len(data), len(self.data))
        for number in range((last + PAGE - 1) // PAGE):
            old, new = self.page(number), pad(data[number * PAGE:(number + 1) * PAGE])
            if old != new:
                self.pages.setdefault(number, [old]).append(new)
                if loose:
                    self.loose.add(number)
        self.data = bytearray(data)
        self.sizes.append(len(data))
        self.steps += 1

    def cut(self, size):
        """A cut goes out before the page that it cuts is written back: it may cut any of the page's contents."""
        number, within = divmod(size, PAGE)
        if number in self.pages:
            self.pages[number] += [pad(old[:within]) for old in self.pages[number]]

    def sync(self, first=0, last=None):
        for number in [n for n in self.pages if n >= first and (last is None or n <= last)]:
            del self.pages[number]
            self.loose.discard(number)
        if last is None:
            self.sizes = [len(self.data)]
            self.synced = True
        self.syncs += 1

    def wrong(self, found):
        bad = []
        lengths = set(self.sizes)
        # Written back page by page, so any whole number of pages in between is a length it had.
        if len(found) not in lengths and (len(found) % PAGE or not min(lengths) <= len(found) <= max(lengths)):
            bad.append(f"is {len(found)} bytes long; had been {sorted(lengths)[:20]}")
        for number in range((max(len(found), len(self.data), *lengths) + PAGE - 1) // PAGE):
            page = pad(found[number * PAGE:(number + 1) * PAGE])
            allowed = self.pages.get(number, [self.page(number)])
            if page in allowed:
                continue
            if number in self.loose and all(any(a[i] == page[i] for a in allowed) for i in range(PAGE)):
                continue
            cut = len(found) - number * PAGE
            if 0 < cut < PAGE and any(pad(a[:cut]) == page for a in allowed):
                continue
            bad.append(f"page {number} is none of the {len(allowed)} contents that it had")
        return bad


class Fsx:
    def __init__(self, path, seed):
        self.path, self.random, self.shadow = path, random.Random(seed), Shadow()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)

    def range(self):
        size = len(self.shadow.data)
        start = self.random.choice((self.random.randrange(SIZE_MAX), self.random.randrange(min(size + 1, SIZE_MAX))))
        length = self.random.choice((self.random.randrange(1, 300), self.random.randrange(1, 20 * PAGE)))
        if self.random.random() < 0.3:
            start -= start % PAGE
        return start, min(length, SIZE_MAX - start)

    def write(self):
        start, length = self.range()
        new = self.random.randbytes(length)
        data = bytearray(self.shadow.data.ljust(start + length, b"\0"))
        data[start:start + length] = new
        self.shadow.change(data)
        os.pwrite(self.fd, new, start)

    def append(self):
        new = self.random.randbytes(self.random.randrange(1, 3 * PAGE))
        if len(self.shadow.data) + len(new) > SIZE_MAX:
            return self.cut()
        end = len(self.shadow.data)
        self.shadow.change(self.shadow.data + new)
        os.pwrite(self.fd, new, end)

    def cut(self):
        size = self.random.choice((0, self.random.randrange(SIZE_MAX), self.random.randrange(len(self.shadow.data) + 1)))
        self.shadow.change(self.shadow.data[:size].ljust(size, b"\0"))
        self.shadow.cut(size)
        os.ftruncate(self.fd, size)

    def punch(self):
        start, length = self.range()
        size = len(self.shadow.data)
        data = bytearray(self.shadow.data)
        data[start:min(size, start + length)] = bytes(max(0, min(size, start + length) - start))
        self.shadow.change(data)
        if libc.fallocate(self.fd, PUNCH, ctypes.c_long(start), ctypes.c_long(length)):
            raise OSError(ctypes.get_errno(), "fallocate")

    def store(self):
        """Through a mapping, in a child: when the daemon is gone, a page that cannot be had is a SIGBUS."""
        size = len(self.shadow.data)
        if not size:
            return
        start, length = self.range()
        start = min(start, size - 1)
        length = min(length, size - start)
        data = bytearray(self.shadow.data)
        new = data[start:start + length] = self.random.randbytes(length)
        self.shadow.change(data, loose=True)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                mapped = mmap.mmap(self.fd, size)
                mapped[start:start + length] = new
                first = start - start % PAGE
                mapped.flush(first, start + length - first)
                code = 0
            finally:
                os._exit(code)
        if os.waitpid(child, 0)[1]:
            raise OSError("msync in the child failed")
        self.shadow.sync(start // PAGE, (start + length - 1) // PAGE)

    def sync(self):
        self.random.choice((os.fsync, os.fdatasync))(self.fd)
        self.shadow.sync()

    def run(self):
        self.sync()
        while True:
            self.random.choice((self.write, self.write, self.append, self.cut, self.punch, self.store, self.sync))()


def fsx(path, state, seed):
    try:
        load = Fsx(path, seed)
    except OSError:
        return 0  # gone before it began
    try:
        load.run()
    except OSError as error:
        load.shadow.end = str(error)
    with open(state, "wb") as f:
        pickle.dump(load.shadow, f)


def fsx_check(path, state):
    with open(state, "rb") as f:
        shadow = pickle.load(f)
    try:
        with open(path, "rb") as f:
            bad = shadow.wrong(f.read())
    except FileNotFoundError:
        bad = ["is missing"] if shadow.synced else []
    for line in bad[:20]:
        print(f"{path}: {line}")
    print(f"{path}: {shadow.steps} steps, {shadow.syncs} syncs, {len(bad)} wrong; ended with: {shadow.end}")
    return 1 if bad else 0


def sql(path, log, seed):
    rng = random.Random(seed)
    with open(log, "w", buffering=1) as done:
        try:
            db = sqlite3.connect(path, isolation_level=None, timeout=30)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v)")
            number = db.execute("SELECT max(id) FROM t").fetchone()[0] or 0
            while True:
                number += 1
                db.execute("BEGIN IMMEDIATE")
                db.execute("INSERT INTO t VALUES (?, ?)", (number, rng.randbytes(rng.randrange(1, 6000))))
                db.execute("UPDATE t SET v = ? WHERE id = ?", (rng.randbytes(50), rng.randrange(1, number + 1)))
                db.execute("COMMIT")
                print(number, file=done)
        except (sqlite3.Error, OSError):
            os._exit(0)  # without a try to close it properly


def sql_check(path, log):
    with open(log) as f:
        done = [int(line) for line in f.read().split("\n")[:-1]]
    db = sqlite3.connect(path, timeout=30)
    said = db.execute("PRAGMA integrity_check").fetchall()
    there = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 't'").fetchone()[0]
    last = db.execute("SELECT max(id), count(*) FROM t").fetchone() if there else (None, 0)
    print(f"{path}: {len(done)} transactions, the last {done[-1:]}, found {last}, {said[0][0]}")
    whole = said == [("ok",)] and last[0] == (last[1] or None) and (not done or (last[0] or 0) >= done[-1])
    return 0 if whole else 1


def main():
    verb, path, state = sys.argv[1:4]
    if verb == "fsx":
        return fsx(path, state, sys.argv[4])
    if verb == "fsx-check":
        return fsx_check(path, state)
    if verb == "sqlite":
        return sql(path, state, sys.argv[4])
    return sql_check(path, state)


if __name__ == "__main__":
    sys.exit(main())
