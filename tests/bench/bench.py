#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""
Compares cloison with its peers and with a FUSE daemon that does nothing to the data, and prints Markdown tables.

Run it as root, with `make bench BENCHFLAGS=...`, on a machine that does nothing else. Each round runs each group of
phases for each subject on a fresh volume before the next group begins, and starts with another subject than the round
before, so that a disturbance of the machine meets them all. The work itself is done and timed by the program workload.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from fusecount import RequestCounter  # noqa: E402
from subjects import PASSPHRASE, SUBJECTS, BenchError, Volume, call, passthrough_with  # noqa: E402

YARDSTICK = "passthrough"
MIB = 1 << 20

# name, what the table says, unit. A phase's operations per second (or MiB, or its seconds) are what is compared.
PHASES = {
    "seqwrite": ("sequential write, 1 MiB, with fsync", "MiB/s"),
    "seqread": ("sequential read, 1 MiB, cold", "MiB/s"),
    "randread": ("random 4 KiB read, cold", "op/s"),
    "randwrite": ("random 4 KiB write, one fsync", "op/s"),
    "overwrite": ("4 KiB overwrite + fdatasync", "op/s"),
    "create": ("create small files", "op/s"),
    "stat": ("stat small files, cold", "op/s"),
    "read": ("read small files, cold", "op/s"),
    "rename": ("rename small files, cold", "op/s"),
    "unlink": ("unlink small files, cold", "op/s"),
    "untar": ("untar a source tree", "s"),
    "find": ("find with stat, cold", "s"),
}


