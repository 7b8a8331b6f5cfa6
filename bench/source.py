"""The PostgreSQL server that is protected: made once per scale, copied fresh for each bench."""

import os
import subprocess
from pathlib import Path

from machine import Failed, say

SETTINGS = """
listen_addresses = ''
shared_buffers = 2GB
max_wal_size = 8GB
checkpoint_timeout = 15min
wal_level = replica
archive_mode = on
archive_command = '/bin/true'
autovacuum = off
max_connections = 50
"""


def postgres_folder():
    """Where the newest installed server's programs are."""
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if not found:
        raise Failed("no PostgreSQL server below /usr/lib/postgresql: scripts/install-packages run")
    return max(found, key=lambda path: int(path.parent.name))


# While loading, so that the copies made of the directory do not carry gigabytes of old WAL.
LITTLE_WAL = "-c wal_level=minimal -c max_wal_senders=0 -c archive_mode=off -c max_wal_size=512MB"


class Server:
    """A data directory and the server on it."""

    def __init__(self, machine, data, port):
        self.machine = machine
        self.data = data
        self.port = port
        self.programs = postgres_folder()

    @property
    def url(self):
        """For pgstrata."""
        return f"postgresql://postgres@/bench?host={self.machine.work}&port={self.port}"

    @property
    def env(self):
        """For PostgreSQL's own client programs."""
        return {"PGHOST": str(self.machine.work), "PGPORT": str(self.port), "PGUSER": "postgres",
                "PGDATABASE": "bench"}

    def program(self, name):
        """The full name of one of PostgreSQL's programs."""
        return self.programs / name

    def start(self, flags=""):
        """Starts it and waits until it answers."""
        name = f"start-{self.data.name}"
        self.machine.run([self.program("pg_ctl"), "-D", self.data, "-l", self.machine.logs / f"{self.data.name}.log", "-w",
                          "-t", "300", "-o", f"-p {self.port} -k {self.machine.work} {flags}", "start"], name)

    def stop(self):
        """Stops it cleanly when it runs."""
        if (self.data / "postmaster.pid").exists() and Path(f"/proc/{self.pid()}").exists():
            self.machine.run([self.program("pg_ctl"), "-D", self.data, "-m", "fast", "-w", "-t", "300", "stop"],
                             f"stop-{self.data.name}")

    def pid(self):
        """The postmaster's."""
        return int((self.data / "postmaster.pid").read_text(encoding="utf-8").split()[0])

    def query(self, sql):
        """What psql prints for it, fields separated by |."""
        return self.machine.output([self.program("psql"), "-qAtX", "-v", "ON_ERROR_STOP=1"], self.env, sql)

    def set(self, **settings):
        """Changes settings of the running server; they are in force when this returns."""
        for name, value in settings.items():
            self.query(f"alter system set {name} = '{value}'")
        loaded = self.query("select pg_conf_load_time()")
        self.query("select pg_reload_conf()")
        while self.query("select pg_conf_load_time()") == loaded:
            pass

    def pgbench(self, *flags):
        """Runs pgbench and gives what it prints."""
        return self.machine.output([self.program("pgbench"), *flags, "bench"], self.env)

    def drop_slot(self, name):
        """Drops a replication slot when it is there."""
        self.query(f"select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{name}'")


class Monitor:
    """One open session, for questions asked often: a new psql for each would take CPU from what is measured."""

    def __init__(self, server):
        machine = server.machine
        self.process = subprocess.Popen(
            [str(server.program("psql")), "-qAtX"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=machine.work, env={**os.environ, **server.env}, user=machine.account, group=machine.account,
            extra_groups=[] if machine.account else None)

    def ask(self, sql):
        """The one row that the question yields, as a list; empty when there is none."""
        self.process.stdin.write(f"{sql};\n\\echo end\n")
        self.process.stdin.flush()
        rows = []
        for line in self.process.stdout:
            if line.strip() == "end":
                return rows[0] if rows else []
            rows.append(line.strip().split("|"))
        raise Failed("the monitoring session ended: does the server still run?")

    def close(self):
        """Ends the session."""
        self.process.stdin.close()
        self.process.wait()


def load(machine, scale, port, fresh):
    """The loaded data directory for a scale, stopped; made when it is not there yet. Never changed afterwards."""
    done = machine.work / f"s{scale}.loaded"
    server = Server(machine, machine.work / f"s{scale}", port)
    if fresh:
        done.unlink(missing_ok=True)
    if done.exists():
        return server.data
    say(f"loading s{scale}: pgbench scale {scale}, {scale * 8000} documents, {scale * 25000} events")
    machine.remove(server.data)
    machine.run([server.program("initdb"), "-k", "-D", server.data, "-U", "postgres", "--locale=C.UTF-8", "-A", "trust"],
                "initdb")
    with open(server.data / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write(SETTINGS)
    server.start(LITTLE_WAL)
    try:
        machine.output([server.program("createdb"), "bench"], server.env)
        server.pgbench("-q", "-i", "-s", str(scale))
        script = (Path(__file__).parent / "load.sql").read_text(encoding="utf-8")
        machine.output([server.program("psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-v", f"docs={scale * 8000}", "-v",
                        f"events={scale * 25000}"], server.env, script)
    finally:
        server.stop()
    done.touch()
    return server.data
