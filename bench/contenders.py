"""Those who are compared: pgstrata, pgBackRest and PostgreSQL's own programs, each on the same source."""

import shutil

from machine import tree_bytes

CLUSTER = "bench"


class Pgstrata:
    """Encrypted, with a key file, as `init` makes it when nothing else is asked for."""

    label = "pgstrata"
    slot = f"pgstrata_{CLUSTER}"  # as `add` names it

    def __init__(self, machine, source, program):
        self.machine = machine
        self.source = source
        self.repository = machine.work / "pgstrata-repository"
        self.key_file = machine.work / "pgstrata.key"
        # In the work folder, where the account can run it wherever the checkout is.
        self.program = machine.work / "pgstrata"
        if program.resolve() != self.program.resolve():
            shutil.copy(program, self.program)
        self.program.chmod(0o755)
        self.env = {"PGSTRATA_REPO": str(self.repository), "PGSTRATA_KEY_FILE": str(self.key_file)}

    def fresh(self):
        """An empty repository with the source registered in it."""
        self.machine.remove(self.repository)
        self.begin()

    def begin(self):
        """The same where there is nothing."""
        self.machine.remove(self.key_file)
        self.source.drop_slot(self.slot)
        self.machine.run([self.program, "init", "--repo", self.repository, "--key-file", self.key_file], "pgstrata-init",
                         self.env)
        self.machine.run([self.program, "add", CLUSTER, "--url", self.source.url], "pgstrata-add", self.env)

    def backup(self):
        """A base backup, and the WAL that it needs."""
        return self.machine.run([self.program, "backup", CLUSTER, "--base"], "pgstrata-backup", self.env)

    def backup_changes(self):
        """A rolled snapshot, from WAL alone."""
        return self.machine.run([self.program, "backup", CLUSTER], "pgstrata-roll", self.env)

    def restore(self, target, delta):
        """The last snapshot, complete and durable but not started."""
        flags = ["--delta"] if delta else []
        return self.machine.run([self.program, "restore", CLUSTER, "--to", target, *flags], "pgstrata-restore", self.env)

    def restore_at(self, target, at):
        """Ready to recover to a moment."""
        return self.machine.run([self.program, "restore", CLUSTER, "--to", target, "--at", at], "pgstrata-restore", self.env)

    def stored_bytes(self):
        """Size of the repository."""
        return tree_bytes(self.repository)

    def stream_command(self, synchronous):  # pylint: disable=unused-argument
        """What receives WAL. It is always fit to be a synchronous standby."""
        return [self.program, "stream", CLUSTER]

    def until_command(self, lsn):
        """The same, up to an LSN."""
        return [self.program, "stream", CLUSTER, "--until-lsn", lsn]


class PgBackRest:
    """zst level 1, two processes, bundles and block maps; no encryption."""

    label = "pgBackRest"

    def __init__(self, machine, source):
        self.machine = machine
        self.source = source
        self.repository = machine.work / "pgbackrest-repository"
        self.spool = machine.work / "pgbackrest-spool"
        self.lock = machine.work / "pgbackrest-lock"
        self.config = machine.work / "pgbackrest.conf"
        self.config.write_text(f"""[global]
repo1-path={self.repository}
repo1-bundle=y
repo1-block=y
repo1-retention-full=9
compress-type=zst
compress-level=1
process-max=2
start-fast=y
spool-path={self.spool}
lock-path={self.lock}
log-level-console=warn
log-level-file=off

[{CLUSTER}]
pg1-path={source.data}
pg1-port={source.port}
pg1-socket-path={machine.work}
pg1-user=postgres
pg1-database=postgres
""", encoding="utf-8")
        self.config.chmod(0o644)

    def _command(self, verb, *flags):
        # 2.45 has block maps as a beta feature.
        return ["pgbackrest", f"--config={self.config}", f"--stanza={CLUSTER}", "--beta", *flags, verb]

    def archive_command(self, asynchronous):
        """For the source's setting of that name."""
        flags = ["--archive-async"] if asynchronous else []
        return " ".join(self._command("archive-push", *flags)) + " %p"

    def fresh(self):
        """An empty repository with the source registered in it."""
        self.machine.remove(self.repository, self.spool)
        for path in (self.repository, self.spool, self.lock):
            self.machine.folder(path)
        self.machine.run(self._command("stanza-create"), "pgbackrest-stanza-create")

    def backup(self):
        """A full backup, and the WAL that it needs."""
        return self.machine.run(self._command("backup", "--type=full"), "pgbackrest-backup")

    def backup_changes(self):
        """A block-incremental backup: what is not in the last one."""
        return self.machine.run(self._command("backup", "--type=incr"), "pgbackrest-incr")

    def restore(self, target, delta):
        """The last backup, complete and durable but not started."""
        flags = ["--delta"] if delta else []
        return self.machine.run(self._command("restore", f"--pg1-path={target}", *flags), "pgbackrest-restore")

    def restore_at(self, target, at):
        """Ready to recover to a moment; WAL comes by asynchronous archive-get."""
        self.machine.remove(self.spool)  # of the last time
        for path in (target, self.spool):
            self.machine.folder(path)
        fetch = " ".join(self._command("archive-get", "--archive-async", f"--pg1-path={target}")) + ' %f "%p"'
        return self.machine.run(
            self._command("restore", f"--pg1-path={target}", "--type=time", f"--target={at}", "--target-action=promote",
                          f"--recovery-option=restore_command={fetch}"), "pgbackrest-restore")

    def stored_bytes(self):
        """Size of the repository."""
        return tree_bytes(self.repository)


class PgBaseBackup:
    """Compressed tar files, by two threads in the server."""

    label = "pg_basebackup"

    def __init__(self, machine, source):
        self.machine = machine
        self.source = source
        self.target = machine.work / "pg_basebackup"

    def fresh(self):
        """Nothing there."""
        self.machine.remove(self.target)

    def backup(self):
        """A base backup, and the WAL that it needs."""
        command = [self.source.program("pg_basebackup"), "-D", self.target, "-Ft", "--checkpoint=fast",
                   "--compress=server-zstd:level=1,workers=2"]
        return self.machine.run(command, "pg_basebackup", self.source.env)

    def stored_bytes(self):
        """Size of the tar files."""
        return tree_bytes(self.target)


class PgReceivewal:
    """Writes WAL as it comes, uncompressed; flushes at the end of a segment, or always when synchronous."""

    label = "pg_receivewal"
    slot = "receivewal"

    def __init__(self, machine, source):
        self.machine = machine
        self.source = source
        self.env = source.env
        self.target = machine.work / "pg_receivewal"

    def fresh(self):
        """An empty folder, and a slot."""
        self.machine.remove(self.target)
        self.machine.folder(self.target)
        self.source.drop_slot(self.slot)
        self.source.query(f"select pg_create_physical_replication_slot('{self.slot}', true)")

    def stream_command(self, synchronous):
        """What receives WAL."""
        flags = ["--synchronous"] if synchronous else []
        return [self.source.program("pg_receivewal"), "-D", self.target, "--slot", self.slot, "--no-loop", *flags]

    def until_command(self, lsn):
        """The same, up to an LSN that ends a segment; pg_receivewal stops beyond the one it is given."""
        high, low = (int(half, 16) for half in lsn.split("/"))
        before = (high << 32) + low - 8
        return self.stream_command(False) + ["--endpos", f"{before >> 32:X}/{before & 0xFFFFFFFF:X}"]
