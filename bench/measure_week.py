"""How large repositories are after a week of a database in use: hourly rolled snapshots against a full and daily incrementals.

The clock is simulated, so that ages are those of a week. Both keep all of the week's WAL.
"""

import calendar
import datetime
import json
import os
import time
from pathlib import Path

from contenders import CLUSTER
from false_clock import FalseClock
from machine import Failed, say, tree_bytes
from report import Absolute, Comparison, Figure
from source import load

HOUR_S = 3600
HOURS_AT_S100 = 168
DATA_SCALE_AT_S100 = 20
KEEP_ALL = '[retention]\nwindow = "7d"\ndaily = "30d"\n'
KEEP_LESS = '[retention]\nwindow = "1d"\ndaily = "30d"\n'
TRANSACTIONS_PER_S = 1500  # an hour's WAL does not come within an instant, either
FOLDER = Path(__file__).parent


def load_of_hour(hour):
    """What is done in it: much by day, less in the evening and at week-ends, little at night."""
    day, of_day = divmod(hour, 24)
    busy = 1.0 if 7 <= of_day < 19 else 0.4 if 19 <= of_day < 23 else 0.1
    if day % 7 >= 5:
        busy *= 0.5
    return {"transactions": int(4000 * busy), "docs": int(150 * busy), "edits": int(60 * busy), "events": int(3000 * busy),
            "deleted": 30_000 if of_day == 2 else 0, "campaign": int(of_day == 3 and day in (1, 4))}


