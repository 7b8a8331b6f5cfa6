"""A repository in S3, in a real server on this machine: transfers, base backups, and branches over a slow way to it.

The server takes most of the CPU here. So each one's own CPU is measured too, and backups with the server on a core of its own.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import time
import types

from branch_source import Branches, in_words
from contenders import Pgstrata
from machine import Failed, say, server_cpu_s, tree_bytes
import measure_backup
from report import Absolute, Comparison, Figure

OBJECT_BYTES = 32 << 20  # as packs are
OBJECTS_AT_S100 = 16
DELAY_MS = 20
MEMORY = pathlib.Path("/dev/shm/pgstrata-bench")
AWS, RCLONE, OURS = "aws s3 cp", "rclone copy", "pgstrata"
POINT = "select abalance from pgbench_accounts where aid = 4711"


class Place:
    """A server with an empty bucket, and a proxy before it. Its memory grows with all that it ever stored: each run has another."""

    def __init__(self, bench, core=None):
        self.log = bench.machine.logs / "s3-place.log"
        command = ["taskset", "-c", str(core)] if core is not None else []
        with open(self.log, "w", encoding="utf-8") as log:
            account = bench.machine.account
            self.process = subprocess.Popen(
                [*command, bench.helper("s3_place")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                cwd=bench.machine.work, env=bench.machine.environment(None), user=account, group=account,
                extra_groups=[] if account else None)
        self.told = self._answer()
        self.env = {"AWS_ACCESS_KEY_ID": self.told["access_key"], "AWS_SECRET_ACCESS_KEY": self.told["secret_key"],
                    "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
                    "AWS_CA_BUNDLE": ""}  # rclone refuses one

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"the S3 server: {self.log.read_text(encoding='utf-8')}")
        return json.loads(line)

    def ask(self, line):
        """bench/s3_place.cc has what can be asked."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._answer()

    def location(self, way="direct"):
        """As pgstrata names it; `way` is "direct" or "delayed"."""
        return f"s3://{self.told['bucket']}/prod?endpoint={self.told[way]}"

    def cpu_s(self):
        """Of all its processes."""
        return server_cpu_s(self.process.pid)

    def close(self):
        """With all that is in it."""
        self.process.stdin.close()
        self.process.wait()


def transfer_commands(bench, label, place, source, target):
    """Up and down: aws as it comes, rclone with four files at a time, ours with as many threads as backup and restore have."""
    there, endpoint = f"{place.told['bucket']}/prod", place.told["direct"]
    if label == AWS:
        words = ["aws", "--endpoint-url", endpoint, "s3", "cp", "--recursive", "--only-show-errors"]
        return [*words, source, f"s3://{there}/"], [*words, f"s3://{there}/", target]
    if label == RCLONE:
        words = ["rclone", "copy", "--transfers", "4", "--s3-no-check-bucket", "--s3-provider", "Ceph", "--s3-env-auth",
                 "--s3-endpoint", endpoint]
        return [*words, source, f":s3:{there}"], [*words, f":s3:{there}", target]
    return [[bench.helper("s3_transfer"), way, place.location(), folder, os.cpu_count()]
            for way, folder in (("upload", source), ("download", target))]


def transfer(bench, label, source):
    """The set once up and once down, from memory to memory."""
    target = bench.machine.folder(MEMORY / "got")
    size = tree_bytes(source)
    run = {}
    with contextlib.closing(Place(bench)) as place:
        for way, command in zip(("upload", "download"), transfer_commands(bench, label, place, source, target)):
            bench.machine.settle()
            before = place.cpu_s()
            usage = bench.machine.run(command, f"s3-{way}", place.env)
            run[way], run[f"{way} CPU"] = size / usage.wall_s, usage.cpu_s
            say(f"  {label}, {way}: {size / usage.wall_s / 1e6:.0f} MB/s, CPU {usage.cpu_s:.2f} s + server "
                f"{place.cpu_s() - before:.2f} s, peak {usage.peak_rss_bytes >> 20} MiB; load {os.getloadavg()[0]:.1f}")
    bench.machine.output(["diff", "-rq", source, target])
    bench.machine.remove(target)
    return run


def saturated(bench, size):
    """What the server takes at most."""
    with contextlib.closing(Place(bench)) as place:
        bench.machine.settle()
        return {"upload": place.ask(f"saturate {size}")}


