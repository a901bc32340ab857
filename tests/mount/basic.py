# SPDX-License-Identifier: GPL-3.0-or-later
# What programs may expect of a filesystem, tried in the directory that is the only argument. Ends at the first
# disappointment, with a traceback.
import ctypes
import errno
import fcntl
import mmap
import os
import socket
import stat
import struct
import sys
import time

PAGE = 4096
NAME_255 = bytes(b for b in range(1, 256) if b != ord("/")) + b"x"
NOREPLACE, EXCHANGE = 1, 2
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
libc = ctypes.CDLL(None, use_errno=True)


def must(condition, what):
    if not condition:
        raise AssertionError(what)


def refuses(number, function, *args, **kw):
    try:
        function(*args, **kw)
    except OSError as e:
        must(e.errno == number, f"{function.__name__}{args}: {e}, expected {errno.errorcode[number]}")
        return
    raise AssertionError(f"{function.__name__}{args}: succeeded, expected {errno.errorcode[number]}")


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def renameat2(old, new, flags):
    check(libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), ctypes.c_uint(flags)))


def fallocate(fd, mode, offset, length):
    check(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))


def put(path, data):
    with open(path, "wb") as f:
        f.write(data)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def holes_and_data(fd):
    """[(start, end)] of the data."""
    out, at, end = [], 0, os.fstat(fd).st_size
    while at < end:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            must(e.errno == errno.ENXIO, f"SEEK_DATA: {e}")
            break
        at = os.lseek(fd, start, os.SEEK_HOLE)
        out.append((start, at))
    return out