class Sizes:
    """How much each phase does; all of it grows with the size of the sequential file."""

    def __init__(self, mib, tree):
        share = mib / 512
        self.sequential = mib * MIB
        self.random = max(mib // 2, 1) * MIB
        self.reads = max(int(20000 * share), 1)
        self.writes = max(int(20000 * share), 1)
        self.syncs = max(int(2000 * share), 1)
        self.files = max(int(10000 * share), 1)
        self.entries = sum(1 + len(names) for _, _, names in os.walk(tree))

    def operations(self, phase):
        """Of one phase; MiB where it is about throughput."""
        return {
            "seqwrite": self.sequential // MIB,
            "seqread": self.sequential // MIB,
            "randread": self.reads,
            "randwrite": self.writes,
            "overwrite": self.syncs,
            "untar": self.entries,
            "find": self.entries,
        }.get(phase, self.files)


class Runner:
    """Runs the phases of one group on one volume; a phase that is cold begins with Volume.go_cold()."""

    def __init__(self, workload, sizes, tar, counter, seed):
        self.workload = workload
        self.sizes = sizes
        self.tar = tar
        self.counter = counter
        self.seed = seed
        self.nanoseconds = {}
        self.requests = {}

    def work(self, *argv):
        return int(call([self.workload, *argv]))

    def phase(self, volume, name, *argv, cold=False):
        if cold:
            volume.go_cold()
        if self.counter:
            self.counter.start(volume.mnt)
        self.nanoseconds[name] = self.work(*argv)
        if self.counter:
            self.requests[name] = self.counter.stop()

    def seq(self, volume):
        path, size = volume.mnt + "/file", str(self.sizes.sequential)
        volume.mount()
        self.phase(volume, "seqwrite", "seqwrite", path, size, self.seed)
        self.phase(volume, "seqread", "seqread", path, size, self.seed, cold=True)

    def big_file(self, volume):
        path = volume.mnt + "/file"
        volume.mount()
        self.work("seqwrite", path, str(self.sizes.random), self.seed)
        return path

    def rand(self, volume):
        path = self.big_file(volume)
        self.phase(volume, "randread", "randread", path, str(self.sizes.reads), self.seed, cold=True)
        self.phase(volume, "randwrite", "randwrite", path, str(self.sizes.writes), self.seed, cold=True)

    def sync(self, volume):
        path = self.big_file(volume)
        self.phase(volume, "overwrite", "overwrite", path, str(self.sizes.syncs), self.seed, cold=True)

    def small(self, volume):
        folder, n = volume.mnt + "/small", str(self.sizes.files)
        volume.mount()
        os.mkdir(folder)
        self.phase(volume, "create", "create", folder, n, self.seed)
        for name in ("stat", "read", "rename", "unlink"):
            self.phase(volume, name, name, folder, n, self.seed, cold=True)

    def tree(self, volume):
        volume.mount()
        # As a user's tar does it; root's would add a chown and a chmod for each file.
        untar = ("tar", "-C", volume.mnt, "--no-same-owner", "--no-same-permissions", "-xf", self.tar)
        self.phase(volume, "untar", "run", *untar)
        self.phase(volume, "find", "run", "find", volume.mnt, "-printf", "%i %s %T@ %p\\n", cold=True)


GROUPS = {
    "seq": ("seqwrite", "seqread"),
    "rand": ("randread", "randwrite"),
    "sync": ("overwrite",),
    "small": ("create", "stat", "read", "rename", "unlink"),
    "tree": ("untar", "find"),
}


class Results:
    """All numbers of one backing directory: nanoseconds, requests and peak memory by subject."""

    def __init__(self):
        self.nanoseconds = {}  # subject -> phase -> [round]
        self.requests = {}  # subject -> phase -> {operation: number}
        self.peak_kib = {}
        self.failures = {}  # subject -> sentence

    def median(self, subject, phase):
        values = self.nanoseconds.get(subject, {}).get(phase)
        return statistics.median(values) if values else None

    def spread(self, subject, phase):
        values = self.nanoseconds.get(subject, {}).get(phase)
        return (max(values) - min(values)) / statistics.median(values) if values else 0


def wanted(subject, group, asked):
    """Without being asked for, plain shows only what a disk's fdatasync costs: there its ratio is a goal of its own."""
    return subject.name != "plain" or group == "sync" or asked


def run_group(subject, group, runner, results, home):
    try:
        with Volume(subject, home) as volume:
            getattr(runner, group)(volume)
            volume.unmount()
            peak = volume.peak_kib
    except BenchError as error:
        results.failures[subject.name] = f"{group}: {error}"
        return
    if runner.counter:
        results.requests.setdefault(subject.name, {}).update(runner.requests)
        return
    times = results.nanoseconds.setdefault(subject.name, {})
    for phase, value in runner.nanoseconds.items():
        times.setdefault(phase, []).append(value)
    results.peak_kib[subject.name] = max(peak, results.peak_kib.get(subject.name, 0))


def run_round(options, subjects, number, where, results, counter=None):
    turn = number % len(subjects)
    for group in options.tests:
        for subject in subjects[turn:] + subjects[:turn]:
            if subject.name in results.failures or not wanted(subject, group, options.subjects):
                continue
            if counter and not subject.fuse:
                continue
            print(f"round {number}: {group}: {subject.name}", file=sys.stderr)
            runner = Runner(options.workload, options.sizes, options.tar, counter, str(number + 1))
            run_group(subject, group, runner, results, os.path.join(where, "volume"))


@contextlib.contextmanager
def backing_folder(kind):
    """A folder to work in: on tmpfs, on ext4 (an image if the machine has none), or in a directory of the user's."""
    base = {"tmpfs": "/dev/shm", "ext4": "/var/tmp"}.get(kind, kind)
    image = kind == "ext4" and call(["findmnt", "-n", "-o", "FSTYPE", "-T", base]).strip() != "ext4"
    with tempfile.TemporaryDirectory(prefix="cloison-bench-", dir=base) as folder:
        if not image:
            yield folder, call(["findmnt", "-n", "-o", "FSTYPE,SOURCE", "-T", folder]).strip()
            return
        path, mnt = os.path.join(folder, "image"), os.path.join(folder, "ext4")
        with open(path, "wb") as f:
            f.truncate(8 << 30)
        os.mkdir(mnt)
        call(["mkfs.ext4", "-q", path])
        call(["mount", "-o", "loop", path, mnt])
        try:
            yield mnt, "ext4 on a file in " + base
        finally:
            call(["umount", mnt])


def cell(results, subject, phase, sizes):
    nanoseconds = results.median(subject, phase)
    if nanoseconds is None:
        return "failed" if subject in results.failures else "-"
    seconds = nanoseconds / 1e9
    text = f"{seconds:.3f}" if PHASES[phase][1] == "s" else f"{sizes.operations(phase) / seconds:,.0f}"
    yardstick = results.median(YARDSTICK, phase)
    return text if subject == YARDSTICK or not yardstick else f"{text} ({yardstick / nanoseconds:.2f})"


def print_times(options, results, names):
    print("| | unit | " + " | ".join(names) + " | spread |")
    print("|---|---|" + "---:|" * (len(names) + 1))
    for group in options.tests:
        for phase in GROUPS[group]:
            cells = [cell(results, name, phase, options.sizes) for name in names]
            spread = max(results.spread(name, phase) for name in names)
            print(f"| {PHASES[phase][0]} | {PHASES[phase][1]} | {' | '.join(cells)} | {spread:.0%} |")
    peaks = [f"{results.peak_kib[name] / 1024:.0f}" if results.peak_kib.get(name) else "-" for name in names]
    print(f"| peak resident memory of the daemon | MiB | {' | '.join(peaks)} | |")
    plain = results.median("plain", "overwrite")
    for name in names:
        own = results.median(name, "overwrite")
        if plain and own and name != "plain":
            print(f"\n{name}: 4 KiB overwrite + fdatasync at {plain / own:.2f} of the plain directory", end="")
    print("\n")


def print_requests(options, results):
    print("FUSE requests per operation (per file, or per MiB for the sequential phases), FORGET not counted:\n")
    print("| | subject | all | |")
    print("|---|---|---:|---|")
    for group in options.tests:
        for phase in GROUPS[group]:
            for name, phases in results.requests.items():
                count = phases.get(phase, {})
                n = options.sizes.operations(phase)
                parts = sorted(count.items(), key=lambda item: -item[1])
                text = ", ".join(f"{op} {k / n:.2f}" for op, k in parts if k / n >= 0.005)
                print(f"| {PHASES[phase][0]} | {name} | {sum(count.values()) / n:.2f} | {text} |")
    print()


def print_machine(options, subjects, left_out):
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    versions = [s.version() for s in subjects if s.version()]
    sizes, load = options.sizes, os.getloadavg()[0]
    print(f"Machine: {os.cpu_count()} x {model}, {memory} GiB, Linux {platform.release()}, load {load:.1f}.")
    print(f"{options.rounds} rounds, medians; in brackets the speed relative to {YARDSTICK} (above 1 is faster);")
    print("spread is the widest distance from slowest to fastest round in the line.")
    print(f"Sequential file {options.size} MiB, random {sizes.random // MIB} MiB, {sizes.files} small files,")
    print(f"tree {options.tree} with {sizes.entries} entries.")
    for text in versions:
        print(f"With {text}.")
    for name, why in left_out.items():
        print(f"Left out: {name} ({why}).")
    print()


def names_list(known):
    def parse(text):
        names = text.split(",")
        for name in names:
            if known and name not in known and not name.startswith(YARDSTICK + "-"):
                raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(known)}")
        return names

    return parse


