# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the FUSE requests of one mount by operation, with the kernel's own tracepoint (Linux 6.10 or later)."""

import collections
import glob
import os
import re
import subprocess

TRACEFS = "/sys/kernel/tracing"
INSTANCE = TRACEFS + "/instances/cloison-bench"  # an instance of its own disturbs nobody else's tracing
EVENT = INSTANCE + "/events/fuse/fuse_request_send"
BUFFER_KIB = 32768  # for each processor: some 600,000 requests
REQUEST = re.compile(r"fuse_request_send: connection (\d+) req \d+ opcode \d+ \((?:FUSE_)?(\w+)\)")


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


class RequestCounter:
    """FORGET is not counted: the kernel batches it and waits for no answer."""

    def __init__(self):
        self.mounted = False

    def __enter__(self):
        if not os.path.isdir(TRACEFS + "/instances"):
            subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACEFS], check=True)
            self.mounted = True
        os.makedirs(INSTANCE, exist_ok=True)
        write(INSTANCE + "/buffer_size_kb", str(BUFFER_KIB))
        return self

    def __exit__(self, *_):
        os.rmdir(INSTANCE)
        if self.mounted:
            subprocess.run(["umount", TRACEFS])

    def start(self, mountpoint):
        self.connection = os.minor(os.lstat(mountpoint).st_dev)
        write(INSTANCE + "/trace", "")
        write(EVENT + "/filter", f"connection == {self.connection}")
        write(EVENT + "/enable", "1")

    def stop(self):
        """Requests of the mount since start, as {operation: number}."""
        write(EVENT + "/enable", "0")
        for path in glob.glob(INSTANCE + "/per_cpu/cpu*/stats"):
            with open(path) as f:
                lost = re.search(r"^overrun: (\d+)", f.read(), re.MULTILINE)
            if lost and int(lost[1]):
                raise RuntimeError(f"{path}: the trace buffer overran by {lost[1]} requests")
        with open(INSTANCE + "/trace") as f:
            found = (REQUEST.search(line) for line in f)
            return dict(collections.Counter(hit[2] for hit in found if hit and int(hit[1]) == self.connection))
