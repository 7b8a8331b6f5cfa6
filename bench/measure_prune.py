"""Prune of a repository of many snapshots: how long it takes, and in how much memory. No peer does the same; the limits are absolute."""

import pathlib
import re
import shutil
import subprocess

from machine import say
from report import Absolute, Figure

SNAPSHOTS_AT_S100 = 2000
CHUNKS_AT_S100 = 1_000_000
MEMORY = pathlib.Path("/dev/shm/pgstrata-bench-prune")
# Half of the snapshots are older than the window; of each day one stays.
POLICY = '[retention]\nwindow = "40d"\ndaily = "1y"\n'


def prune(bench, repository, config):
    """Seconds and bytes."""
    command = ["/usr/bin/time", "-f", "%e s %M kB", bench.pgstrata.program, "prune", "app", "--repo", repository, "--no-encryption",
               "--config", config]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, kilobytes = re.search(r"([0-9.]+) s ([0-9]+) kB", done.stderr).groups()
    return float(seconds), int(kilobytes) << 10


def measure(bench):
    """Rows of the table."""
    small = bench.scale < 100
    snapshots, chunks = (200, 110_000) if small else (SNAPSHOTS_AT_S100, CHUNKS_AT_S100)
    shutil.rmtree(MEMORY, ignore_errors=True)
    MEMORY.mkdir()
    try:
        say(f"making {snapshots} snapshots of {chunks} chunks")
        subprocess.run([bench.helper("pruned_repository"), MEMORY / "made", str(snapshots), str(chunks)], check=True)
        config = MEMORY / "policy.toml"
        config.write_text(POLICY, encoding="utf-8")
        times, sizes = [], []
        for run in range(bench.runs):
            shutil.copytree(MEMORY / "made", MEMORY / f"run{run}")
            seconds, size = prune(bench, MEMORY / f"run{run}", config)
            say(f"prune: {seconds:.1f} s, {size >> 20} MiB")
            times.append(seconds)
            sizes.append(size)
            shutil.rmtree(MEMORY / f"run{run}")
    finally:
        shutil.rmtree(MEMORY, ignore_errors=True)
    what = f"prune of {snapshots} snapshots, {chunks} chunks"
    return [Absolute(f"{what}: time", "s", Figure(times), at_most=60),
            Absolute(f"{what}: peak memory", "MiB", Figure(sizes), at_most=512 << 20)]