class Week:
    """A source that lives through it, and what both make of it."""

    def __init__(self, bench, clock, hours, scale):
        self.bench = bench
        self.machine = bench.machine
        self.source = bench.source
        self.clock = clock
        self.hours = hours
        self.scale = scale
        self.wal_bytes = 0
        script = self.machine.work / "week.pgbench"  # where the account can read it wherever the checkout is
        script.write_text((FOLDER / "week.pgbench").read_text(encoding="utf-8"), encoding="utf-8")
        script.chmod(0o644)
        self.script = script
        self.changes = (FOLDER / "week.sql").read_text(encoding="utf-8")
        self.state = {"PGSTRATA_STATE_DIR": str(self.machine.folder(self.machine.work / "state"))}
        # The next Monday, so that no file is younger than the clock.
        today = datetime.datetime.now(datetime.timezone.utc).date()
        self.begin = calendar.timegm((today + datetime.timedelta(days=7 - today.weekday())).timetuple())

    def pgstrata(self, name, *words):
        """A command of it; gives its answer."""
        env = {**self.bench.pgstrata.env, **self.state}
        try:
            return json.loads(self.machine.output([self.bench.pgstrata.program, *words, "--output", "json"], env))
        except Failed as error:
            raise Failed(f"{name}: {error}") from error

    def live(self):
        """From the first base backups to the last prune."""
        self.clock.set(self.begin)
        self.clock.stamp(self.source.data)
        self.bench.pgbackrest.fresh()
        self.source.set(archive_command=self.bench.pgbackrest.archive_command(False), synchronous_commit="off")
        self.bench.pgstrata.fresh()
        self.bench.pgbackrest.backup()
        self.bench.pgstrata.backup()
        first = self.source.query("select pg_current_wal_lsn()")
        begun = time.monotonic()
        stream = self.machine.spawn(self.bench.pgstrata.stream_command(False), "week-stream", self.bench.pgstrata.env)
        try:
            for hour in range(self.hours):
                self._one_hour(hour, stream)
            last = self.source.query("select pg_walfile_name(pg_switch_wal())")
            self._wait(f"select coalesce(last_archived_wal, '') >= '{last}' from pg_stat_archiver", stream)
            self._wait_received(stream)
            self.wal_bytes = int(self.source.query(f"select pg_current_wal_lsn() - '{first}'"))
        finally:
            stream.terminate()
            self.machine.finish(stream, "week-stream", begun, expected=(0, 130, 143, -15))

    def _one_hour(self, hour, stream):
        begun = time.monotonic()
        now = self.begin + hour * HOUR_S
        self.clock.set(now + 60)
        todo = load_of_hour(hour)
        transactions = max(1, todo.pop("transactions") * self.scale // DATA_SCALE_AT_S100)
        self.source.pgbench("-n", "-f", str(self.script), "-s", str(self.scale), "-c", "4", "-t", str(max(1, transactions // 4)),
                            "-R", str(TRANSACTIONS_PER_S), f"--random-seed={hour + 1}")
        for name in ("docs", "edits", "events", "deleted"):
            todo[name] = todo[name] * self.scale // DATA_SCALE_AT_S100
        variables = [word for name, value in todo.items() for word in ("-v", f"{name}={value}")]
        self.machine.output([self.source.program("psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", "-v", f"hour={hour}", *variables],
                            self.source.env, self.changes)
        self.clock.set(now + HOUR_S)
        self.source.query("checkpoint")
        self._wait_received(stream)
        changed_s = time.monotonic() - begun
        made = self.pgstrata("roll", "backup", CLUSTER)
        if not made["made"]:
            raise Failed(f"hour {hour}: no snapshot was made")
        self.clock.stamp(self.bench.pgstrata.repository)
        if (hour + 1) % 24 == 0:
            self.prune(KEEP_ALL)
            if hour + 1 < HOURS_AT_S100:  # then it is time for the next full one
                self.clock.stamp(self.source.data)
                self.bench.pgbackrest.backup_changes()
        if (hour + 1) % 6 == 0:
            say(f"  hour {hour + 1}: {changed_s:.1f} s of changes, {time.monotonic() - begun:.1f} s in all; pgstrata "
                f"{self.bench.pgstrata.stored_bytes() / 1e6:.0f} MB, pgBackRest {self.bench.pgbackrest.stored_bytes() / 1e6:.0f} MB; "
                f"load {os.getloadavg()[0]:.1f}")

    def _wait_received(self, stream):
        self._wait("select coalesce(bool_or(flush_lsn >= pg_current_wal_lsn()), false) from pg_stat_replication "
                   f"join pg_replication_slots on active_pid = pid where slot_name = '{self.bench.pgstrata.slot}'", stream)

    def _wait(self, question, stream):
        deadline = time.monotonic() + 120
        while self.source.query(question) != "t":
            if self.machine.ended(stream):
                raise Failed("`stream` has ended: logs/week-stream.log")
            if time.monotonic() > deadline:
                raise Failed(f"not within 120 s: {question}")
            time.sleep(0.05)

    def prune(self, policy):
        """By a policy; gives how many snapshots there are then."""
        config = self.machine.work / "week.toml"
        config.write_text(policy, encoding="utf-8")
        config.chmod(0o644)
        self.pgstrata("prune", "prune", CLUSTER, "--config", str(config))
        self.clock.stamp(self.bench.pgstrata.repository)

    def snapshots(self):
        """How many can be opened."""
        return len(self.pgstrata("list", "snapshot", "list", CLUSTER)["snapshots"])


def split(folder):
    """Bytes of each folder right below it."""
    return {path.name: tree_bytes(path) if path.is_dir() else path.stat().st_size for path in sorted(folder.iterdir())
            if not path.is_symlink()}


def of_pgstrata(bench):
    """WAL, and everything else."""
    parts = split(bench.pgstrata.repository / "clusters" / CLUSTER)
    say("  pgstrata: " + ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in parts.items()))
    wal = parts["wal"]
    return wal, bench.pgstrata.stored_bytes() - wal


def of_pgbackrest(bench):
    """Likewise."""
    backups = split(bench.pgbackrest.repository / "backup" / CLUSTER)
    say("  pgBackRest: " + ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in backups.items()))
    wal = tree_bytes(bench.pgbackrest.repository / "archive")
    return wal, bench.pgbackrest.stored_bytes() - wal


def measure(bench):
    """Rows of the table."""
    small = bench.scale < 100
    hours = max(3, HOURS_AT_S100 * bench.scale // 100) if small else HOURS_AT_S100
    scale = max(1, DATA_SCALE_AT_S100 * bench.scale // 100) if small else DATA_SCALE_AT_S100
    loaded = load(bench.machine, scale, bench.port, bench.fresh)
    bench.machine.copy(loaded, bench.source.data)
    say(f"{hours} hours of s{scale}, {tree_bytes(loaded / 'base') / 1e6:.0f} MB")
    with FalseClock(bench.machine.work) as clock:
        week = Week(bench, clock, hours, scale)
        clock.set(week.begin)
        bench.source.start()
        try:
            week.live()
            size_mb = int(bench.source.query("select sum(pg_database_size(oid)) from pg_database")) / 1e6
        finally:
            bench.source.stop()
        points = week.snapshots()
        ours_wal, ours = of_pgstrata(bench)
        peer_wal, peer = of_pgbackrest(bench)
        say("keeping less")
        week.prune(KEEP_LESS)
        week.prune(KEEP_LESS)  # what the first may have left
        fewer = week.snapshots()
        less_wal, less = of_pgstrata(bench)
    backups = 1 + sum(1 for hour in range(1, hours + 1) if hour % 24 == 0 and hour < HOURS_AT_S100)

    def against(what, mine, other, at_most=None):
        return Comparison(what, "MB", Figure([mine]), Figure([other]), f"pgBackRest, {backups} backups", at_most)

    what = f"repository after {hours} simulated hours, {size_mb:.0f} MB of data, {week.wal_bytes / 1e6:.0f} MB of WAL"
    return [
        against(f"{what}; {points} snapshots", ours + ours_wal, peer + peer_wal, 1.0),
        against("of that, backups", ours, peer),
        against("of that, WAL", ours_wal, peer_wal),
        against(f"the same, window of a day; {fewer} snapshots", less + less_wal, peer + peer_wal),
        Absolute("of that, WAL", "MB", Figure([less_wal])),
    ]
