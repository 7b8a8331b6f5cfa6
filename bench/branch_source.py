"""A source whose past can be opened: two snapshots, WAL between and after them, and those who open a moment of it."""

import datetime
import json
import re
import time

from contenders import CLUSTER
from machine import Failed, say
from source import Server

GB = 10**9
SCALE_OF_1_GB = 40
# The last part of the WAL, which comes after the second snapshot: what a bound on the replay debt would leave.
LAST_PART = 0.1
WRITE = "update pgbench_branches set bbalance = bbalance where bid = 1"


def in_words(seconds):
    """Seconds since 1970, as PostgreSQL and everyone here reads a time."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat(sep=" ", timespec="milliseconds")


class Past:
    """A source whose WAL goes into both repositories while it is open, as a context manager.

    After `write`, what can be opened: `early` just before the last snapshot, anything from `late` to `end` after it.
    """

    def __init__(self, bench, source):
        self.bench = bench
        self.source = source
        bench.pgbackrest.fresh()
        source.set(archive_command=bench.pgbackrest.archive_command(True))
        bench.pgstrata.fresh()
        bench.pgbackrest.backup()
        bench.pgstrata.backup()
        self.begun = time.monotonic()
        self.stream = bench.machine.spawn(bench.pgstrata.stream_command(False), "branch-stream", bench.pgstrata.env)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.terminate()
        self.bench.machine.finish(self.stream, "branch-stream", self.begun, expected=(0, 130, 143, -15))
        self.source.set(archive_command="/bin/true")

    def change_pages(self, count):
        """So many, more or less, each transaction another one; ends with a checkpoint that is in both repositories."""
        before = self._lsn()
        self.source.pgbench("-n", "-N", "-c", "4", "-t", str(max(1, count // 8)))
        self.source.query("checkpoint")
        self.switch_and_wait()
        return self._written(before)

    def write(self, wal_bytes):
        """As through a day, the last part of it after a rolled snapshot."""
        begin = self._lsn()
        self._write_until(begin, wal_bytes * (1 - LAST_PART))
        self.early = self._moment()
        self.source.query("checkpoint")
        self.switch_and_wait()
        self.bench.pgstrata.backup_changes()
        self.late = self._moment()
        self._write_until(begin, wal_bytes)
        self.end = self._moment()
        self.wal_bytes = self._written(begin)
        self.switch_and_wait()

    def random_moment(self, random):
        """One of the last part's, as a time with a zone."""
        return in_words(random.uniform(self.late, self.end))

    def early_moment(self):
        """The one that is farthest from its snapshot, likewise."""
        return in_words(self.early)

    def _moment(self):
        self.source.pgbench("-n", "-N", "-t", "1")  # a commit after it: then it is known to be complete
        moment = float(self.source.query("select extract(epoch from clock_timestamp())"))
        self.source.pgbench("-n", "-N", "-t", "1")
        return moment

    def _lsn(self):
        return self.source.query("select pg_current_wal_lsn()")

    def _written(self, begin):
        return int(self.source.query(f"select pg_current_wal_lsn() - '{begin}'"))

    def _write_until(self, begin, wal_bytes):
        """A checkpoint now and then, after which each changed page is written whole."""
        self.source.set(synchronous_commit="off")
        while self._written(begin) < wal_bytes:
            self.source.query("checkpoint")
            self.source.pgbench("-n", "-N", "-c", "4", "-t", "2500")
        self.source.set(synchronous_commit="on")

    def switch_and_wait(self):
        """Until everything is in both repositories."""
        last = self.source.query("select pg_walfile_name(pg_switch_wal())")
        self.source.query("select pg_switch_wal()")
        deadline = time.monotonic() + 300
        slot = self.bench.pgstrata.slot
        while True:
            archived = self.source.query("select coalesce(last_archived_wal, '') from pg_stat_archiver") >= last
            received = self.source.query(
                "select coalesce(bool_or(flush_lsn >= pg_current_wal_lsn()), false) from pg_stat_replication "
                f"join pg_replication_slots on active_pid = pid where slot_name = '{slot}'")
            if archived and received == "t":
                return
            if time.monotonic() > deadline:
                raise Failed("the last WAL did not get into both repositories within 300 s")
            time.sleep(0.2)


