# SPDX-License-Identifier: GPL-3.0-or-later
"""The file systems that the benchmark compares: how each makes a volume, mounts it and goes away."""

import os
import shutil
import subprocess
import time

PASSPHRASE = "a passphrase for throwaway volumes"
MOUNT_SECONDS = 30
GONE_SECONDS = 120


class BenchError(Exception):
    """A sentence for the report: this subject is out, the others go on."""


def call(argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise BenchError(f"{' '.join(argv)}: exit {done.returncode}: {done.stdout.strip()[-400:]}")
    return done.stdout


class Subject:
    """Base: a daemon that stays in the foreground and shows DIR at MNT. Subclasses say with which commands."""

    name = ""
    fuse = True

    def __init__(self, builddir, passfile):
        self.builddir = builddir
        self.passfile = passfile

    def built(self, program):
        """Path of a program of ours; only the build directory counts, never an installed one."""
        for folder in ("", "tools", "fs/fuse", "fs", "tests/bench"):
            path = os.path.join(self.builddir, folder, program)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
        return None

    def missing(self):
        """Why this subject cannot take part, or None."""
        return None if shutil.which(self.name) else "not installed"

    def version(self):
        """What to say in the report about its version, or nothing."""
        return ""

    def make(self, backing):
        """Makes an empty volume in the empty directory backing."""

    def mount_argv(self, backing, mnt):
        raise NotImplementedError


class Passthrough(Subject):
    name = "passthrough"
    flags = ()

    def missing(self):
        return None if self.built("passthrough") else "not built"

    def version(self):
        return f"{self.name} on " + call([self.built("passthrough"), "-V"]).strip()

    def mount_argv(self, backing, mnt):
        return [self.built("passthrough"), *self.flags, backing, mnt]


def passthrough_with(flags):
    """The yardstick with some of its settings undone: 'passthrough-sk' runs 'passthrough -sk'."""
    return type("Variant", (Passthrough,), {"name": "passthrough-" + flags, "flags": ("-" + flags,)})


class Plain(Subject):
    """No FUSE: the backing directory itself."""

    name = "plain"
    fuse = False

    def missing(self):
        return None


class Cloison(Subject):
    name = "cloison"

    def missing(self):
        absent = [p for p in ("mkfs.cloison", "cloisonfs") if not self.built(p)]
        return "not built: " + ", ".join(absent) if absent else None

    def version(self):
        return call([self.built("cloisonfs"), "--version"]).strip()

    def make(self, backing):
        call([self.built("mkfs.cloison"), "--tpm2", "none", "--recovery-passphrase-file", self.passfile, backing])

    def mount_argv(self, backing, mnt):
        return [self.built("cloisonfs"), backing, mnt, "-f", "-o", f"tpm2=none,passphrase-file={self.passfile}"]


class Gocryptfs(Subject):
    name = "gocryptfs"

    def version(self):
        return call(["gocryptfs", "-version"]).split(";")[0]

    def make(self, backing):
        # The cheapest key derivation: it costs time and memory at the mount only, which is not what is measured.
        call(["gocryptfs", "-init", "-q", "-scryptn", "10", "-passfile", self.passfile, backing])

    def mount_argv(self, backing, mnt):
        return ["gocryptfs", "-fg", "-q", "-passfile", self.passfile, backing, mnt]


class Securefs(Subject):
    name = "securefs"

    def version(self):
        # Packaged builds do not know their own version.
        argv = ["dpkg-query", "-W", "-f", "${Version}", "securefs"]
        known = shutil.which("dpkg-query") and subprocess.run(argv, capture_output=True, text=True).stdout
        return "securefs " + (known or call(["securefs", "version"]).split()[1])

    def make(self, backing):
        call(["securefs", "create", "--pass", PASSPHRASE, "--pbkdf", "pkcs5-pbkdf2-hmac-sha256", "-r", "1", backing])

    def mount_argv(self, backing, mnt):
        return ["securefs", "mount", "--pass", PASSPHRASE, backing, mnt]


SUBJECTS = {c.name: c for c in (Passthrough, Cloison, Gocryptfs, Securefs, Plain)}


class Volume:
    """A fresh volume of one subject in the folder home, mounted and unmounted as the phases need it."""

    def __init__(self, subject, home):
        self.subject = subject
        self.home = home
        self.backing = os.path.join(home, "backing")
        self.mnt = os.path.join(home, "mnt") if subject.fuse else self.backing
        self.daemon = None
        self.log = None
        self.peak_kib = 0

    def __enter__(self):
        os.makedirs(self.backing)
        os.makedirs(self.mnt, exist_ok=True)
        self.subject.make(self.backing)
        return self

    def __exit__(self, *_):
        if self.daemon:
            # Only after a failure: the phases unmount for themselves.
            subprocess.run(["umount", "-l", self.mnt], stderr=subprocess.DEVNULL)
            self.daemon.kill()
            self.daemon.wait()
            self.daemon = None
        if self.log:
            self.log.close()
        shutil.rmtree(self.home)

    def log_tail(self):
        with open(os.path.join(self.home, "log"), errors="replace") as f:
            return f.read().strip()[-400:]

    def mount(self):
        if not self.subject.fuse:
            return
        if not self.log:
            self.log = open(os.path.join(self.home, "log"), "w")
        argv = self.subject.mount_argv(self.backing, self.mnt)
        self.daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + MOUNT_SECONDS
        while not os.path.ismount(self.mnt):
            if self.daemon.poll() is not None:
                code, self.daemon = self.daemon.returncode, None
                raise BenchError(f"{self.subject.name}: mount failed with exit {code}: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.subject.name}: not mounted after {MOUNT_SECONDS} s: {self.log_tail()}")
            time.sleep(0.01)
        time.sleep(0.1)  # what daemons still do after the first answer, like raising the read-ahead

    def unmount(self):
        """Returns once the daemon is gone, so that all it had to write is in the backing directory."""
        if not self.daemon:
            return
        with open(f"/proc/{self.daemon.pid}/status") as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    self.peak_kib = max(self.peak_kib, int(line.split()[1]))
        deadline = time.monotonic() + GONE_SECONDS
        while True:
            done = subprocess.run(["umount", self.mnt], capture_output=True, text=True)
            if not done.returncode:
                break
            if time.monotonic() > deadline:
                raise BenchError(f"{self.subject.name}: umount: {done.stderr.strip()}")
            time.sleep(0.05)
        try:
            code = self.daemon.wait(GONE_SECONDS)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.subject.name}: still running {GONE_SECONDS} s after umount") from None
        self.daemon = None
        if code:
            raise BenchError(f"{self.subject.name}: exit {code} after umount: {self.log_tail()}")

    def go_cold(self):
        """
        Mounts anew with nothing cached: neither in the daemon (a new one) nor in the kernel, for the mount (its own
        caches went with it) as for the backing directory. What lies on tmpfs is in memory all the same.
        """
        self.unmount()
        call(["sync", "-f", self.backing])
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3\n")
        self.mount()
