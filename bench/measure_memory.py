"""Whether memory stays the same when the database is ten times as large."""

from contenders import Pgstrata
from machine import say
from report import Comparison, Figure
from source import Server, load


def peak(bench, scale):
    """Peak memory of a backup and of a restore at a scale."""
    data = bench.machine.work / f"memory-s{scale}"
    bench.machine.copy(load(bench.machine, scale, bench.port + 2, fresh=False), data)
    source = Server(bench.machine, data, bench.port + 2)
    source.start()
    try:
        pgstrata = Pgstrata(bench.machine, source, bench.pgstrata.program)
        pgstrata.fresh()
        backup = pgstrata.backup()
    finally:
        source.stop()
    target = bench.machine.work / "restored"
    bench.machine.remove(target, data)
    bench.machine.folder(target)
    restore = pgstrata.restore(target, delta=False)
    bench.machine.remove(target)
    say(f"  s{scale}: backup {backup.peak_rss_bytes >> 20} MiB, restore {restore.peak_rss_bytes >> 20} MiB")
    return backup.peak_rss_bytes, restore.peak_rss_bytes


def measure(bench):
    """Rows of the table."""
    small, large = max(1, bench.scale // 10), bench.scale
    say(f"memory at s{small} and s{large}")
    at_small, at_large = peak(bench, small), peak(bench, large)
    return [
        Comparison(f"{what}, peak memory at s{large}", "MiB", Figure([at_large[place]]), Figure([at_small[place]]),
                   f"s{small}", at_most=1.25)
        for place, what in enumerate(("base backup", "restore"))
    ]
