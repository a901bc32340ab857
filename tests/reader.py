#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
# Lists, reads and verifies a cloison volume: from doc/FORMAT alone, so as to prove the document.
#
# Needs python3-cryptography. Never writes: what the journal still holds is laid over the objects in memory. Meant for a
# volume that nobody writes at the moment. Exit code: 0 well, 1 damage or findings, 2 usage or no such path, 4 no key.

import argparse
import base64
import collections
import functools
import hashlib
import json
import os
import re
import stat
import struct
import sys

from cryptography.exceptions import InvalidTag

sys.dont_write_bytecode = True  # the source tree may be read-only, and is to stay as it is
from reader_volume import Damage, NoKey, kdf, open_volume, require, require_zero, xaes  # noqa: E402
from reader_xxh3 import xxh3_128  # noqa: E402

PAGE = 4096
HOLE = bytes(32)
ZERO_PAGE = bytes(PAGE)
MAX_HEIGHT = 5
FIRST_FILE_OBJECT = 16
MAX_INODE = 2**47
MAX_SIZE = 2**47
MAX_XATTRS = 2**20 - PAGE
REF = struct.Struct("<12s4s16s")


# ---- sections 1 and 8: files, journal

class Lower:
    """One lower file with what the journal has for it laid over."""

    def __init__(self, path):
        self.path, self.pages, self.holes, self.limit = path, {}, [], None

    def punch(self, start, end):
        self.pages = {p: d for p, d in self.pages.items() if not start <= p < end}
        self.holes.append((start, end))

    def cut(self, pages):
        self.pages = {p: d for p, d in self.pages.items() if p < pages}
        self.limit = pages if self.limit is None else min(pages, self.limit)

    def read(self, page):
        """A page, None if the file does not reach that far."""
        if page in self.pages:
            return self.pages[page]
        if any(a <= page < b for a, b in self.holes):
            return ZERO_PAGE
        if self.limit is not None and page >= self.limit:
            return None
        try:
            fd = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        data = os.pread(fd, PAGE, page * PAGE)
        os.close(fd)
        return data if len(data) == PAGE else None


