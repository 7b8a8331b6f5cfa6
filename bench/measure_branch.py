"""Branches: the time to open a random second, and how fast one runs, against a restore to native disk."""

import os
import random
import re
import time

from branch_source import (GB, SCALE_OF_1_GB, Branches, NativeReplay, NativeRestore, Past, replayed_in,
                           source_of_size)
from machine import Failed, say
from report import Absolute, Comparison, Figure
from source import load

PGBENCH_TABLES = ("pgbench_accounts", "pgbench_accounts_pkey")
SCAN = "set max_parallel_workers_per_gather = 0; select count(*) from docs"
MIB = 1 << 20
PAGE_BYTES = 8192
CHANGED_SHARE = 0.03
SETTLED_AFTER_S = 20  # longer than an overlay waits
SETTLE_LIMIT_S = 900
ROLL_SETTINGS = "-c shared_buffers=512MB -c hot_standby=off"  # as the server of a roll has them


def opening(bench, contenders, moments, title):
    """Seconds from the command to the first answer of a query that writes; everyone opens the same moments."""
    say(f"{title}: {', '.join(contender.label for contender in contenders)}")
    runs = {contender.label: [] for contender in contenders}
    replays = {contender.label: [] for contender in contenders}
    for at in moments:
        for contender in contenders:
            bench.machine.settle()
            begun = time.monotonic()
            opened = contender.open(at)
            wall_s = time.monotonic() - begun
            try:
                replay_s = replayed_in(bench.machine, opened.log)
            finally:
                opened.close()
            runs[contender.label].append(wall_s)
            replays[contender.label].append(replay_s)
            say(f"  {contender.label}: {at}: {wall_s:.2f} s, of which replay {replay_s:.2f} s; load {os.getloadavg()[0]:.1f}")
    return ({label: Figure(values) for label, values in runs.items()},
            {label: Figure(values) for label, values in replays.items()})


def opening_rows(bench, past, size_gb):
    """A random second after the nearest snapshot, and the moment that is farthest from one."""
    pgstrata, pgbackrest = Branches(bench), NativeRestore(bench, bench.pgbackrest)
    seed = int(time.time())
    say(f"seed {seed}")
    moments = [past.random_moment(random.Random(seed + run)) for run in range(bench.runs)]
    walls, replays = opening(bench, [pgstrata, pgbackrest], moments, "opening a random second")
    without = Figure([wall - replay for wall, replay in zip(walls["pgstrata"].values, replays["pgstrata"].values)])
    early = [past.early_moment()] * bench.runs
    native = NativeRestore(bench, bench.pgstrata)
    native.label = "restored by pgstrata"
    far, far_replays = opening(bench, [pgstrata, pgbackrest, native], early, "opening far from a snapshot")
    wal = f"{past.wal_bytes / GB:.1f} GB of WAL"
    return [
        Comparison(f"{size_gb:g} GB: command to first write, at a random second near a snapshot", "s", walls["pgstrata"],
                   walls["pgBackRest"], f"pgBackRest restore, {wal}", at_most=0.1 if size_gb >= 16 else 0.25),
        Absolute(f"{size_gb:g} GB: the same, all", "s", walls["pgstrata"], at_most=3),
        Absolute(f"{size_gb:g} GB: the same, without replay", "s", without, at_most=0.7),
        Comparison(f"{size_gb:g} GB: command to first write, replaying {wal}", "s", far["pgstrata"], far["pgBackRest"],
                   "pgBackRest restore"),
        Comparison(f"{size_gb:g} GB: replay of it, as PostgreSQL counts it", "s", far_replays["pgstrata"],
                   far_replays["pgBackRest"], "on native disk, archive-get"),
        Comparison(f"{size_gb:g} GB: replay of it, as PostgreSQL counts it", "s", far_replays["pgstrata"],
                   far_replays[native.label], "on native disk, pgstrata wal-fetch"),
    ]


class Pair:
    """The same moment as a branch and on native disk, both with the settings that branches have."""

    def __init__(self, bench, at):
        self.bench = bench
        self.branches = Branches(bench)
        self.branch = self.branches.create("measured", at)
        self.native = NativeRestore(bench, bench.pgstrata)
        self.native.open(at)
        self.settings = " ".join(f"-c {setting}" for setting in self.branch.settings() if " " not in setting)
        self.restart_native()

    def restart_native(self):
        """With the branch's settings."""
        self.native.server.stop()
        self.native.server.start(self.settings)

    def close(self):
        """Both are gone."""
        self.branches.delete_all()
        self.native.close()

    def alternate(self, title, measure):
        """The figures of both."""
        say(title)
        servers = {"branch": self.branch, "native": self.native.server}
        runs = {label: [] for label in servers}
        for _ in range(self.bench.runs):
            for label, server in servers.items():
                runs[label].append(measure(label, server))
        return Figure(runs["branch"]), Figure(runs["native"])


