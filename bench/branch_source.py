"""A source whose past can be opened: two snapshots, WAL between and after them, and those who open a moment of it."""

import datetime
import json
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
    """What can be opened: `early` just before the second snapshot, anything from `late` to `end` after it."""

    def __init__(self, bench, source, wal_bytes):
        self.bench = bench
        self.source = source
        bench.pgbackrest.fresh()
        source.set(archive_command=bench.pgbackrest.archive_command(True))
        bench.pgstrata.fresh()
        bench.pgbackrest.backup()
        bench.pgstrata.backup()
        self.begin_lsn = source.query("select pg_current_wal_lsn()")
        command = bench.pgstrata.stream_command(False)
        stream = bench.machine.spawn(command, "branch-stream", bench.pgstrata.env)
        begun = time.monotonic()
        try:
            self._write_until(wal_bytes * (1 - LAST_PART))
            self.early = self._moment()
            # Until `pgstrata backup` rolls: a snapshot that reads the source.
            bench.pgstrata.backup()
            self.late = self._moment()
            self._write_until(wal_bytes)
            self.end = self._moment()
            self.wal_bytes = self._written()
            self._switch_and_wait()
        finally:
            stream.terminate()
            bench.machine.finish(stream, "branch-stream", begun, expected=(0, 130, 143, -15))
            source.set(archive_command="/bin/true")

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

    def _written(self):
        return int(self.source.query(f"select pg_current_wal_lsn() - '{self.begin_lsn}'"))

    def _write_until(self, wal_bytes):
        """As through a day: a checkpoint now and then, after which each changed page is written whole."""
        self.source.set(synchronous_commit="off")
        while self._written() < wal_bytes:
            self.source.query("checkpoint")
            self.source.pgbench("-n", "-N", "-c", "4", "-t", "2500")
        self.source.set(synchronous_commit="on")

    def _switch_and_wait(self):
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


def source_of_size(bench, size_gb, loaded):
    """A running copy of the loaded cluster."""
    data = bench.machine.work / "source"
    say(f"{size_gb:g} GB: a source with {bench.wal_gb:g} GB of WAL")
    bench.machine.copy(loaded, data)
    bench.source.start()
    return bench.source