def types():
    os.mkdir("types")
    os.chdir("types")
    put("file", b"contents")
    os.mkdir("dir", 0o750)
    os.mkfifo("fifo", 0o640)
    s = socket.socket(socket.AF_UNIX)
    s.bind("socket")
    s.listen()
    with socket.socket(socket.AF_UNIX) as c:
        c.connect("socket")
    s.close()
    for name, target in ("short", "file"), ("long", "x" * 4095), ("dangling", "nowhere/at all"):
        os.symlink(target, name)
        must(os.readlink(name) == target, f"target of {name}")
    kinds = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK,
             "short": stat.S_IFLNK}
    for name, kind in kinds.items():
        must(stat.S_IFMT(os.lstat(name).st_mode) == kind, f"type of {name}")
    seen = {e.name: e.is_dir(follow_symlinks=False) for e in os.scandir(".")}
    must(seen == {n: n == "dir" for n in ("file", "dir", "fifo", "socket", "short", "long", "dangling")}, f"{seen}")
    refuses(errno.EPERM, os.mknod, "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    refuses(errno.EPERM, os.mknod, "loop", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    reader = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open("fifo", os.O_WRONLY)
    os.write(writer, b"through the fifo")
    must(os.read(reader, 100) == b"through the fifo", "fifo")
    os.close(reader)
    os.close(writer)
    refuses(errno.ENOTEMPTY, os.rmdir, "..")
    refuses(errno.EISDIR, os.unlink, "dir")
    refuses(errno.ENOTDIR, os.rmdir, "file")
    refuses(errno.ENOENT, os.lstat, "absent")
    refuses(errno.ENOTDIR, os.lstat, "file/below")
    refuses(errno.EEXIST, os.mkdir, "file")
    os.chdir("..")


def attributes():
    put("attr", b"12345")
    os.chown("attr", 12345, 54321)
    os.chmod("attr", 0o7741)
    ns = (-1_234_567_890_123_456_789, 4_102_444_800_987_654_321)
    os.utime("attr", ns=ns)
    st = os.stat("attr")
    must((st.st_uid, st.st_gid, st.st_mode & 0o7777) == (12345, 54321, 0o7741), f"owner or mode: {st}")
    must((st.st_atime_ns, st.st_mtime_ns) == ns, f"times: {st.st_atime_ns} {st.st_mtime_ns}")
    before = st.st_ctime_ns
    time.sleep(0.02)  # more than a tick of the clock that files are stamped with
    os.chmod("attr", 0o4755)
    os.chown("attr", 1, 1)
    st = os.stat("attr")
    must(st.st_ctime_ns > before, "ctime does not move")
    must(st.st_mtime_ns == ns[1], "chmod changes mtime")
    must(st.st_mode & 0o7777 == 0o755, f"chown keeps setuid: {st.st_mode:o}")
    put("attr", b"")
    must(os.stat("attr").st_mtime_ns < ns[1], "writing keeps mtime")
    os.mkdir("setgid")
    os.chown("setgid", 0, 4711)
    os.chmod("setgid", 0o2775)
    os.mkdir("setgid/sub")
    put("setgid/file", b"")
    must(os.stat("setgid/sub").st_gid == 4711 and os.stat("setgid/sub").st_mode & 0o2000, "setgid of a directory")
    must(os.stat("setgid/file").st_gid == 4711, "group of a file in a setgid directory")


def xattrs():
    os.mkdir("xattr")
    os.symlink("xattr", "xattr-link")
    big = os.urandom(65536)
    os.setxattr("xattr", "user.small", b"1", os.XATTR_CREATE)
    os.setxattr("xattr", "user.empty", b"")
    os.setxattr("xattr", "user.big", big)
    os.setxattr("xattr", "trusted.one", b"\0\xff")
    os.setxattr("xattr-link", "trusted.link", b"of the link itself", follow_symlinks=False)
    must(sorted(os.listxattr("xattr")) == ["trusted.one", "user.big", "user.empty", "user.small"], "list")
    must(os.getxattr("xattr", "user.big") == big, "64 KiB value")
    must(os.getxattr("xattr", "user.empty") == b"", "empty value")
    must(os.listxattr("xattr-link", follow_symlinks=False) == ["trusted.link"], "list of a symlink")
    refuses(errno.EEXIST, os.setxattr, "xattr", "user.small", b"2", os.XATTR_CREATE)
    refuses(errno.ENODATA, os.setxattr, "xattr", "user.new", b"2", os.XATTR_REPLACE)
    refuses(errno.ENODATA, os.getxattr, "xattr", "user.new")
    refuses(errno.E2BIG, os.setxattr, "xattr", "user.huge", bytes(65537))
    os.setxattr("xattr", "user.small", b"now longer", os.XATTR_REPLACE)
    os.removexattr("xattr", "user.empty")
    refuses(errno.ENODATA, os.removexattr, "xattr", "user.empty")
    for i in range(200):
        os.setxattr("xattr", f"user.many.{i:03}", b"value %d" % i)
    for i in range(0, 200, 2):
        os.removexattr("xattr", f"user.many.{i:03}")
    must(len(os.listxattr("xattr")) == 103, "200 attributes, half of them removed")
    must(os.getxattr("xattr", "user.many.199") == b"value 199", "one of many")


def names():
    os.mkdir("names")
    os.mkdir(b"names/" + NAME_255)
    put(b"names/" + NAME_255 + b"/" + NAME_255, b"x")
    must(os.listdir(b"names") == [NAME_255], "name of 255 arbitrary bytes")
    must(os.listdir(b"names/" + NAME_255) == [NAME_255], "name of 255 arbitrary bytes, below")
    refuses(errno.ENAMETOOLONG, os.mkdir, b"n" * 256)
    for name in "é", "e\u0301", "E", "e", "a\nb", "\x1b[31m", "-rf", " ", "...":
        put(f"names/{name}", name.encode())
    for name in "é", "e\u0301", "E", "e":
        must(get(f"names/{name}") == name.encode(), f"names are folded: {name!r}")


def renames():
    os.mkdir("ren")
    os.chdir("ren")
    put("a", b"a")
    put("b", b"b")
    os.mkdir("d")
    os.mkdir("d/e")
    put("d/e/f", b"f")
    refuses(errno.EEXIST, renameat2, "a", "b", NOREPLACE)
    renameat2("a", "c", NOREPLACE)
    renameat2("b", "c", EXCHANGE)
    must((get("b"), get("c")) == (b"a", b"b"), "exchange of files")
    renameat2("b", "d", EXCHANGE)
    must(get("d") == b"a" and get("b/e/f") == b"f", "exchange of a file and a directory")
    refuses(errno.EINVAL, os.rename, "b", "b/e/x")
    refuses(errno.ENOENT, renameat2, "b", "absent", EXCHANGE)
    refuses(errno.EINVAL, renameat2, "b", "d", NOREPLACE | EXCHANGE)
    refuses(errno.ENOTDIR, os.rename, "b", "d")
    refuses(errno.EISDIR, os.rename, "d", "b")
    os.mkdir("empty")
    refuses(errno.ENOTEMPTY, os.rename, "empty", "b")
    os.rename("b", "empty")
    must(get("empty/e/f") == b"f", "directory over an empty one")
    number = os.stat("c").st_ino
    os.rename("c", "empty/e/f")
    must(get("empty/e/f") == b"b" and os.stat("empty/e/f").st_ino == number, "replacing rename")
    must(os.stat(".").st_nlink == 3 and os.stat("empty").st_nlink == 3, "link counts of directories")
    with open("d", "rb") as f:
        os.unlink("d")
        must(f.read() == b"a" and os.fstat(f.fileno()).st_nlink == 0, "file without a name")
    os.chdir("..")


def links():
    put("link-0", b"linked")
    for i in range(1, 50):
        os.link("link-0", f"link-{i}")
    os.link("types/dangling", "link-to-symlink", follow_symlinks=False)
    must(os.stat("link-49").st_nlink == 50, "link count")
    must(len({os.stat(f"link-{i}").st_ino for i in range(50)}) == 1, "inode numbers of links")
    put("link-17", b"changed")
    must(get("link-49") == b"changed", "contents of links")
    for i in range(25):
        os.unlink(f"link-{i}")
    must(os.stat("link-49").st_nlink == 25, "link count after unlink")
    must(os.lstat("types/dangling").st_nlink == 2, "link count of a symlink")
    refuses(errno.EPERM, os.link, "types", "link-to-dir")


def sparse():
    fd = os.open("sparse", os.O_RDWR | os.O_CREAT, 0o600)
    size = 20 << 30
    os.ftruncate(fd, size)
    for at in 0, 10 << 30, size - 5000:
        os.pwrite(fd, b"data at %d" % at, at)
    os.fsync(fd)
    must(os.fstat(fd).st_size == size, "size")
    must(os.fstat(fd).st_blocks * 512 < 1 << 20, f"blocks of a sparse file: {os.fstat(fd).st_blocks}")
    found = holes_and_data(fd)
    must(len(found) == 3 and sum(end - start for start, end in found) <= 5 * PAGE, f"data at {found}")
    must(os.pread(fd, 100, 5 << 30) == bytes(100), "hole")
    os.close(fd)


def allocate():
    fd = os.open("alloc", os.O_RDWR | os.O_CREAT, 0o600)
    data = os.urandom(64 * PAGE)
    os.pwrite(fd, data, 0)
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 10 * PAGE, 20 * PAGE)
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 40 * PAGE + 100, 3000)
    fallocate(fd, ZERO_RANGE, 50 * PAGE + 1, 2 * PAGE)
    want = bytearray(data)
    for start, n in (10 * PAGE, 20 * PAGE), (40 * PAGE + 100, 3000), (50 * PAGE + 1, 2 * PAGE):
        want[start:start + n] = bytes(n)
    must(os.pread(fd, len(data), 0) == want, "contents after punching")
    os.fsync(fd)
    blocks = os.fstat(fd).st_blocks * 512
    must(blocks <= 47 * PAGE, f"punching gives no space back: {blocks}")
    must(holes_and_data(fd)[0] == (0, 10 * PAGE), f"{holes_and_data(fd)}")
    fallocate(fd, 0, 60 * PAGE, 100 * PAGE)
    must(os.fstat(fd).st_size == 160 * PAGE, "fallocate does not extend")
    fallocate(fd, KEEP_SIZE, 200 * PAGE, PAGE)
    must(os.fstat(fd).st_size == 160 * PAGE, "KEEP_SIZE extends")
    want += bytes(96 * PAGE)
    must(os.pread(fd, 1 << 20, 0) == want, "contents after fallocate")
    os.ftruncate(fd, 5 * PAGE + 7)
    os.ftruncate(fd, 8 * PAGE)
    must(os.pread(fd, 1 << 20, 0) == want[:5 * PAGE + 7] + bytes(3 * PAGE - 7), "truncate shows old bytes")
    os.close(fd)


