# SPDX-License-Identifier: GPL-3.0-or-later
# Where a file of a volume is kept below: "objects.py VOLUME PASSPHRASE_FILE PATH" prints, relative to the volume, a line
# for each page of its contents: lower file, tab, page in it, tab, level, tab, index. With "xattr" behind PATH, those of
# its extended attributes. "table" as PATH: the inode table. A wrapper around the independent reader.
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import reader  # noqa: E402


def main():
    volume_dir, passphrase_file, path = sys.argv[1:4]
    with open(passphrase_file, "rb") as f:
        volume = reader.Volume(volume_dir, f.read(), {})
    if path == "table":
        compartment = volume.compartment(volume.top)
        tree = compartment.root["table"]
    else:
        inode = volume.lookup(path)
        compartment = inode.compartment
        tree = inode.xattr_tree if sys.argv[4:] == ["xattr"] else inode.tree
    name = f"{compartment.cid.hex()}/{tree.number % 256:02x}/{tree.number:016x}"
    pages = {(0, index) for index, page in tree.leaves() if page is not None}
    pages |= {(level, index // 128**level) for _, index in pages for level in range(1, tree.height + 1)}
    for level, index in sorted(pages):
        print(name, reader.page_place(level, index), level, index, sep="\t")


main()
