"""What receiving WAL costs the source's clients, and how long a commit waits until it is durable elsewhere."""

import os
import signal
import threading
import time

from contenders import PgReceivewal
from machine import Failed, say
from report import Absolute, Comparison, Figure
from source import Monitor

SAMPLE_S = 0.2
CLIENTS = 4
LAG = """select coalesce(extract(epoch from flush_lag), 0), pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn)
from pg_stat_replication where application_name = '{name}'"""


class Alone:
    """No receiver at all."""

    label = "alone"


class Sampler(threading.Thread):
    """Asks the source every 0.2 s how far behind the receiver's durable WAL is."""

    def __init__(self, source, name):
        super().__init__(daemon=True)
        self.monitor = Monitor(source)
        self.question = LAG.format(name=name).replace("\n", " ")
        self.over = threading.Event()
        self.lag_s = []
        self.lag_bytes = []
        self.missing = 0

    def run(self):
        while not self.over.wait(SAMPLE_S):
            row = self.monitor.ask(self.question)
            if row and row[1]:
                self.lag_s.append(float(row[0]))
                self.lag_bytes.append(int(row[1]))
            else:
                self.missing += 1

    def stop(self):
        """No more samples."""
        self.over.set()
        self.join()
        self.monitor.close()


def wait_for_stream(bench, process, name):
    """Until the receiver has caught up."""
    deadline = time.monotonic() + 60
    question = f"select count(*) from pg_stat_replication where application_name = '{name}' and state = 'streaming'"
    while bench.source.query(question) != "1":
        if bench.machine.ended(process) or time.monotonic() > deadline:
            raise Failed(f"{name} does not stream; see its log")
        time.sleep(0.1)


def pgbench_tps(bench):
    """Four clients, the script that resembles TPC-B."""
    printed = bench.source.pgbench("-n", "-c", str(CLIENTS), "-j", "1", "-T", str(bench.seconds))
    for line in printed.splitlines():
        if line.startswith("tps = "):
            return float(line.split()[2])
    raise Failed("pgbench printed no tps")


def one(bench, contender, synchronous):
    """pgbench once beside a receiver."""
    source = bench.source
    # Equal conditions: no WAL to catch up, and full-page images from the start.
    source.query("checkpoint")
    if isinstance(contender, Alone):
        bench.machine.settle()
        tps = pgbench_tps(bench)
        say(f"  alone: {tps:,.0f} TPS")
        return {"tps": tps}
    contender.fresh()
    if synchronous:
        # Before the receiver comes: pgstrata looks at this when it connects.
        source.set(synchronous_standby_names=contender.label)
    bench.machine.settle()
    begun = time.monotonic()
    process = bench.machine.spawn(contender.stream_command(synchronous), f"{contender.label}-stream",
                                  contender.env)
    sampler = None
    try:
        wait_for_stream(bench, process, contender.label)
        sampler = Sampler(source, contender.label)
        sampler.start()
        start_bytes = int(source.query("select pg_current_wal_lsn() - '0/0'"))
        tps = pgbench_tps(bench)
        wal_bytes = int(source.query("select pg_current_wal_lsn() - '0/0'")) - start_bytes
    finally:
        if synchronous:
            source.set(synchronous_standby_names="")
        if sampler:
            sampler.stop()
        os.kill(process.pid, signal.SIGINT)
        usage = bench.machine.finish(process, f"{contender.label}-stream", begun, expected=(0, -signal.SIGINT, 130))
    say(f"  {contender.label}: {tps:,.0f} TPS, {wal_bytes / 1e6 / bench.seconds:.0f} MB/s of WAL, lag at most "
        f"{max(sampler.lag_s, default=0):.3f} s and {max(sampler.lag_bytes, default=0) / 1e6:.1f} MB in {len(sampler.lag_s)} "
        f"samples ({sampler.missing} missing), CPU {usage.cpu_s:.1f} s, peak {usage.peak_rss_bytes >> 20} MiB")
    return {"tps": tps, "lag": max(sampler.lag_s, default=float("inf")), "rss": usage.peak_rss_bytes, "cpu": usage.cpu_s,
            "wal": wal_bytes}


def rows(bench, synchronous):
    """The runs, as figures by contender and kind."""
    peers = [Alone(), bench.pgstrata, PgReceivewal(bench.machine, bench.source)]
    title = "pgbench with a synchronous receiver" if synchronous else "pgbench with a receiver"
    runs = bench.alternate(title, peers, lambda contender: one(bench, contender, synchronous))
    bench.machine.remove(peers[2].target)
    return lambda label, key: Figure([run[key] for run in runs[label]])


def measure(bench):
    """Rows of the table, asynchronous."""
    figure = rows(bench, synchronous=False)
    ours = figure("pgstrata", "tps")
    return [
        Comparison("pgbench with `stream`", "TPS", ours, figure("alone", "tps"), "alone", at_least=0.9),
        Comparison("pgbench with `stream`", "TPS", ours, figure("pg_receivewal", "tps"), "pg_receivewal"),
        Absolute("durable lag, worst sample", "s", figure("pgstrata", "lag"), at_most=1.0),
        Comparison("CPU of the receiver", "s", figure("pgstrata", "cpu"), figure("pg_receivewal", "cpu"), "pg_receivewal"),
        Absolute("`stream`, peak memory", "MiB", figure("pgstrata", "rss"), at_most=256 << 20),
    ]


def measure_synchronous(bench):
    """Rows of the table, with synchronous_standby_names."""
    figure = rows(bench, synchronous=True)
    ours = figure("pgstrata", "tps")
    return [
        Comparison("pgbench with synchronous `stream`", "TPS", ours, figure("pg_receivewal", "tps"),
                   "pg_receivewal --synchronous", at_least=1.0),
        Comparison("pgbench with synchronous `stream`", "TPS", ours, figure("alone", "tps"), "alone"),
        Absolute("durable lag, synchronous, worst sample", "s", figure("pgstrata", "lag"), at_most=1.0),
    ]