def transfer_rows(bench):
    """Throughput and CPU against aws and rclone, and what the server takes at most."""
    source = bench.machine.folder(MEMORY / "set")
    count = max(2, min(bench.scale, 100) * OBJECTS_AT_S100 // 100)
    for number in range(count):
        (source / f"{number:04}").write_bytes(os.urandom(OBJECT_BYTES))
    limit = "the server's limit"
    contenders = [types.SimpleNamespace(label=label) for label in (OURS, AWS, RCLONE, limit)]
    runs = bench.alternate(f"S3 transfers of {count} objects", contenders, lambda each: saturated(bench, count * OBJECT_BYTES)
                           if each.label == limit else transfer(bench, each.label, source))
    bench.machine.remove(source)

    def row(key, peer, unit="MB/s", at_least=None):
        ours, theirs = (Figure([run[key] for run in runs[label]]) for label in (OURS, peer))
        return Comparison(f"S3 {key}, {count} objects of 32 MiB", unit, ours, theirs, peer, at_least=at_least)

    ways = [(way, peer) for way in ("upload", "download") for peer in (AWS, RCLONE)]
    return ([row(way, peer, at_least=0.9) for way, peer in ways] + [row("upload", limit)] +
            [row(f"{way} CPU", peer, "s") for way, peer in ways])


class PgstrataInMemory(Pgstrata):
    """In a folder in memory, or in S3 with a server of its own, on `core` if that is given."""

    def __init__(self, bench, in_s3, core=None):
        super().__init__(bench.machine, bench.source, bench.pgstrata.program)
        self.bench, self.in_s3, self.core = bench, in_s3, core
        self.label = "in S3" if in_s3 else "folder in memory"
        self.repository = bench.machine.folder(MEMORY) / "repository"
        self.env["PGSTRATA_REPO"] = str(self.repository)
        self.place = None

    def fresh(self, way="direct"):
        """As Pgstrata's."""
        self.close()
        if self.in_s3:
            self.place = Place(self.bench, self.core)
            self.repository = self.place.location(way)
            self.env.update(self.place.env, PGSTRATA_REPO=self.repository)
        self.begin()

    def backup(self):
        """Tells what it costs the server, too."""
        before = self.place.cpu_s() if self.place else 0
        usage = super().backup()
        if self.place:
            say(f"  CPU of the S3 server: {self.place.cpu_s() - before:.2f} s; load {os.getloadavg()[0]:.1f}")
        return usage

    def stored_bytes(self):
        """Of all objects."""
        if not self.in_s3:
            return super().stored_bytes()
        listed = self.machine.output(["aws", "--endpoint-url", self.place.told["direct"], "s3", "ls", "--recursive", "--summarize",
                                      f"s3://{self.place.told['bucket']}/"], self.place.env)
        return int(listed.rpartition("Total Size:")[2])

    def close(self):
        """Nothing is left of it."""
        if self.place:
            self.place.close()
        self.place = None
        self.machine.remove(MEMORY / "repository")


def pin(bench, cores):
    """This, the source, and what they start."""
    for pid in [0, bench.source.pid(), *map(int, bench.machine.output(["pgrep", "-P", bench.source.pid()]).split())]:
        os.sched_setaffinity(pid, cores)


def backup_rows(bench):
    """Into S3 against into a folder: with all cores for everyone, and with the last one for nobody but the server."""
    rows = []
    every = os.sched_getaffinity(0)
    for what, core in (("all cores", None), ("the server on a core of its own", max(every))):
        pair = [PgstrataInMemory(bench, True, core), PgstrataInMemory(bench, False)]
        pin(bench, every - {core} or every)
        try:
            runs = bench.alternate(f"base backup into S3, {what}", pair, lambda each: measure_backup.one(bench, each))
        finally:
            pin(bench, every)
            for each in pair:
                each.close()
        for key, name, limit in (("wall", "wall", 1.15), ("client", "pgstrata's own CPU", None)):
            ours, folder = (Figure([run[key] for run in runs[each.label]]) for each in pair)
            rows.append(Comparison(f"base backup into S3, {what}, {name}", "s", ours, folder, pair[1].label, at_most=limit))
    return rows


def opening_rows(bench):
    """From the command to answers, each request 20 ms late, with nothing kept near and with what the last one left."""
    ours = PgstrataInMemory(bench, True)
    branches = Branches(types.SimpleNamespace(machine=bench.machine, pgstrata=ours))
    runs = {(state, what): [] for state in ("nothing kept near", "again") for what in ("first answer", "a row of a table")}
    try:
        ours.fresh("delayed")
        branches.env.update(ours.env)
        ours.backup()
        bench.source.pgbench("-n", "-N", "-c", "4", "-t", "500")
        at = in_words(float(bench.source.query("select extract(epoch from clock_timestamp())")))
        bench.source.pgbench("-n", "-N", "-t", "1")
        bench.machine.run(ours.until_command(bench.source.query("select pg_current_wal_lsn()")), "s3-stream", ours.env)
        ours.place.ask(f"delay {DELAY_MS}")
        say(f"opening a branch from S3, {DELAY_MS} ms for each request")
        for _ in range(bench.runs):
            bench.machine.remove(branches.state / "cache")
            for state in ("nothing kept near", "again"):
                bench.machine.settle()
                ours.place.ask("requests")
                begun = time.monotonic()
                branch = branches.create("opened", at)
                for what, sql in (("first answer", "select 1"), ("a row of a table", POINT)):
                    branch.query(sql)
                    runs[state, what].append(time.monotonic() - begun)
                say(f"  {state}: {runs[state, 'first answer'][-1]:.2f} s, {runs[state, 'a row of a table'][-1]:.2f} s with a row of a "
                    f"table, {ours.place.ask('requests')} requests; load {os.getloadavg()[0]:.1f}")
                branch.close()
    finally:
        branches.delete_all()
        ours.close()
    return [Absolute(f"branch from S3, {DELAY_MS} ms a request, {state}: command to {what}", "s", Figure(values), at_most=5)
            for (state, what), values in runs.items()]


def measure(bench):
    """Rows of the table."""
    try:
        return transfer_rows(bench) + backup_rows(bench) + opening_rows(bench)
    finally:
        bench.machine.remove(MEMORY)
