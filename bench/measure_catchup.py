"""Catching up: WAL of 80 segments waits on the source, the receiver comes back. Everyone gets the same WAL."""

import os
import time

from contenders import PgReceivewal
from machine import Failed, say
from report import Comparison, Figure

MOST_SEGMENTS = 80
SEGMENT_BYTES = 16 << 20
# Keeps the WAL for all runs. Each run's slot is a copy of it.
HOLD = "hold"


class Backlog:
    """The WAL that waits: its segments, in order, and where it ends."""

    def __init__(self, bench):
        self.source = bench.source
        self.segments = min(MOST_SEGMENTS, 8 * bench.scale)
        self.source.set(archive_command="")
        self.source.query("select pg_switch_wal()")
        self.source.query("checkpoint")  # where a slot begins
        self.source.query(f"select pg_create_physical_replication_slot('{HOLD}', true)")
        begin = self.source.query(f"select restart_lsn from pg_replication_slots where slot_name = '{HOLD}'")
        say(f"making {self.segments} segments of WAL from {begin}")
        written = 0
        while written < self.segments * SEGMENT_BYTES:
            self.source.query("checkpoint")  # then every page changed is written whole again
            self.source.pgbench("-n", "-N", "-c", "4", "-t", "5000")
            written = int(self.source.query(f"select pg_current_wal_lsn() - '{begin}'"))
        first = self.source.query(f"select pg_walfile_name('{begin}')")
        # The same number for everyone, wherever pgbench has stopped.
        self.end_lsn = self.source.query(
            f"select pg_lsn '0/0' + {SEGMENT_BYTES} * "
            f"(trunc((pg_lsn '{begin}' - '0/0') / {SEGMENT_BYTES}) + {self.segments})")
        self.source.query("select pg_switch_wal()")
        wal = self.source.data / "pg_wal"
        self.names = sorted(name for name in os.listdir(wal) if len(name) == 24 and name >= first)[:self.segments]
        if len(self.names) != self.segments:
            raise Failed(f"{len(self.names)} segments wait instead of {self.segments}")

    def give_slot(self, name):
        """Makes a slot whose receiver begins where the backlog does."""
        self.source.drop_slot(name)
        self.source.query(f"select pg_copy_physical_replication_slot('{HOLD}', '{name}')")

    def mark_waiting(self):
        """As if the archiver had seen none of it."""
        status = self.source.data / "pg_wal" / "archive_status"
        for name in self.names:
            done, ready = status / f"{name}.done", status / f"{name}.ready"
            if done.exists():
                done.rename(ready)
        # Only these wait: what came before or after is nobody's.
        for name in os.listdir(status):
            if name.endswith(".ready") and name.removesuffix(".ready") not in self.names:
                (status / name).rename(status / (name.removesuffix(".ready") + ".done"))

    def waiting(self):
        """How many the archiver has not told to be safe."""
        status = self.source.data / "pg_wal" / "archive_status"
        return sum((status / f"{name}.ready").exists() for name in self.names)


def receive(bench, backlog, contender):
    """A receiver by replication protocol, from its start to its end."""
    contender.fresh()
    backlog.give_slot(contender.slot)
    bench.machine.settle()
    command = contender.until_command(backlog.end_lsn)
    usage = bench.machine.run(command, f"{contender.label}-catchup", contender.env)
    return usage.wall_s, f"CPU {usage.cpu_s:.1f} s, peak {usage.peak_rss_bytes >> 20} MiB"


def archive(bench, backlog):
    """pgBackRest, asynchronous, from the moment the archiver may call it until the last segment is told safe."""
    bench.pgbackrest.fresh()
    backlog.mark_waiting()
    bench.machine.settle()
    command = bench.pgbackrest.archive_command(True)
    bench.source.query(f"alter system set archive_command = '{command}'")
    begun = time.monotonic()
    bench.source.query("select pg_reload_conf()")
    while backlog.waiting():
        if time.monotonic() - begun > 120:
            raise Failed(f"pgBackRest: {backlog.waiting()} segments still wait after 120 s")
        time.sleep(0.01)
    wall_s = time.monotonic() - begun
    bench.source.set(archive_command="")
    return wall_s, f"stored {bench.pgbackrest.stored_bytes() / 1e6:.0f} MB"


def one(bench, backlog, contender):
    """Segments a second."""
    wall_s, remark = archive(bench, backlog) if contender is bench.pgbackrest else receive(bench, backlog, contender)
    if contender is bench.pgstrata:
        remark += f", stored {contender.stored_bytes() / 1e6:.0f} MB"
    rate = backlog.segments / wall_s
    say(f"  {contender.label}: {rate:.1f} segments/s, {remark}")
    return rate


def measure(bench):
    """Rows of the table."""
    backlog = Backlog(bench)
    receivewal = PgReceivewal(bench.machine, bench.source)
    contenders = [bench.pgstrata, bench.pgbackrest, receivewal]
    try:
        runs = bench.alternate("catching up", contenders, lambda contender: one(bench, backlog, contender))
    finally:
        bench.source.set(archive_command="/bin/true")
        bench.source.drop_slot(HOLD)
        bench.machine.remove(receivewal.target)
    figure = {label: Figure(values) for label, values in runs.items()}
    return [
        Comparison(f"catch-up of {backlog.segments} segments", "segments/s", figure["pgstrata"], figure["pgBackRest"],
                   "pgBackRest asynchronous", at_least=1.0),
        Comparison(f"catch-up of {backlog.segments} segments", "segments/s", figure["pgstrata"], figure["pg_receivewal"],
                   "pg_receivewal"),
    ]
