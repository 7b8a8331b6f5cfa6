"""Restores: into an empty folder, and with --delta over a copy that has gone its own way."""

from machine import say
from report import Absolute, Comparison, Figure
from source import Server

CHANGED_SHARE = 0.05
PAGE_BYTES = 8192


def diverged_copy(bench):
    """A copy of the source's directory with some 5 % of its pages changed, stopped cleanly."""
    data = bench.machine.work / "diverged"
    bench.machine.copy(bench.loaded, data)
    server = Server(bench.machine, data, bench.port + 1)
    server.start()
    try:
        pages = int(server.query("select sum(pg_database_size(oid)) from pg_database")) // PAGE_BYTES
        # Each transaction changes another page of pgbench_accounts, nearly always.
        transactions = int(pages * CHANGED_SHARE) // 4
        server.pgbench("-n", "-N", "-c", "4", "-t", str(max(1, transactions)))
    finally:
        server.stop()
    return data


def one(bench, contender, diverged):
    """One restore; over a copy of `diverged` when there is one."""
    target = bench.machine.work / "restored"
    bench.machine.remove(target)
    if diverged:
        bench.machine.copy(diverged, target)
    else:
        bench.machine.folder(target)
    bench.machine.settle()
    usage = contender.restore(target, delta=diverged is not None)
    say(f"  {contender.label}: {usage.wall_s:.2f} s, CPU {usage.cpu_s:.2f} s, peak {usage.peak_rss_bytes >> 20} MiB")
    return usage


def measure(bench):
    """Rows of the table."""
    contenders = [bench.pgstrata, bench.pgbackrest]
    for contender in contenders:
        bench.source.set(archive_command=bench.pgbackrest.archive_command(False))
        contender.fresh()
        contender.backup()
    bench.source.set(archive_command="/bin/true")
    empty = bench.alternate("restore into an empty folder", contenders, lambda each: one(bench, each, None))
    diverged = diverged_copy(bench)
    delta = bench.alternate("restore --delta over a diverged copy", contenders, lambda each: one(bench, each, diverged))
    bench.machine.remove(bench.machine.work / "restored", diverged)

    def figure(runs, label, key):
        return Figure([getattr(run, key) for run in runs[label]])

    def against(runs, what, key, at_most=None, unit="s"):
        return Comparison(what, unit, figure(runs, "pgstrata", key), figure(runs, "pgBackRest", key), "pgBackRest", at_most)

    return [
        against(empty, "restore, wall", "wall_s", 0.8),
        against(empty, "restore, CPU", "cpu_s"),
        against(delta, "restore --delta over a diverged copy, wall", "wall_s"),
        Comparison("restore --delta, wall", "s", figure(delta, "pgstrata", "wall_s"), figure(empty, "pgstrata", "wall_s"),
                   "pgstrata into an empty folder", 1.0),
        Absolute("restore, peak memory", "MiB", figure(empty, "pgstrata", "peak_rss_bytes"), at_most=256 << 20),
        Absolute("restore --delta, peak memory", "MiB", figure(delta, "pgstrata", "peak_rss_bytes"), at_most=256 << 20),
        against(empty, "restore, peak memory of the largest process", "peak_rss_bytes", unit="MiB"),
    ]
