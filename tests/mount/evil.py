#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes lower files under a running daemon, and reads everything: right data or EIO. evil.py MOUNT VOLUME LOG ROUNDS SEED"""
import errno
import os
import random
import stat
import sys

mount, volume, log, rounds, seed = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
rng = random.Random(seed)
print("seed", seed)


def content(path, size):
    r = random.Random(path)
    return r.randbytes(size)


FILES = {f"d{d}/f{n}": content(f"d{d}/f{n}", 1000 + 9000 * n) for d in range(3) for n in range(5)}
FILES["large"] = content("large", 900_000)
# More than the daemon keeps open: each reading opens the lower files anew.
FILES.update({f"many/{n}": content(f"many/{n}", 100 + n) for n in range(300)})


def read(path):
    """The contents as the daemon has them now, not as the kernel remembers them; None: EIO."""
    fd = None
    try:
        fd = os.open(f"{mount}/{path}", os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        data = b""
        while piece := os.read(fd, 1 << 20):
            data += piece
        return data
    except OSError as e:
        assert e.errno == errno.EIO, f"{path}: {e}"
        return None
    finally:
        if fd is not None:
            os.close(fd)


def read_all(what):
    """How many files cannot be read; every other one must be as it was written."""
    bad = 0
    for path, want in FILES.items():
        got = read(path)
        bad += got is None
        if got not in (None, want):
            at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
            raise AssertionError(f"{what}: {path}: WRONG DATA from byte {at} on, {len(got)} bytes of {len(want)}: {got[at:at + 16].hex()}")
    return bad


def objects():
    """Lower files of files and directories, those of some size."""
    found = []
    for top, _, names in os.walk(volume):
        for name in names:
            if len(name) == 16 and int(name, 16) >= 16 and os.path.getsize(f"{top}/{name}"):
                found.append(f"{top}/{name}")
    return sorted(found, key=lambda path: (os.path.getsize(path) < 8192, path))[:20]


def save(path):
    with open(path, "rb") as f:
        return f.read()


def flip(path):
    data = bytearray(save(path))
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    with open(path, "r+b") as f:
        f.write(data)


def cut(path):
    os.truncate(path, rng.randrange(os.path.getsize(path)))


def junk(path):
    with open(path, "r+b") as f:
        f.write(rng.randbytes(os.path.getsize(path)))


def other(path):
    with open(path, "r+b") as f:
        f.write(save(rng.choice(objects()))[:os.path.getsize(path)])


def longer(path):
    os.truncate(path, 1 << 40)


def instead(make):
    def change(path):
        os.rename(path, f"{path}.away")
        make(path)
    return change


CHANGES = {
    "flip": flip, "cut": cut, "junk": junk, "other": other, "longer": longer,
    "remove": instead(lambda p: None), "symlink": instead(lambda p: os.symlink("/etc/passwd", p)),
    "copy": instead(lambda p: os.symlink(f"{p}.away", p)), "fifo": instead(os.mkfifo), "folder": instead(os.mkdir),
    "zero": instead(lambda p: os.mknod(p, stat.S_IFCHR | 0o600, os.makedev(1, 5))),
    "second name": lambda p: os.link(p, f"{p}.away"),
}


def undo(path, was):
    away = f"{path}.away"
    if os.path.lexists(away) and os.path.lexists(path) and os.path.samefile(path, away) and not os.path.islink(path):
        os.unlink(away)
    elif os.path.lexists(away):
        if os.path.lexists(path):
            os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        os.rename(away, path)
    else:
        with open(path, "r+b") as f:
            f.write(was)
            f.truncate(len(was))


def main():
    if rounds == 0:  # makes the files
        for path, data in FILES.items():
            os.makedirs(os.path.dirname(f"{mount}/{path}"), exist_ok=True)
            with open(f"{mount}/{path}", "wb") as f:
                f.write(data)
        return
    assert read_all("before") == 0
    damaged = 0
    for n in range(rounds):
        path, (name, change) = rng.choice(objects()), list(CHANGES.items())[n % len(CHANGES)]
        what = f"{name} {os.path.basename(path)}"
        was = save(path)
        change(path)
        bad = read_all(what)
        damaged += bad > 0
        # A line that comes again within a second is only counted: the object must be named, now or before.
        assert not bad or os.path.basename(path) in save(log).decode(), f"{what}: nothing in the log"
        # Life goes on.
        with open(f"{mount}/new", "wb") as f:
            f.write(str(n).encode() * 5000)
            os.fsync(f.fileno())
        assert read("new") == str(n).encode() * 5000
        undo(path, was)
        bad = read_all(f"{what}, undone")
        assert bad == 0, f"{what}: {bad} files are lost, though it was undone"
    os.unlink(f"{mount}/new")
    print(f"{rounds} changes, {damaged} of them seen")
    assert damaged > rounds // 3, "the changes are not seen"


main()
