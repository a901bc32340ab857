# SPDX-License-Identifier: GPL-3.0-or-later
# Load for the kill tests, with a memory of what must be there afterwards.
#   writer.py run DIR STATE SEED     works in DIR until the filesystem goes away, then writes down what it knows to STATE
#   writer.py check DIR STATE        compares DIR with it; prints what is wrong and exits 1, or says what it compared
#
# Files of 4 KiB blocks; a block is 256 times (file, block, version). A block on disk must be whole, not older than what
# was synced and not newer than what was written. Names: a name is sure once its directory was synced. Renames over an
# existing file: one of the two contents, never a torn or an empty one.
import json
import os
import random
import struct
import sys

BLOCK = 4096
CELL = struct.Struct("<QII")


def block(file, number, version):
    return CELL.pack(file, number, version) * (BLOCK // CELL.size)


class Writer:
    def __init__(self, folder, seed):
        self.folder, self.random = folder, random.Random(seed)
        self.files = {}     # name -> {block: [synced, written]}
        self.replaced = {}  # name -> [synced, written]: version of a file that is replaced by renames
        self.names = {}     # name -> [synced, done]: whether it exists
        self.syncs = 0

    def overwrite(self):
        file = self.random.randrange(8)
        blocks = self.files.setdefault(str(file), {})
        fd = os.open(f"{self.folder}/file-{file}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            touched = set()
            for _ in range(self.random.randrange(1, 20)):
                number = self.random.choice((self.random.randrange(30), self.random.randrange(600)))
                known = blocks.setdefault(str(number), [0, 0])
                known[1] += 1
                touched.add(str(number))
                os.pwrite(fd, block(file, number, known[1]), number * BLOCK)
            if self.random.random() < 0.5:
                before = {n: k[1] for n, k in blocks.items()}
                (os.fsync, os.fdatasync)[self.random.randrange(2)](fd)
                for n, version in before.items():
                    blocks[n][0] = version
                self.syncs += 1
        finally:
            os.close(fd)

    def replace(self):
        name = f"replaced-{self.random.randrange(4)}"
        known = self.replaced.setdefault(name, [0, 0])
        known[1] += 1
        fd = os.open(f"{self.folder}/{name}.tmp", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            size = self.random.randrange(1, 40)
            os.write(fd, b"".join(block(known[1], size, i) for i in range(size)))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(f"{self.folder}/{name}.tmp", f"{self.folder}/{name}")
        if self.random.random() < 0.5:
            self.sync_folder()
            known[0] = known[1]

    def sync_folder(self):
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        self.syncs += 1

    def rename(self):
        for _ in range(self.random.randrange(1, 10)):
            name = f"name-{self.random.randrange(200)}"
            known = self.names.setdefault(name, [False, False])
            known[1] = None  # either, until the call returns
            if os.path.lexists(f"{self.folder}/{name}"):
                os.unlink(f"{self.folder}/{name}")
                known[1] = False
            else:
                os.symlink(f"target of {name}", f"{self.folder}/{name}")
                known[1] = True
            known[0] = known[0] if known[0] == known[1] else None  # not sure any more
        if self.random.random() < 0.5:
            self.sync_folder()
            for known in self.names.values():
                known[0] = known[1]

    def run(self):
        while True:
            self.random.choice((self.overwrite, self.overwrite, self.replace, self.rename))()


def main():
    verb, folder, state = sys.argv[1:4]
    if verb == "run":
        writer = Writer(folder, sys.argv[4])
        try:
            writer.run()
        except OSError as error:
            with open(state, "w") as f:
                json.dump({"files": writer.files, "replaced": writer.replaced, "names": writer.names,
                           "syncs": writer.syncs, "end": str(error)}, f)
        return 0
    with open(state) as f:
        known = json.load(f)
    bad, compared = [], 0
    for file, blocks in known["files"].items():
        sure = {int(n): k for n, k in blocks.items() if k[0]}
        try:
            with open(f"{folder}/file-{file}", "rb") as f:
                data = f.read()
        except FileNotFoundError:
            if sure:
                bad.append(f"file-{file} is missing")
            continue
        for number, (synced, written) in ((int(n), k) for n, k in blocks.items()):
            compared += 1
            page = data[number * BLOCK:(number + 1) * BLOCK]
            if page in (b"", bytes(BLOCK)):
                if synced:
                    bad.append(f"file-{file}: block {number} is gone, version {synced} was synced")
                continue
            f, n, version = CELL.unpack(page[:CELL.size].ljust(CELL.size))
            if page != block(f, n, version):
                bad.append(f"file-{file}: block {number} is torn")
            elif (f, n) != (int(file), number) or not synced <= version <= written:
                bad.append(f"file-{file}: block {number} is version {version} of {f}/{n}, synced {synced}, written {written}")
    for name, (synced, written) in known["replaced"].items():
        try:
            with open(f"{folder}/{name}", "rb") as f:
                data = f.read()
        except FileNotFoundError:
            if synced:
                bad.append(f"{name} is missing")
            continue
        compared += 1
        version, size, _ = CELL.unpack(data[:CELL.size].ljust(CELL.size))
        if data != b"".join(block(version, size, i) for i in range(size)):
            bad.append(f"{name}: contents are of no version, {len(data)} bytes")
        elif not synced <= version <= written:
            bad.append(f"{name}: version {version}, synced {synced}, written {written}")
    for name, (synced, _) in known["names"].items():
        there = os.path.lexists(f"{folder}/{name}")
        compared += 1
        if synced is not None and there != synced:
            bad.append(f"{name}: {'there' if there else 'missing'}, although the opposite was synced")
        if there and os.readlink(f"{folder}/{name}") != f"target of {name}":
            bad.append(f"{name}: wrong target")
    for line in bad[:20]:
        print(line)
    print(f"{compared} compared, {known['syncs']} syncs, {len(bad)} wrong; ended with: {known['end']}")
    return 1 if bad else 0


sys.exit(main())