def tmpfile():
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"born without a name")
    must(os.fstat(fd).st_nlink == 0, "link count of O_TMPFILE")
    must("tmpfile" not in os.listdir("."), "name of O_TMPFILE")
    check(libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, b"tmpfile", 0x400))  # AT_SYMLINK_FOLLOW
    must(get("tmpfile") == b"born without a name" and os.fstat(fd).st_nlink == 1, "linked O_TMPFILE")
    os.close(fd)
    fd = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o640)
    os.write(fd, bytes(100000))
    os.close(fd)


def writing():
    with open("mapped", "w+b") as f:
        f.truncate(10 * PAGE)
        with mmap.mmap(f.fileno(), 10 * PAGE) as m:
            m[PAGE - 3:PAGE + 3] = b"mapped"
            m.flush()
        must(os.pread(f.fileno(), 6, PAGE - 3) == b"mapped", "shared mapping")
    a, b = (os.open("appended", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) for _ in "ab")
    for i in range(100):
        os.write((a, b)[i % 2], b"line %02d\n" % i)
    must(get("appended") == b"".join(b"line %02d\n" % i for i in range(100)), "O_APPEND")
    os.close(a)
    os.close(b)
    fd = os.open("direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
    with mmap.mmap(-1, 64 * PAGE) as m:
        m.write(bytes(range(256)) * 1024)
        must(os.pwritev(fd, [m], 0) == 64 * PAGE, "O_DIRECT write")
    os.close(fd)
    must(get("direct") == bytes(range(256)) * 1024, "O_DIRECT")
    src, dst = os.open("direct", os.O_RDONLY), os.open("copied", os.O_RDWR | os.O_CREAT, 0o600)
    must(os.copy_file_range(src, dst, 200000, 1000, 5) == 200000, "copy_file_range")
    must(get("copied") == bytes(5) + get("direct")[1000:201000], "copy_file_range: contents")
    fcntl.flock(src, fcntl.LOCK_EX)
    other = os.open("direct", os.O_RDWR)
    refuses(errno.EAGAIN, fcntl.flock, other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    fcntl.fcntl(other, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 10, 0))
    third = os.open("direct", os.O_RDWR)
    refuses(errno.EAGAIN, fcntl.fcntl, third, fcntl.F_OFD_SETLK,
            struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 5, 10, 0))
    for fd in src, dst, other, third:
        os.close(fd)
    refuses(errno.EEXIST, os.open, "direct", os.O_CREAT | os.O_EXCL)
    refuses(errno.ELOOP, os.open, "xattr-link", os.O_RDONLY | os.O_NOFOLLOW)
    refuses(errno.EFBIG, os.truncate, "copied", 1 << 62)