def parse_options():
    parser = argparse.ArgumentParser(description="Compare cloison with its peers.", allow_abbrev=False)
    parser.add_argument("--builddir", default=".", help="where the programs were built (default: here)")
    parser.add_argument("--backing", type=names_list(None), default=["tmpfs", "ext4"],
                        help="tmpfs, ext4, or directories, with commas between (default: tmpfs,ext4)")
    parser.add_argument("--subjects", type=names_list(SUBJECTS), help=f"some of {','.join(SUBJECTS)}; "
                        f"{YARDSTICK}-FLAGS is the yardstick with these flags")
    parser.add_argument("--tests", type=names_list(GROUPS), default=list(GROUPS), help=f"some of {','.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=512, help="MiB of the sequential file; the rest grows with it")
    parser.add_argument("--tree", default="/usr/include", help="the source tree to pack and unpack")
    parser.add_argument("--count", action="store_true", help="a round more, not timed, which counts FUSE requests")
    parser.add_argument("--json", metavar="FILE", help="write every single number there")
    options = parser.parse_args()
    if options.rounds < 1 or options.size < 1:
        parser.error("--rounds and --size are at least 1")
    if os.geteuid() != 0:
        parser.error("must be run by root: it drops the kernel's caches between phases")
    return options


def check_open_files(sizes):
    """The yardstick has a descriptor open for each file the kernel knows; its own limit is as high as this one."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
    except (ValueError, OSError):
        pass  # not every container's root may
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = max(sizes.files, sizes.entries)
    if files + 100 > limit:
        sys.exit(f"bench.py: {files} files need as many descriptors, but only {limit} may be open here (ulimit -n)")


def choose_subjects(options, passfile):
    chosen, left_out = [], {}
    for name in options.subjects or SUBJECTS:
        kind = SUBJECTS.get(name) or passthrough_with(name[len(YARDSTICK) + 1:])
        subject = kind(os.path.abspath(options.builddir), passfile)
        why = subject.missing()
        if why:
            left_out[name] = why
        else:
            chosen.append(subject)
    return chosen, left_out


def main():
    options = parse_options()
    with tempfile.TemporaryDirectory(prefix="cloison-bench-", dir="/dev/shm") as private:
        passfile = os.path.join(private, "passphrase")
        with open(os.open(passfile, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(PASSPHRASE)
        subjects, left_out = choose_subjects(options, passfile)
        options.workload = os.path.join(os.path.abspath(options.builddir), "tests/bench/workload")
        if not os.path.exists(options.workload) or not subjects:
            sys.exit(f"bench.py: nothing to run: {left_out or options.workload + ' is not built'}")
        options.sizes = Sizes(options.size, options.tree)
        check_open_files(options.sizes)
        options.tar = os.path.join(private, "tree.tar")
        if "tree" in options.tests:
            call(["tar", "-C", options.tree, "-cf", options.tar, "."])
        print_machine(options, subjects, left_out)
        everything, failed = {}, False
        for kind in options.backing:
            results = Results()
            with backing_folder(kind) as (folder, description):
                if options.count:
                    with RequestCounter() as counter:
                        run_round(options, subjects, 0, folder, results, counter)
                for number in range(1, options.rounds + 1):
                    run_round(options, subjects, number, folder, results)
            print(f"### Backing directory: {kind} ({' '.join(description.split())})\n")
            print_times(options, results, [s.name for s in subjects])
            if options.count:
                print_requests(options, results)
            for name, why in results.failures.items():
                print(f"FAILED: {name}: {why}\n")
                failed = True
            sys.stdout.flush()
            everything[kind] = vars(results)
        if options.json:
            with open(options.json, "w") as f:
                json.dump(everything, f, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