class Compartment:
    def __init__(self, volume_dir, cid):
        self.dir, self.cid, self.journal_notes = os.path.join(volume_dir, cid.hex()), cid, []
        self.lowers, self.last_transaction = {}, None

    def copies(self, number):
        """The lower files of an object; those that the journal has something for are in self.lowers."""
        if number in self.lowers:
            return self.lowers[number]
        path = os.path.join(self.dir, f"{number % 256:02x}/{number:016x}" if number else "root")
        return [Lower(path), Lower(path + ".copy")] if number <= 3 else [Lower(path)]

    def load_journal(self):
        path = os.path.join(self.dir, "journal")
        with open(path, "rb") as f:
            headers = [self.parse_header(f.read(PAGE), number) for number in (0, 1)]
            headers = [h for h in headers if h]
            require(headers, "journal: no valid header")
            generation, count, tail, transaction = max(headers)
            size = os.fstat(f.fileno()).st_size
            require(count > 0 and size == (count + 2) * PAGE, f"journal: {size} bytes are not {count} + 2 pages")
            require(tail < count, "journal: tail is outside of the ring")

            def ring(start, pages):
                data = b""
                while pages:
                    start %= count
                    run = min(pages, count - start)
                    f.seek((2 + start) * PAGE)
                    data += f.read(run * PAGE)
                    start, pages = start + run, pages - run
                return data

            self.last_transaction = transaction - 1
            used = 0
            while used < count:
                record = self.read_record(ring, tail + used, transaction, count - used)
                if record is None:
                    break
                self.apply(record)
                self.last_transaction = transaction
                transaction, used = transaction + 1, used + len(record) // PAGE
            # What is torn can only be the last: a whole record of a later transaction behind it means damage.
            for ahead in range(used, count):
                head = ring(tail + ahead, 1)
                number = struct.unpack_from("<Q", head, 8)[0]
                require(head[:8] != b"CLOISONT" or number <= transaction
                        or self.read_record(ring, tail + ahead, number, count) is None,
                        f"journal: record {transaction} is damaged, record {number} behind it is whole")

    def parse_header(self, page, number):
        if len(page) != PAGE or page[:8] != b"CLOISONJ" or xxh3_128(page[:64]) != page[64:80]:
            self.journal_notes.append(f"journal: header {number} is not valid")
            return None
        version, zero, cid, count, tail, transaction, generation = struct.unpack_from("<I4s16s4Q", page, 8)
        require(version == 1, f"journal: version {version}")
        require_zero(zero + page[80:], f"journal: header {number}")
        require(cid == self.cid, f"journal: header {number} is of another compartment")
        return generation, count, tail, transaction

    def read_record(self, ring, start, transaction, room):
        head = ring(start, 1)
        if head[:8] != b"CLOISONT":
            return None
        number, cid, pages = struct.unpack_from("<Q16sI", head, 8)
        if number != transaction or cid != self.cid or not 1 <= pages <= room:
            return None
        record = ring(start, pages)
        return record if xxh3_128(record[:48] + bytes(16) + record[64:]) == record[48:64] else None

    def apply(self, record):
        transaction, pages, head, blocks, operations = struct.unpack_from("<Q16x4I", record, 8)
        what = f"journal: record {transaction}"
        lists = 64 + 16 * blocks + 32 * operations
        require(head == -(-lists // PAGE) and pages == head + blocks, f"{what}: counts do not fit its length")
        require_zero(record[lists:head * PAGE], what)
        for i in range(operations):
            code, zero, number, a, b = struct.unpack_from("<I4s3Q", record, 64 + 16 * blocks + 32 * i)
            require_zero(zero, what)
            require(code in (1, 2, 3), f"{what}: operation {code} is not known")
            require(number >= FIRST_FILE_OBJECT, f"{what}: operation {code} on object {number}")
            require((code > 1 or not a) and (code > 2 or not b), f"{what}: operation {code} with an argument too much")
            for lower in self.lowers.setdefault(number, self.copies(number)):
                if code == 3:
                    lower.punch(a, a + b)
                else:
                    lower.cut(a)
        has_root = False
        for i in range(blocks):
            number, page = struct.unpack_from("<2Q", record, 64 + 16 * i)
            require(number <= 3 or number >= FIRST_FILE_OBJECT, f"{what}: block of reserved object {number}")
            require(number or not page, f"{what}: page {page} of the root page")
            has_root = has_root or not number
            for lower in self.lowers.setdefault(number, self.copies(number)):
                lower.pages[page] = record[(head + i) * PAGE:(head + i + 1) * PAGE]
        require(has_root, f"{what}: the root page is not in it")

    # ---- section 4: root page

    def parse_root(self, page, lk):
        require(page is not None, "missing or short")
        require(page[:8] == b"CLOISONR", "wrong magic")
        version, zero, cid, transaction, epoch, mid, counter, tag = struct.unpack_from("<I4s16sQ12s8s4s16s", page, 8)
        require(version == 1, f"version {version}")
        require_zero(zero + mid + page[80:128], "header")
        require(cid == self.cid, "of another compartment")
        try:
            plain = xaes(kdf(lk, b"root", self.cid, 32), epoch).decrypt(bytes(8) + counter, page[128:] + tag, page[:40])
        except InvalidTag:
            raise Damage("does not authenticate") from None
        values = struct.unpack("<8Q88s88s88s3640s", plain)
        names = ("transaction", "anchor", "mount", "next_object", "flags", "inodes", "limit", "orphans")
        root = dict(zip(names, values))
        require(root["transaction"] == transaction, "transaction numbers inside and outside differ")
        require(root["flags"] <= 1, "unknown flags")
        require_zero(values[11], "plaintext")
        for number, (name, raw) in enumerate(zip(("table", "bitmap", "orphan_bitmap"), values[8:11]), 1):
            obj, height, zero, ref, key, end = struct.unpack("<QB7s32s32s8s", raw)
            require_zero(zero + end, name)
            require(obj == number, f"{name} is in object {obj}")
            root[name] = Tree(self, obj, height, ref, key)
        return root

    def load_root(self, lk):
        """The root page that counts; a list of what is wrong with a copy."""
        found, wrong = [], []
        for name, lower in zip(("root", "root.copy"), self.copies(0)):
            try:
                found.append(self.parse_root(lower.read(0), lk))
            except Damage as damage:
                wrong.append(f"{name}: {damage}")
        require(found, "; ".join(wrong))
        self.root = max(found, key=lambda root: root["transaction"])
        return wrong

    def inode(self, number):
        require(0 < number < self.root["limit"], f"inode {number} is outside of the table")
        inode = Inode(self, number, self.root["table"].leaf(number // 8)[number % 8 * 512:][:512])
        require(inode.mode, f"inode {number} is free")
        return inode


# ---- section 3: page trees

SUBTREE = [1]
for _level in range(MAX_HEIGHT):
    SUBTREE.append(128 * SUBTREE[-1] + 1)


def leaf_place(i):
    place = 0
    for level in range(1, MAX_HEIGHT + 1):
        digit = i // 128 ** (level - 1) % 128
        place += digit * SUBTREE[level - 1] + (1 if digit else 0)
    return place


def page_place(level, index):
    return leaf_place(index) if level == 0 else SUBTREE[level - 1] + leaf_place(index * 128**level)


class Tree:
    def __init__(self, compartment, number, height, ref, key):
        require(height <= MAX_HEIGHT, f"object {number}: height {height}")
        require(number or ref == HOLE, "a tree without an object")
        self.compartment, self.number, self.height, self.ref, self.key = compartment, number, height, ref, key

    @functools.cached_property
    def cached(self):
        return functools.lru_cache(maxsize=64)(self.open_page)

    def open_page(self, level, index, ref, every_copy=False):
        """Plaintext of a page; with every_copy each copy of it has to be good."""
        epoch, counter, tag = REF.unpack(ref)
        place = page_place(level, index)
        aad = self.compartment.cid + struct.pack("<QQII", self.number, index, level, 0)
        plain, wrong = None, None
        for lower in self.compartment.copies(self.number):
            data = lower.read(place)
            what = f"{os.path.relpath(lower.path, self.compartment.dir)} page {place} (level {level}, index {index})"
            try:
                require(data is not None, f"{what}: missing or short")
                plain = xaes(self.key, epoch).decrypt(bytes(8) + counter, data + tag, aad)
                if not every_copy:
                    return plain
            except Damage as damage:
                wrong = damage
            except InvalidTag:
                wrong = Damage(f"{what}: does not authenticate")
        if wrong:
            raise wrong
        return plain

    def leaf(self, i):
        if i >= 128**self.height:
            return ZERO_PAGE
        ref = self.ref
        for level in range(self.height, 0, -1):
            if ref == HOLE:
                break
            page = self.cached(level, i // 128**level, ref)
            slot = i // 128 ** (level - 1) % 128
            ref = page[32 * slot:32 * slot + 32]
        return ZERO_PAGE if ref == HOLE else self.cached(0, i, ref)

    def leaves(self, on_damage=None, nonces=None):
        """(index, plaintext) of the leaves stored, in order. With on_damage, goes on behind a bad page (plaintext None)
        and asks every copy; nonces collects the nonces to find one that occurs twice."""
        pending = [(self.height, 0, self.ref)]
        while pending:
            level, index, ref = pending.pop()
            if ref == HOLE:
                continue
            try:
                page = self.open_page(level, index, ref, on_damage is not None)
            except Damage as damage:
                if on_damage is None:
                    raise
                on_damage(str(damage))
                page = None
            if nonces is not None:
                if ref[:16] in nonces:
                    on_damage(f"object {self.number}: nonce {ref[:16].hex()} is used twice")
                nonces.add(ref[:16])
            if level == 0:
                yield index, page
            elif page is not None:
                pending += [(level - 1, 128 * index + i, page[32 * i:32 * i + 32]) for i in range(127, -1, -1)]

    def stream(self, size):
        """The first size bytes, piecewise."""
        zeros, done = bytes(2**20), 0
        for index, page in self.leaves():
            if index * PAGE >= size:
                break
            while done < index * PAGE:
                yield zeros[:index * PAGE - done]
                done += min(len(zeros), index * PAGE - done)
            yield page[:size - done]
            done += min(PAGE, size - done)
        while done < size:
            yield zeros[:size - done]
            done += min(len(zeros), size - done)


# ---- sections 5 and 6: inodes, entries

INODE = struct.Struct("<8IQ qIqIqIqI QB7sQ32s32s QQ QB3sI32s32s HH4s232s")
KINDS = {stat.S_IFIFO: "fifo", stat.S_IFCHR: "chr", stat.S_IFDIR: "dir", stat.S_IFBLK: "blk", stat.S_IFREG: "reg",
         stat.S_IFLNK: "lnk", stat.S_IFSOCK: "sock"}


class Inode:
    def __init__(self, compartment, number, record):
        (self.mode, self.flags, self.nlink, self.uid, self.gid, self.major, self.minor, self.generation, self.size,
         _, atime_ns, mtime, mtime_ns, _, ctime_ns, _, btime_ns,
         obj, height, zero1, self.stored, ref, key, self.parent, self.entries,
         xattr_obj, xattr_height, zero2, self.xattr_len, xattr_ref, xattr_key,
         link_len, list_len, zero3, inline) = INODE.unpack(record)
        self.compartment, self.number = compartment, number
        what = f"inode {number}"
        if self.mode == 0:
            require_zero(record[:28] + record[32:], f"{what}, which is free")
            return
        self.kind = KINDS.get(stat.S_IFMT(self.mode))
        require(self.kind and self.mode <= 0o177777, f"{what}: mode {self.mode:o}")
        require(self.flags <= 3, f"{what}: unknown flags")
        require_zero(zero1 + zero2 + zero3, what)
        require(max(atime_ns, mtime_ns, ctime_ns, btime_ns) < 10**9, f"{what}: nanoseconds out of range")
        self.mtime_ns = mtime * 10**9 + mtime_ns
        for n in (obj, xattr_obj):
            require(n == 0 or n >= FIRST_FILE_OBJECT, f"{what}: reserved object {n}")
        require(obj or not height and not any(key) and not self.stored, f"{what}: part of a tree without an object")
        require(xattr_obj or not xattr_height and not any(xattr_key), f"{what}: part of a tree without an object")
        require(self.size <= MAX_SIZE, f"{what}: size {self.size}")
        require(self.xattr_len <= MAX_XATTRS, f"{what}: attribute list of {self.xattr_len} bytes")
        self.tree = Tree(compartment, obj, height, ref, key)
        self.xattr_tree = Tree(compartment, xattr_obj, xattr_height, xattr_ref, xattr_key)
        if self.kind != "dir":
            require(self.parent == 0 and self.entries == 0, f"{what}: parent or entries without a directory")
        else:
            require(self.size % PAGE == 0, f"{what}: size of a directory is not whole pages")
        if self.kind == "lnk":
            require(1 <= self.size < PAGE, f"{what}: symlink target of {self.size} bytes")
        if self.kind not in ("reg", "dir", "lnk"):
            require(obj == 0 and self.size == 0, f"{what}: contents where there can be none")
        inline_link, xattr_object = bool(self.flags & 1), bool(self.flags & 2)
        require(link_len + list_len <= 232, f"{what}: inline area is too long")
        require(not inline_link or (self.kind == "lnk" and obj == 0 and link_len == self.size),
                f"{what}: inline target does not fit")
        require(inline_link or link_len == 0, f"{what}: inline target without its flag")
        require(xattr_object == (xattr_obj != 0), f"{what}: attribute flag does not fit")
        require(not (xattr_object and list_len), f"{what}: attributes both inline and in an object")
        require(xattr_object or self.xattr_len == 0, f"{what}: length of an attribute list that is not there")
        require_zero(inline[link_len + list_len:], f"{what}, inline area")
        self.inline_link = inline[:link_len] if inline_link else None
        self.inline_list = inline[link_len:link_len + list_len]

    def target(self):
        target = b"".join(self.tree.stream(self.size)) if self.inline_link is None else self.inline_link
        require(b"\0" not in target, f"inode {self.number}: symlink target has a NUL")
        return target

    def xattrs(self):
        data = b"".join(self.xattr_tree.stream(self.xattr_len)) if self.flags & 2 else self.inline_list
        out, at, what = {}, 0, f"inode {self.number}: attribute list"
        while at < len(data):
            require(at + 6 <= len(data), f"{what} ends within an entry")
            n, zero, v = struct.unpack_from("<BBI", data, at)
            name, value = data[at + 6:at + 6 + n], data[at + 6 + n:at + 6 + n + v]
            require(zero == 0 and n >= 1 and v <= 65536 and len(value) == v, f"{what} is malformed")
            require(b"\0" not in name and b"." in name and name not in out, f"{what}: name {name!r} is wrong")
            out[name] = value
            at += 6 + n + v
        return out

    def page_entries(self, index, page):
        """(inode, kind number, name, gate target or None) of the live entries of a page."""
        if page == ZERO_PAGE:
            return []
        what = f"inode {self.number}, directory page {index}"
        used, live, zero = struct.unpack_from("<HH12s", page)
        require_zero(zero, what)
        at, out, space = 16, [], 0
        while at < PAGE:
            require(at + 16 <= PAGE, f"{what}: no room for a record at {at}")
            number, length, kind, n = struct.unpack_from("<QHBB", page, at)
            require(length >= 16 and length % 8 == 0 and at + length <= PAGE, f"{what}: record length {length} at {at}")
            if number:
                gate = kind & 0x80
                need = 12 + n + (16 if gate else 0)
                name = page[at + 12:at + 12 + n]
                require(n >= 1 and need <= length, f"{what}: name of {n} bytes in a record of {length}")
                require(b"\0" not in name and b"/" not in name and name not in (b".", b".."), f"{what}: name {name!r}")
                require(number < MAX_INODE and kind & 0x7F in (1, 2, 4, 6, 8, 10, 12), f"{what}: {name!r} is malformed")
                require(not gate or kind == 0x84, f"{what}: gate {name!r} is no directory")
                require(not gate or self.number == 1 and number == 1, f"{what}: gate {name!r} is not between two roots")
                out.append((number, kind & 0x7F, name, page[at + need - 16:at + need] if gate else None))
                space += -(-need // 8) * 8
            at += length
        require(live == len(out) and used == space, f"{what}: header says {live} entries, {used} bytes, "
                f"there are {len(out)}, {space} bytes")
        return out

    def list(self):
        require(self.kind == "dir", f"inode {self.number} is no directory")
        for index, page in self.tree.leaves():
            if index * PAGE < self.size:
                yield from self.page_entries(index, page)


# ---- the volume

class Volume:
    def __init__(self, path, passphrase, given, strict=True):
        self.path, self.header, self.findings, self.open = path, None, [], {}
        self.keys, self.labels, no_key = dict(given), {}, None
        for name in ("volume.json", "volume.json.bak"):
            try:
                with open(os.path.join(path, name), "rb") as f:
                    self.header, self.keys, self.labels = open_volume(f.read(1048577), passphrase, given)
                break
            except NoKey as error:
                no_key = error
            except (Damage, OSError) as error:
                self.findings.append(f"{name}: {error}")
        if self.header is None:
            if no_key:
                raise no_key
            # A label key opens its compartment without any header too, so what is left of a volume can be read.
            there = any(os.path.exists(os.path.join(path, name)) for name in ("volume.json", "volume.json.bak"))
            if not given or there and strict:
                raise Damage("; ".join(self.findings))
        for finding in self.findings if strict else []:
            print(f"reader: {finding}", file=sys.stderr)
        if not self.keys and strict:
            raise NoKey("no key: give --passphrase-file or --label-key")
        order = sorted(self.keys, key=lambda cid: self.labels[cid]["rank"] if self.labels else 0)
        self.top = order[0] if order else None

    def compartment(self, cid):
        if cid not in self.open:
            c = self.open[cid] = Compartment(self.path, cid)
            c.load_journal()
            c.load_root(self.keys[cid])
        return self.open[cid]

    def children(self, inode):
        """(name, function that gives its inode) in order of names; gates without a key are left out."""
        entries = []
        for number, _, name, gate in inode.list():
            cid = gate or inode.compartment.cid
            if cid in self.keys:
                entries.append((name, cid, number))
        for name, cid, number in sorted(entries):
            yield name, lambda c=cid, n=number: self.compartment(c).inode(n)

    def lookup(self, path):
        inode = self.compartment(self.top).inode(1)
        for part in filter(None, os.fsencode(path).split(b"/")):
            found = [child for name, child in self.children(inode) if name == part] if inode.kind == "dir" else []
            if not found:
                raise FileNotFoundError(f"{path}: no such file or directory")
            inode = found[0]()
        return inode


def describe(path, inode):
    item = {"path": os.fsdecode(path), "type": inode.kind, "mode": stat.S_IMODE(inode.mode), "uid": inode.uid,
            "gid": inode.gid, "size": inode.size, "mtime_ns": inode.mtime_ns, "nlink": inode.nlink}
    item["xattrs"] = {os.fsdecode(name): base64.b64encode(value).decode()
                      for name, value in sorted(inode.xattrs().items())}
    if inode.kind == "lnk":
        item["target"] = os.fsdecode(inode.target())
    if inode.kind in ("chr", "blk"):
        item["rdev"] = [inode.major, inode.minor]
    if inode.kind == "reg":
        digest = hashlib.sha256()
        for piece in inode.tree.stream(inode.size):
            digest.update(piece)
        item["sha256"] = digest.hexdigest()
    return item


def print_tree(volume):
    bad, pending = False, [(b"/", lambda: volume.lookup("/"))]
    while pending:
        path, get = pending.pop()
        try:
            inode = get()
            item = describe(path, inode)
            children = list(volume.children(inode)) if inode.kind == "dir" else []
        except (Damage, OSError) as error:
            bad, item, children = True, {"path": os.fsdecode(path), "error": str(error)}, []
        print(json.dumps(item))
        pending += [(path.rstrip(b"/") + b"/" + name, child) for name, child in reversed(children)]
    return 1 if bad else 0


# ---- section 7: verification

Brief = collections.namedtuple("Brief", "kind nlink parent")


class Verifier:
    def __init__(self, volume):
        self.volume, self.findings = volume, 0
        self.where, self.used, self.gates = "", {}, []

    def finding(self, text):
        self.findings += 1
        print(f"{self.where}{text}")

    def note(self, text):
        print(f"note: {self.where}{text}", file=sys.stderr)

    def guard(self, function, *args):
        """The result, or None and a finding."""
        try:
            return function(*args)
        except (Damage, OSError) as error:
            self.finding(str(error))
            return None

    def run(self):
        volume = self.volume
        if not volume.keys:
            self.note("no key is given: only what needs none is verified")
        for text in volume.findings:
            self.finding(text)
        listed = volume.header["compartments"] if volume.header else volume.keys
        self.check_backing(listed)
        for cid in listed:
            self.where = f"{cid.hex()}: "
            c = volume.open[cid] = Compartment(volume.path, cid)
            self.guard(c.load_journal)
            for text in c.journal_notes:
                self.note(text)
            if cid in volume.keys:
                wrong = self.guard(c.load_root, volume.keys[cid])
                for text in wrong or ():
                    self.finding(text)
                if wrong is not None:
                    self.check_compartment(c)
        self.check_gates()
        return 1 if self.findings else 0

    def check_backing(self, listed):
        volume = self.volume
        for cid in listed:
            if not os.path.isdir(os.path.join(volume.path, cid.hex())):
                self.finding(f"{cid.hex()}: folder is missing")
        copies = []
        for name in ("volume.json", "volume.json.bak"):
            try:
                with open(os.path.join(volume.path, name), "rb") as f:
                    copies.append(f.read(1048577))
                open_volume(copies[-1], None, volume.keys)
            except (Damage, OSError) as error:
                if f"{name}: {error}" not in volume.findings:
                    self.finding(f"{name}: {error}")
        if len(copies) == 2 and copies[0] != copies[1]:
            self.note("volume.json and volume.json.bak differ")
        for folder, names, files in os.walk(volume.path):
            for name in names + files:
                mode = os.lstat(os.path.join(folder, name)).st_mode
                if mode not in (stat.S_IFDIR | 0o700, stat.S_IFREG | 0o600):
                    self.finding(f"{os.path.join(folder, name)}: mode is {stat.filemode(mode)}")

    def check_compartment(self, c):
        root = c.root
        if c.last_transaction is not None and root["transaction"] != c.last_transaction:
            self.finding(f"root page has transaction {root['transaction']}, the journal ends with {c.last_transaction}")
        if root["next_object"] < FIRST_FILE_OBJECT:
            self.finding(f"next object number {root['next_object']} is reserved")
        bits, orphans = self.bitmap(root["bitmap"]), self.bitmap(root["orphan_bitmap"])
        inodes, objects = {}, {}
        for index, page in root["table"].leaves(self.finding, set()):
            for i in range(8) if page is not None else ():
                number = index * 8 + i
                record = page[512 * i:512 * i + 512]
                if record[:4] != bytes(4) and number == 0:
                    self.finding("inode 0 is used")
                elif record != bytes(512):
                    inode = self.guard(Inode, c, number, record)
                    if inode is None:
                        bits.discard(number)
                    elif inode.mode:
                        inodes[number] = Brief(inode.kind, inode.nlink, inode.parent)
                        self.claim_objects(c, objects, inode)
        used = set(inodes)
        for number in sorted(used ^ bits):
            self.finding(f"inode {number} is {'used' if number in used else 'not used'}, its bit says otherwise")
        if max(used | orphans, default=0) >= root["limit"] or root["limit"] > MAX_INODE:
            self.finding(f"an inode is not below the limit {root['limit']}")
        if len(used) != root["inodes"]:
            self.finding(f"{len(used)} inodes are in use, the root page says {root['inodes']}")
        zero_links = {n for n, inode in inodes.items() if inode.nlink == 0}
        for number in sorted(zero_links ^ orphans):
            self.finding(f"inode {number}: link count {inodes[number].nlink if number in used else 'none'}, "
                         f"{'is' if number in orphans else 'is not'} in the orphan bitmap")
        if len(orphans) != root["orphans"]:
            self.finding(f"{len(orphans)} orphans, the root page says {root['orphans']}")
        self.guard(self.check_files, c, objects)
        names = self.check_directories(c, inodes, orphans)
        for number in [n for n, inode in inodes.items() if inode.kind != "dir"]:
            self.check_contents(c, number, names)
        self.used[c.cid] = inodes

    def bitmap(self, tree):
        out = set()
        for index, page in tree.leaves(self.finding, set()):
            if page is not None and page != ZERO_PAGE:
                out.update(index * 8 * PAGE + 8 * i + b for i, byte in enumerate(page) if byte
                           for b in range(8) if byte >> b & 1)
        return out

    def claim_objects(self, c, objects, inode):
        for number in filter(None, (inode.tree.number, inode.xattr_tree.number)):
            if number in objects:
                self.finding(f"object {number} occurs in inodes {objects[number]} and {inode.number}")
            if number >= c.root["next_object"]:
                self.finding(f"object {number} of inode {inode.number} is not below the next object number")
            objects[number] = inode.number

    def check_files(self, c, objects):
        rubbish = 0
        for folder in sorted(os.listdir(c.dir)):
            path = os.path.join(c.dir, folder)
            if not re.fullmatch("[0-9a-f]{2}", folder):
                if folder not in ("lease", "root", "root.copy", "journal"):
                    self.note(f"{folder} is nothing of the format")
                continue
            for name in os.listdir(path):
                match = re.fullmatch(r"([0-9a-f]{16})(\.copy)?", name)
                number = int(match[1], 16) if match else -1
                if not match or number % 256 != int(folder, 16) or bool(match[2]) and not 1 <= number <= 3:
                    self.note(f"{folder}/{name} is nothing of the format")
                elif number > 3 and number not in objects and c.copies(number)[0].limit != 0:
                    rubbish += 1
        if rubbish:
            self.note(f"{rubbish} objects that nothing refers to")

    def check_contents(self, c, number, names):
        """Every page of an inode's objects; the entries of a directory."""
        def say(text):
            self.finding(f"{self.path(names, number)}: {text}")

        stored, entries, inode = 0, [], self.guard(c.inode, number)
        if inode is None:
            return 0, []
        for index, page in inode.tree.leaves(say, set()):
            stored += 1
            if page is None:
                continue
            if any(page[max(0, inode.size - index * PAGE):]):
                say(f"leaf {index} has data behind the size")
            elif index * PAGE >= inode.size:
                say(f"leaf {index} is behind the size")
            if inode.kind == "dir":
                try:
                    entries += inode.page_entries(index, page)
                except Damage as damage:
                    say(str(damage))
        if stored != inode.stored:
            say(f"{stored} leaves are stored, the inode says {inode.stored}")
        for index, page in inode.xattr_tree.leaves(say, set()):
            if page is not None and any(page[max(0, inode.xattr_len - index * PAGE):]):
                say("data behind the end of the attribute list")
        for read in (inode.xattrs, inode.target if inode.kind == "lnk" else lambda: None):
            try:
                read()
            except Damage as damage:
                say(str(damage))
        return inode.entries, entries

    def check_directories(self, c, inodes, orphans):
        """Entries, link counts, reachability. Returns {inode: (parent, name)}."""
        names, links, children = {}, {n: 0 for n in inodes}, {}
        numbers = {"fifo": 1, "chr": 2, "dir": 4, "blk": 6, "reg": 8, "lnk": 10, "sock": 12}
        if 1 not in inodes or inodes[1].kind != "dir" or inodes[1].parent != 1:
            self.finding("inode 1 is no directory that is its own parent")
        for number in [n for n, inode in inodes.items() if inode.kind == "dir"]:
            count, entries = self.check_contents(c, number, names)
            here = self.path(names, number)
            if len(entries) != count:
                self.finding(f"{here}: {len(entries)} entries, the inode says {count}")
            if len({entry[2] for entry in entries}) != len(entries):
                self.finding(f"{here}: a name occurs twice")
            children[number] = []
            if number not in orphans:
                links[number] += 2
            elif entries:
                self.finding(f"{here}: an orphan with entries")
            for child, kind, name, gate in entries:
                if gate is not None:
                    links[number] += 1
                    self.gates.append((c.cid, number, name, gate, child))
                    continue
                if child not in inodes:
                    self.finding(f"{here}: {name!r} names inode {child}, which is not in use")
                elif numbers[inodes[child].kind] != kind:
                    self.finding(f"{here}: {name!r} has type {kind}, its inode is a {inodes[child].kind}")
                elif kind == 4:
                    links[number] += 1
                    children[number].append(child)
                    if child in names or child == 1 or inodes[child].parent != number:
                        self.finding(f"{here}: directory {name!r} is that of another parent")
                else:
                    links[child] += 1
                    children[number].append(child)
                names.setdefault(child, (number, name))
        reached, pending = set(), [1]
        while pending:
            number = pending.pop()
            if number not in reached:
                reached.add(number)
                pending += children.get(number, ())
        for number in sorted(set(inodes) - reached - orphans):
            self.finding(f"inode {number} is in use, but nothing leads to it")
        for number in sorted(reached & orphans):
            self.finding(f"{self.path(names, number)}: an orphan that has a name")
        for number, inode in inodes.items():
            if links[number] != inode.nlink:
                self.finding(f"{self.path(names, number)}: link count {inode.nlink}, should be {links[number]}")
        return names

    @staticmethod
    def path(names, number):
        parts, at = [], number
        while at in names and len(parts) < 4096:
            parts.append(names[at][1])
            at = names[at][0]
        text = os.fsdecode(b"/" + b"/".join(reversed(parts))) if at == 1 else f"inode {number}"
        return text.encode("utf-8", "backslashreplace").decode()

    def check_gates(self):
        self.where = ""
        volume = self.volume
        for cid, _, name, gate, child in self.gates:
            what = f"{cid.hex()}: gate {name!r}"
            if volume.header and gate not in volume.header["compartments"] or gate == cid:
                self.finding(f"{what} leads to {gate.hex()}, which is no other compartment of the volume")
            elif gate in self.used and (child not in self.used[gate] or self.used[gate][child].kind != "dir"):
                self.finding(f"{what} leads to inode {child} of {gate.hex()}, which is no directory there")
        lowest = [cid for cid, label in volume.labels.items() if label["rank"] == 0]
        for cid, label in volume.labels.items():
            if lowest and lowest[0] in self.used and label["rank"] and \
                    (lowest[0], 1, label["dir"], cid) not in {gate[:4] for gate in self.gates}:
                self.finding(f"{cid.hex()}: no gate {label['dir']!r} in the root of the volume")


# ---- the command line

def label_key(text):
    match = re.fullmatch("([0-9a-f]{64}):([0-9a-f]{32})", text)
    if not match:
        raise argparse.ArgumentTypeError("not HEX:COMPARTMENT_ID (64 and 32 lower-case digits)")
    return bytes.fromhex(match[2]), bytes.fromhex(match[1])


def main():
    parser = argparse.ArgumentParser(description="read a cloison volume by doc/FORMAT")
    parser.add_argument("--passphrase-file", metavar="F")
    parser.add_argument("--label-key", metavar="HEX:COMPARTMENT_ID", action="append", type=label_key, default=[])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("ls", "cat", "tree", "verify", "keys"):
        sub = verbs.add_parser(verb)
        sub.add_argument("dir", metavar="DIR")
        if verb in ("ls", "cat"):
            sub.add_argument("path", metavar="PATH", nargs="?" if verb == "ls" else None, default="/")
    args = parser.parse_args()
    try:
        passphrase = None
        if args.passphrase_file:
            with open(args.passphrase_file, "rb") as f:
                passphrase = f.read()
            passphrase = passphrase[:-1] if passphrase.endswith(b"\n") else passphrase
        volume = Volume(args.dir, passphrase, dict(args.label_key), args.verb != "verify")
        if args.verb == "verify":
            return Verifier(volume).run()
        if args.verb == "keys":
            for cid, label in sorted(volume.labels.items(), key=lambda item: item[1]["rank"]):
                print(cid.hex(), label["rank"], label["text"].decode(), volume.keys[cid].hex(), sep="\t")
            return 0
        if args.verb == "tree":
            return print_tree(volume)
        inode = volume.lookup(args.path)
        if args.verb == "ls":
            for name, _ in volume.children(inode):
                sys.stdout.buffer.write(name + b"\n")
            return 0
        if inode.kind != "reg":
            raise FileNotFoundError(f"{args.path}: not a regular file")
        for piece in inode.tree.stream(inode.size):
            sys.stdout.buffer.write(piece)
        return 0
    except NoKey as error:
        print(f"reader: {error}", file=sys.stderr)
        return 4
    except Damage as error:
        print(f"reader: {args.dir}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"reader: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