def warm(server):
    """What pgbench reads is in memory, as far as there is room: right before it runs, as two may not fit."""
    for table in PGBENCH_TABLES:
        server.query(f"select pg_prewarm('{table}', 'read')")


def pgbench_row(pair, size_gb, flag, at_least):
    """TPS, warm, 4 clients."""
    def one(label, server):
        warm(server)
        out = server.pgbench("-n", flag, "-c", "4", "-j", "2", "-T", str(pair.bench.seconds))
        tps = float(re.search(r"tps = ([\d.]+)", out)[1])
        say(f"  {label}: {tps:,.0f} TPS; load {os.getloadavg()[0]:.1f}")
        return tps

    branch, native = pair.alternate(f"pgbench {flag}", one)
    return Comparison(f"{size_gb:g} GB: pgbench {flag} on a branch", "TPS", branch, native, "native disk", at_least=at_least)


def drop_caches():
    """Whether the kernel's cache is empty now."""
    if os.geteuid() != 0:
        return False
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("3")
    return True


def scan_rows(pair, size_gb, at):
    """A table from front to back that nobody has read, on a branch made for it."""
    bytes_of_table = int(pair.branch.query("select pg_table_size('docs')"))

    def one(label, server):
        if label == "branch":
            server = pair.branches.create("scanned", at)
        else:
            pair.restart_native()
        drop_caches()
        begun = time.monotonic()
        server.query(SCAN)
        rate = bytes_of_table / (time.monotonic() - begun)
        if label == "branch":
            server.close()
        say(f"  {label}: {rate / 1e6:.0f} MB/s")
        return rate

    if not drop_caches():
        say("only root can empty the kernel's cache: no cold scan")
        return []
    branch, native = pair.alternate("cold scan", one)
    return [Absolute(f"{size_gb:g} GB: cold scan of a table", "MB/s", branch, at_least=400e6),
            Comparison(f"{size_gb:g} GB: cold scan of a table", "MB/s", branch, native, "native disk")]


def disk_bytes(folder):
    """What it takes on the disk."""
    def one(path):
        try:
            return os.lstat(path).st_blocks * 512
        except FileNotFoundError:  # the server has just removed it
            return 0

    return sum(one(os.path.join(parent, name)) for parent, _, names in os.walk(folder) for name in names)


