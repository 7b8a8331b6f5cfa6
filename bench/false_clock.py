"""A wall clock that the bench sets, for real programs: libfaketime, told through a file. What they measure and wait by stays true."""

import os
import time
from pathlib import Path

from machine import Failed

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")  # Debian's


class FalseClock:
    """Holds for everything that is started while it is open, as a context manager."""

    def __init__(self, folder):
        if not LIBRARY.exists():
            raise Failed(f"{LIBRARY} is missing: scripts/install-packages test")
        self.file = folder / "clock"
        # The times of files stay as they are on the disk; `stamp` sets them.
        self.env = {"LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
        self.offset = 0
        self.stamped = {}

    def __enter__(self):
        os.environ.update(self.env)
        return self

    def __exit__(self, *_):
        for name in self.env:
            os.environ.pop(name, None)

    def now(self):
        """Seconds since 1970."""
        return time.time() + self.offset

    def set(self, seconds):
        """It is so late from now on. Replaced as a whole: a reader never sees half of it."""
        self.offset = round(seconds - time.time())
        following = self.file.with_suffix(".next")
        following.write_text(f"{self.offset:+d}\n", encoding="ascii")
        following.chmod(0o644)
        following.rename(self.file)

    def stamp(self, folder):
        """Files below it that have changed since the last time get the false clock's time."""
        now_ns = int(self.now()) * 10**9
        for parent, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(parent, name)
                try:
                    if os.lstat(path).st_mtime_ns != self.stamped.get(path):
                        os.utime(path, ns=(now_ns, now_ns), follow_symlinks=False)
                        self.stamped[path] = now_ns
                except FileNotFoundError:  # a server or a stream has just removed it
                    pass
