"""Base backups: wall time, size, and the CPU that they take from the source and elsewhere."""

from contenders import PgBackRest, PgBaseBackup
from machine import say, server_cpu_s
from report import Absolute, Comparison, Figure


def one(bench, contender):
    """One backup into an empty repository."""
    source = bench.source
    archive = contender.archive_command(False) if isinstance(contender, PgBackRest) else "/bin/true"
    source.set(archive_command=archive)
    contender.fresh()
    source.query("checkpoint")
    bench.machine.settle()
    before = server_cpu_s(source.pid())
    usage = contender.backup()
    server_s = server_cpu_s(source.pid()) - before
    # pgBackRest's own processes read and compress on the source; the others' may be anywhere.
    on_source_s = server_s + (usage.cpu_s if isinstance(contender, PgBackRest) else 0)
    stored = contender.stored_bytes()
    say(f"  {contender.label}: {usage.wall_s:.2f} s, {stored / 1e6:.0f} MB, CPU {server_s:.2f} s server + "
        f"{usage.cpu_s:.2f} s client, peak {usage.peak_rss_bytes >> 20} MiB")
    return {"wall": usage.wall_s, "stored": stored, "on_source": on_source_s, "client": usage.cpu_s,
            "all": server_s + usage.cpu_s, "rss": usage.peak_rss_bytes}


def measure(bench):
    """Rows of the table."""
    peers = [bench.pgbackrest, PgBaseBackup(bench.machine, bench.source)]
    runs = bench.alternate("base backup", [bench.pgstrata, *peers], lambda contender: one(bench, contender))

    def figure(label, key):
        return Figure([run[key] for run in runs[label]])

    def against(peer, what, unit, key, at_most=None):
        return Comparison(f"base backup, {what}", unit, figure("pgstrata", key), figure(peer, key), peer, at_most)

    bench.machine.remove(peers[1].target)
    return [
        against("pgBackRest", "wall", "s", "wall", 0.9),
        against("pg_basebackup", "wall", "s", "wall"),
        against("pgBackRest", "stored", "MB", "stored", 1.05),
        against("pg_basebackup", "stored", "MB", "stored"),
        against("pgBackRest", "CPU on the source", "s", "on_source", 0.25),
        against("pg_basebackup", "CPU on the source", "s", "on_source"),
        against("pgBackRest", "CPU in all", "s", "all"),
        Absolute("base backup, pgstrata's own CPU", "s", figure("pgstrata", "client")),
        Absolute("base backup, peak memory", "MiB", figure("pgstrata", "rss"), at_most=256 << 20),
        against("pgBackRest", "peak memory of the largest process", "MiB", "rss"),
    ]