def memory_of(pid, field):
    """Bytes, as the kernel counts them."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(rf"^{field}:\s+(\d+) kB", file.read(), re.M)[1]) * 1024


def room_when_settled(branches):
    """What each takes on the disk once its server has checkpointed and nothing changes any more; and the most on the way."""
    def checkpointed(branch):
        return "checkpoint complete" in branch.machine.output(["cat", branch.log])

    most = [0] * len(branches)
    deadline = time.monotonic() + SETTLE_LIMIT_S
    unchanged_since, last = time.monotonic(), None
    while True:
        room = [disk_bytes(branch.home / "overlay") + disk_bytes(branch.home / "wal") for branch in branches]
        most = [max(pair) for pair in zip(most, room)]
        if room != last:
            unchanged_since, last = time.monotonic(), room
        elif time.monotonic() - unchanged_since > SETTLED_AFTER_S and all(map(checkpointed, branches)):
            return room, most
        if time.monotonic() > deadline:
            raise Failed(f"the branches' room still changes after {SETTLE_LIMIT_S} s")
        time.sleep(1)


def many_rows(bench, size_gb, at):
    """What each of several branches takes beyond its PostgreSQL: of the disk untouched, of memory when it was read whole
    and written to in 4,000 places."""
    branches = Branches(bench)
    write_some = f"update pgbench_accounts set abalance = abalance + 1 where aid % {max(1, round(size_gb * 1000))} = 0"
    say(f"{bench.branches} branches at once")
    try:
        made = [branches.create(f"b{number}", at, "--set", "shared_buffers=32MB") for number in range(bench.branches)]
        disk, disk_most = map(Figure, room_when_settled(made))
        for branch in made:
            branch.query(SCAN)
            branch.query(write_some)
        proportional = Figure([memory_of(branch.mount_process(), "Pss") for branch in made])
        resident = Figure([memory_of(branch.mount_process(), "Rss") for branch in made])
        say(f"  disk {disk.median / MIB:.1f} MiB, {disk_most.median / MIB:.1f} on the way; PSS {proportional.median / MIB:.1f} MiB, RSS {resident.median / MIB:.1f} MiB")
    finally:
        branches.delete_all()
    return [Absolute(f"{size_gb:g} GB: disk of an untouched branch", "MiB", disk, at_most=40 * MIB),
            Absolute(f"{size_gb:g} GB: the same, the most before it has settled", "MiB", disk_most),
            Absolute(f"{size_gb:g} GB: memory of a branch's file system, {bench.branches} at once (PSS)", "MiB", proportional,
                     at_most=40 * MIB),
            Absolute(f"{size_gb:g} GB: the same (RSS)", "MiB", resident)]


def rolled_rows(bench, past, size_gb):
    """A rolled snapshot against pgBackRest's block-incremental backup, and against PostgreSQL's own replay."""
    say("rolled snapshots: pgstrata, pgBackRest, replay on native disk")
    pages = int(past.source.query("select sum(pg_database_size(oid)) from pg_database")) // PAGE_BYTES
    native = NativeReplay(bench, ROLL_SETTINGS)
    rolls, increments, replays = [], [], []
    past.source.set(wal_keep_size="8GB")
    try:
        for _ in range(bench.runs):
            native.prepare()
            wal = past.change_pages(int(pages * CHANGED_SHARE))
            for contender, runs in ((bench.pgstrata, rolls), (bench.pgbackrest, increments)):
                bench.machine.settle()
                stored = contender.stored_bytes()
                usage = contender.backup_changes()
                runs.append((usage.wall_s, contender.stored_bytes() - stored, usage.peak_rss_bytes))
                say(f"  {contender.label}: {usage.wall_s:.2f} s, {runs[-1][1] / 1e6:.1f} MB, after {wal / 1e6:.0f} MB of WAL; "
                    f"load {os.getloadavg()[0]:.1f}")
            replays.append(native.replay())
            say(f"  native: {replays[-1][0]:.2f} s, of which replay {replays[-1][1]:.2f} s")
            native.close()
    finally:
        past.source.set(wal_keep_size="0")

    def figure(runs, index):
        return Figure([run[index] for run in runs])

    what = f"{size_gb:g} GB: rolled snapshot, some {CHANGED_SHARE:.0%} of pages changed"
    return [
        Comparison(f"{what}, stored", "MB", figure(rolls, 1), figure(increments, 1), "pgBackRest incremental", at_most=0.5),
        Comparison(f"{what}, wall", "s", figure(rolls, 0), figure(increments, 0), "pgBackRest incremental"),
        Comparison(f"{what}, wall", "s", figure(rolls, 0), figure(replays, 0), "native disk, start, replay, stop", at_most=1.3),
        Comparison(f"{what}, wall", "s", figure(rolls, 0), figure(replays, 1), "native disk, replay alone"),
        Absolute(f"{what}, peak memory of pgstrata", "MiB", figure(rolls, 2), at_most=256 * MIB),
    ]


def running_source(bench, size_gb):
    """A running source of that size, loaded once."""
    loaded = load(bench.machine, max(1, round(size_gb * SCALE_OF_1_GB)), bench.port, bench.fresh)
    return source_of_size(bench, size_gb, loaded)


def measure_size(bench, size_gb):
    """The rows of one size."""
    source = running_source(bench, size_gb)
    try:
        source.query("create extension if not exists pg_prewarm")
        with Past(bench, source) as past:
            rows = rolled_rows(bench, past, size_gb)
            past.write(bench.wal_gb * GB)
        rows = opening_rows(bench, past, size_gb) + rows
        at = past.random_moment(random.Random(0))
    finally:
        source.stop()
    pair = Pair(bench, at)
    try:
        rows += [pgbench_row(pair, size_gb, "-S", 0.9), pgbench_row(pair, size_gb, "-N", 0.85)]
        rows += scan_rows(pair, size_gb, at)
    finally:
        pair.close()
    return rows


def measure_many_of_size(bench, size_gb):
    """The rows of one size: of many branches at once."""
    source = running_source(bench, size_gb)
    try:
        with Past(bench, source) as past:
            past.write(bench.wal_gb * GB)
    finally:
        source.stop()
    return many_rows(bench, size_gb, past.random_moment(random.Random(0)))


def measure_each_size(bench, measure_one):
    """Rows of the table."""
    rows = []
    for size_gb in bench.sizes:
        try:
            rows += measure_one(bench, size_gb)
        finally:
            Branches(bench).delete_all()
            bench.machine.remove(bench.machine.work / "native", bench.source.data)
    return rows


def measure(bench):
    """Rows of the table."""
    return measure_each_size(bench, measure_size)


def measure_many(bench):
    """Rows of the table."""
    return measure_each_size(bench, measure_many_of_size)
