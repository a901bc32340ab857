# SPDX-License-Identifier: GPL-3.0-or-later
# Prints what is below a mount point as "reader.py tree" prints it: a JSON object per file, sorted by path.
# With "--sort" and nothing else: sorts such lines from standard input.
import base64
import hashlib
import json
import os
import stat
import sys

KINDS = {stat.S_IFIFO: "fifo", stat.S_IFDIR: "dir", stat.S_IFREG: "reg", stat.S_IFLNK: "lnk", stat.S_IFSOCK: "sock"}


def describe(root, path):
    full = root + path
    st = os.lstat(full)
    kind = KINDS[stat.S_IFMT(st.st_mode)]
    item = {"path": os.fsdecode(path), "type": kind, "mode": stat.S_IMODE(st.st_mode), "uid": st.st_uid,
            "gid": st.st_gid, "size": st.st_size, "mtime_ns": st.st_mtime_ns, "nlink": st.st_nlink}
    names = os.listxattr(full, follow_symlinks=False)
    item["xattrs"] = {name: base64.b64encode(os.getxattr(full, name, follow_symlinks=False)).decode()
                      for name in sorted(names)}
    if kind == "lnk":
        item["target"] = os.fsdecode(os.readlink(full))
    if kind == "reg":
        digest = hashlib.sha256()
        with open(full, "rb") as f:
            while piece := f.read(1 << 20):
                digest.update(piece)
        item["sha256"] = digest.hexdigest()
    return item


def walk(root, path):
    yield describe(root, path)
    if stat.S_ISDIR(os.lstat(root + path).st_mode):
        for name in os.listdir(root + path):
            yield from walk(root, path.rstrip(b"/") + b"/" + name)


if sys.argv[1] == "--sort":
    items = [json.loads(line) for line in sys.stdin]
else:
    items = list(walk(os.fsencode(sys.argv[1]), b"/"))
for item in sorted(items, key=lambda item: os.fsencode(item["path"])):
    print(json.dumps(item, sort_keys=True))