def many():
    os.mkdir("many")
    want = set()
    for i in range(10000):
        name = f"{i:05}" + "n" * (i % 60)
        os.close(os.open(f"many/{name}", os.O_CREAT | os.O_WRONLY, 0o600))
        want.add(name)
    listed = os.listdir("many")
    must(len(listed) == 10000 and set(listed) == want, "10,000 names")
    must(len({e.inode() for e in os.scandir("many")}) == 10000, "inode numbers")
    # A reader that is under way sees each entry that stays exactly once, whatever comes and goes meanwhile.
    seen, gone = [], set()
    with os.scandir("many") as entries:
        for e in entries:
            seen.append(e.name)
            if len(seen) % 3 == 0:
                os.unlink(f"many/{e.name}")
                gone.add(e.name)
            if len(seen) % 5 == 0 and len(seen) < 10000:
                put(f"many/new-{len(seen)}", b"")
    must(len(seen) == len(set(seen)), "an entry was listed twice")
    must(want <= set(seen), "an entry was not listed")
    must({n for n in os.listdir("many") if not n.startswith("new-")} == want - gone, "entries after deletion")


os.umask(0o022)
os.chdir(sys.argv[1])
for part in types, attributes, xattrs, names, renames, links, sparse, allocate, tmpfile, writing, many:
    try:
        part()
    except BaseException:
        print(f"in {part.__name__}:", file=sys.stderr)
        raise
    os.chdir(sys.argv[1])
