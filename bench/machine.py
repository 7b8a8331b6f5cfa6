"""Running things on this machine and measuring what they cost."""

import dataclasses
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
WARM_BYTES = 4 << 30


@dataclasses.dataclass
class Usage:
    """What one command cost: itself and the children it waited for."""

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int  # of its largest process


class Failed(Exception):
    """A command that had to succeed did not."""


def say(text):
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


class Machine:
    """The work folder, and the account under which servers and tools run (PostgreSQL refuses to run as root)."""

    def __init__(self, work):
        self.work = Path(work).absolute()
        self.account = "postgres" if os.geteuid() == 0 else None
        self.folder(self.work)
        self.logs = self.folder(self.work / "logs")

    def folder(self, path):
        """Makes a folder that the account may write to."""
        path.mkdir(parents=True, exist_ok=True)
        if self.account:
            entry = pwd.getpwnam(self.account)
            os.chown(path, entry.pw_uid, entry.pw_gid)
        os.chmod(path, 0o700)
        return path

    def environment(self, more):
        """For commands: messages in English, and a home that the account may look into."""
        return {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(self.work), **(more or {})}

    def spawn(self, command, name, env=None, stdin=subprocess.DEVNULL):
        """Starts a command as the account; what it prints goes to logs/NAME.log."""
        with open(self.logs / f"{name}.log", "w", encoding="utf-8") as log:
            log.write(f"$ {' '.join(map(str, command))}\n")
            log.flush()
            return subprocess.Popen(
                [str(word) for word in command], stdin=stdin, stdout=log, stderr=subprocess.STDOUT, cwd=self.work,
                env=self.environment(env), user=self.account, group=self.account,
                extra_groups=[] if self.account else None)

    def ended(self, process):
        """Whether a spawned command is over; `finish` still has to be called."""
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def finish(self, process, name, begun, expected=(0,)):
        """Waits for a spawned command. Its cost comes from the kernel, so nothing is missed between samples."""
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in expected:
            tail = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-15:]
            raise Failed(f"{name}: exit code {process.returncode}\n  " + "\n  ".join(tail))
        return Usage(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)

    def run(self, command, name, env=None):
        """Runs a command to its end."""
        begun = time.monotonic()
        return self.finish(self.spawn(command, name, env), name, begun)

    def output(self, command, env=None, text=None):
        """What a command prints on stdout."""
        done = subprocess.run(
            [str(word) for word in command], input=text, capture_output=True, text=True, cwd=self.work,
            env=self.environment(env), user=self.account, group=self.account,
            extra_groups=[] if self.account else None, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}: exit code {done.returncode}\n  {done.stderr.strip()}")
        return done.stdout.strip()

    def remove(self, *paths):
        """Removes files and folders, whether there or not."""
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def copy(self, origin, target):
        """A copy of a folder with owners and times."""
        self.remove(target)
        subprocess.run(["cp", "-a", "--reflink=auto", str(origin), str(target)], check=True)

    def settle(self):
        """Before each timed run: nothing left to write, and memory that the host has already handed over.

        Memory that a guest has freed goes back to its host, and the next touch of it is slow; whoever comes first
        would pay for that. Reading a sparse file touches it, and removing the file frees it just in time.
        """
        os.sync()
        sparse = self.work / "sparse"
        size = min(WARM_BYTES, int(available_memory_bytes() * 0.7))
        with open(sparse, "wb") as file:
            file.truncate(size)
        buffer = bytearray(1 << 20)
        with open(sparse, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
        sparse.unlink()


def available_memory_bytes():
    """What /proc/meminfo calls MemAvailable."""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    raise Failed("/proc/meminfo has no MemAvailable")


def tree_bytes(path):
    """The sum of the sizes of all files below a folder."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            total += os.lstat(os.path.join(folder, name)).st_size
    return total


def server_cpu_s(postmaster_pid):
    """CPU that a server's processes have used so far, those that have ended included."""
    total = 0
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile: its parent has its figures
        if int(name) == postmaster_pid or int(fields[1]) == postmaster_pid:
            total += sum(int(ticks) for ticks in fields[11:15])  # utime, stime, cutime, cstime
    return total / CLOCK_TICKS