class Branches:
    """pgstrata's."""

    label = "pgstrata"

    def __init__(self, bench):
        self.bench = bench
        self.machine = bench.machine
        self.state = bench.machine.folder(bench.machine.work / "state")
        self.env = {**bench.pgstrata.env, "PGSTRATA_STATE_DIR": str(self.state)}
        self.made = []

    def _run(self, *words):
        return self.machine.output([self.bench.pgstrata.program, "branch", *words, "--output", "json"], self.env)

    def create(self, name, at, *flags):
        """Open when it returns."""
        self.made.append(name)
        return Branch(self, name, json.loads(self._run("create", CLUSTER, name, "--at", at, *flags)))

    def open(self, at):
        """From the command to the first answer; what was opened has to be closed."""
        branch = self.create("opened", at)
        branch.query(WRITE)
        return branch

    def delete(self, name):
        """With all that was written in it."""
        self._run("delete", CLUSTER, name)
        self.made.remove(name)

    def delete_all(self):
        """Those that are left of a run that failed, too."""
        for name in list(self.made):
            self.delete(name)


class Branch(Server):
    """A branch's server."""

    def __init__(self, branches, name, told):
        super().__init__(branches.machine, branches.state / "branches" / CLUSTER / name / "fs" / "data", told["port"])
        self.branches = branches
        self.name = name
        self.home = branches.state / "branches" / CLUSTER / name
        self.log = self.home / "postgres.log"

    @property
    def env(self):
        return {**super().env, "PGHOST": str(self.home / "run")}

    def close(self):
        """It is gone."""
        self.branches.delete(self.name)

    def settings(self):
        """Of its server, but for those that say where it is."""
        pid = self.machine.output(["head", "-1", self.data / "postmaster.pid"])
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
            words = file.read().split("\0")
        places = ("data_directory", "config_file", "hba_file", "ident_file", "port", "unix_socket_directories", "cluster_name")
        return [word for word in words if "=" in word and word.split("=")[0] not in places]

    def mount_process(self):
        """Its id."""
        return int((self.home / "mount.pid").read_text(encoding="utf-8").split(".")[0])


class NativeRestore:
    """A whole restore to the disk, and a server on it."""

    def __init__(self, bench, contender):
        self.bench = bench
        self.label = contender.label
        self.contender = contender
        self.server = Server(bench.machine, bench.machine.work / "native", bench.port + 1)
        self.log = bench.machine.logs / f"{self.server.data.name}.log"

    def open(self, at):
        """From the command to the first answer."""
        self.contender.restore_at(self.server.data, at)
        self.server.start("-c archive_mode=off")
        while True:
            try:
                self.server.query(WRITE)
                return self
            except Failed:  # it is open for reads already
                time.sleep(0.01)

    def close(self):
        """It is gone."""
        self.server.stop()
        self.bench.machine.remove(self.server.data)


class NativeReplay:
    """Stock PostgreSQL on the disk, from the last snapshot on, with all the WAL in its pg_wal already."""

    def __init__(self, bench, settings):
        self.bench = bench
        self.settings = settings
        self.server = Server(bench.machine, bench.machine.work / "native", bench.port + 1)
        self.log = bench.machine.logs / f"{self.server.data.name}.log"

    def prepare(self):
        """Before the snapshot that is to be compared, and the WAL up to there."""
        self.bench.pgstrata.restore(self.server.data, False)

    def replay(self):
        """To the end of the source's WAL, then stops: seconds in all, and those that PostgreSQL counts as replay."""
        machine = self.bench.machine
        for segment in sorted((self.bench.source.data / "pg_wal").glob("????????????????????????")):
            machine.copy(segment, self.server.data / "pg_wal" / segment.name)
        self.log.unlink(missing_ok=True)
        machine.settle()
        begun = time.monotonic()
        targets = " ".join(f"-c recovery_target{kind}=" for kind in ("", "_time", "_lsn", "_xid", "_name"))
        self.server.start(f"{self.settings} {targets} -c archive_mode=off -c restore_command=false")
        self._wait_until_open()
        self.server.stop()
        return time.monotonic() - begun, replayed_in(machine, self.log)

    def _wait_until_open(self):
        while True:
            try:
                self.server.query("select 1")
                return
            except Failed:  # no hot standby, as in a roll
                time.sleep(0.05)

    def close(self):
        """It is gone."""
        self.bench.machine.remove(self.server.data)


def replayed_in(machine, log):
    """Seconds that PostgreSQL says the last recovery's replay took; 0 when there was nothing to replay."""
    found = re.findall(r"redo done at .* elapsed: ([\d.]+) s", machine.output(["cat", log]))
    return float(found[-1]) if found else 0.0


def source_of_size(bench, size_gb, loaded):
    """A running copy of the loaded cluster."""
    data = bench.machine.work / "source"
    say(f"{size_gb:g} GB: a source with {bench.wal_gb:g} GB of WAL")
    bench.machine.copy(loaded, data)
    bench.source.start()
    return bench.source
