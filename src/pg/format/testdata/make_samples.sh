#!/bin/bash
# Makes the sample set of one PostgreSQL major: its pg_control, checksummed pages and a run of WAL with a known
# workload, plus the facts the tests compare against.
#
#   make_samples.sh BIN_DIRECTORY MAJOR PSQL OUTPUT_DIRECTORY
#
# Runs as a user that may run postgres (not root). Needs zstd. The facts named waldump_* come from pg_waldump where
# BIN_DIRECTORY has it.
set -euo pipefail
bin=$1 major=$2 psql=$3 out=$4
mkdir -p "$out"
work=$(mktemp -d)
trap '"$bin/pg_ctl" -D "$work/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

"$bin/initdb" -D "$work/data" --wal-segsize=1 --no-locale -E UTF8 -k -A trust -U postgres --no-sync >/dev/null
cat >> "$work/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$work'
wal_level = logical
max_prepared_transactions = 7
max_connections = 23
max_wal_senders = 5
max_worker_processes = 9
max_locks_per_transaction = 70
track_commit_timestamp = on
autovacuum = off
fsync = off
max_wal_size = 1GB
wal_keep_size = 512MB
checkpoint_timeout = 1h
log_min_messages = error
CONF
"$bin/pg_ctl" -D "$work/data" -w -o "-F" start >/dev/null
run() { "$psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$work" -U postgres postgres "$@"; }
fact() { echo "$1 $2" >> "$work/facts"; }
file_of() { run -c "SELECT (CASE reltablespace WHEN 0 THEN 1663 ELSE reltablespace END) || '/' ||
  (SELECT oid FROM pg_database WHERE datname = 'postgres') || '/' || relfilenode FROM pg_class WHERE relname = '$1'"; }

run -c "CHECKPOINT" -c "SELECT pg_switch_wal()" >/dev/null
first=$(run -c "SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
fact first_file "$first"
run -c "CREATE TABLE ledger(id int PRIMARY KEY, note text)" -c "CREATE TABLE bulk(a int, b text)"  # 2 commits
fact ledger "$(file_of ledger)"; fact bulk "$(file_of bulk)"; fact ledger_index "$(file_of ledger_pkey)"
run -c "INSERT INTO ledger SELECT i, 'row ' || i FROM generate_series(1, 500) i"                    # 3
run -c "UPDATE ledger SET note = note || '!' WHERE id <= 200"                                       # 4
run -c "DELETE FROM ledger WHERE id > 450"                                                          # 5
for i in $(seq 1000); do printf '%d\tline %d\n' "$i" "$i"; done | run -c "COPY bulk FROM STDIN"     # 6
run -c "SELECT pg_create_restore_point('before the storm')" >/dev/null
run <<'SQL'
BEGIN; INSERT INTO ledger VALUES (1001, 'prepared'); PREPARE TRANSACTION 'kept'; COMMIT PREPARED 'kept';
BEGIN; INSERT INTO ledger VALUES (1002, 'prepared'); PREPARE TRANSACTION 'dropped'; ROLLBACK PREPARED 'dropped';
BEGIN; INSERT INTO ledger VALUES (1003, 'a'); SAVEPOINT s; INSERT INTO ledger VALUES (1004, 'b'); ROLLBACK TO s;
INSERT INTO ledger VALUES (1005, 'c'); COMMIT;
BEGIN; DELETE FROM ledger WHERE id <= 10; ROLLBACK;
INSERT INTO ledger VALUES (1003, 'again') ON CONFLICT (id) DO UPDATE SET note = 'again';
INSERT INTO ledger VALUES (1006, 'new') ON CONFLICT (id) DO NOTHING;
SQL
# commits 7 (prepared), 8, 9, 10; aborts 1 (prepared), 2 (savepoint), 3
fact switched_at "$(run -c "SELECT pg_switch_wal()")"
run -c "SELECT pg_logical_emit_message(false, 'big', repeat('0123456789abcdef', 137500))" >/dev/null  # 2.2 MB, no xid
run -c "SELECT pg_logical_emit_message(true, 'small', 'm')" >/dev/null                               # 11
run -c "CREATE INDEX bulk_b ON bulk(b)"                                                              # 12
fact bulk_index "$(file_of bulk_b)"
run -c "TRUNCATE bulk"                                                                               # 13
fact bulk_oid "$(run -c "SELECT oid FROM pg_class WHERE relname = 'bulk'")"
fact bulk_after "$(file_of bulk)"
run -c "BEGIN" -c "CREATE TABLE fresh(i int)" -c "INSERT INTO fresh VALUES (1), (2)" -c "TRUNCATE fresh" -c "INSERT INTO fresh VALUES (3)" -c "COMMIT" # 14
fact fresh "$(file_of fresh)"
run -c "CHECKPOINT"
run -c "SET wal_compression = on" -c "UPDATE ledger SET note = 'compressed ' || id WHERE id <= 100"  # 15
run -c "VACUUM ledger"
strategy=""; [ "$major" -ge 15 ] && strategy="STRATEGY file_copy"
run -c "CREATE DATABASE other TEMPLATE template0 $strategy"                                          # 16
fact database "$(run -c "SELECT oid FROM pg_database WHERE datname = 'other'")"
run -c "DROP DATABASE other"                                                                         # 17
run -c "DROP TABLE bulk"                                                                             # 18
run -c "SELECT pg_create_restore_point('after the storm')" >/dev/null
fact last_file "$(run -c "SELECT pg_walfile_name(pg_current_wal_lsn())")"
fact end_lsn "$(run -c "SELECT pg_current_wal_insert_lsn()")"
run -c "SELECT pg_switch_wal()" >/dev/null
run -c "CHECKPOINT"
fact pg_class_path "$(run -c "SELECT pg_relation_filepath('pg_class')")"
# What the server says of its own control file, and the file as it then is.
fact control_system "$(run -c "SELECT pg_control_version, catalog_version_no, system_identifier FROM pg_control_system()" -F ' ')"
fact control_checkpoint "$(run -c "SELECT checkpoint_lsn, redo_lsn, timeline_id, extract(epoch FROM checkpoint_time)::bigint FROM pg_control_checkpoint()" -F ' ')"
fact control_init "$(run -c "SELECT bytes_per_wal_segment, data_page_checksum_version FROM pg_control_init()" -F ' ')"
cp "$work/data/global/pg_control" "$work/pg_control"
# The roles: pg_authid's file, and the map that names it.
for name in pg_filenode.map "$(basename "$(run -c "SELECT pg_relation_filepath('pg_authid')")")"; do
  zstd -q -19 -f "$work/data/global/$name" -o "$out/$([[ $name == *map ]] && echo filenode_map || echo pg_authid)_$major.zst"
done
if [ -x "$bin/pg_basebackup" ]; then
  "$bin/pg_basebackup" -h "$work" -U postgres -D "$work/backup" --no-sync -X none -l "a label" >/dev/null 2>&1
  cp "$work/backup/backup_label" "$out/backup_label_$major.txt"
  zstd -q -19 -f "$work/backup/backup_manifest" -o "$out/backup_manifest_$major.zst"
fi
"$bin/pg_ctl" -D "$work/data" -w -m fast stop >/dev/null

last=$(sed -n 's/^last_file //p' "$work/facts")
( cd "$work/data/pg_wal"; for f in 0*; do [[ ${#f} == 24 && ! $f < $first && ! $f > $last ]] && cat "$f"; done; true ) > "$work/wal"
zstd -q -19 -f "$work/wal" -o "$out/wal_$major.zst"
zstd -q -19 -f "$work/pg_control" -o "$out/pg_control_$major.zst"
head -c 24576 "$work/data/$(sed -n 's/^pg_class_path //p' "$work/facts")" > "$work/pages"
zstd -q -19 -f "$work/pages" -o "$out/pages_$major.zst"
if [ -x "$bin/pg_waldump" ]; then
  ( cd "$work/data/pg_wal"; "$bin/pg_waldump" "$first" "$last" 2>/dev/null || true ) > "$work/dump"
  awk '{ n[$2]++ } END { for (r in n) print "waldump_" r, n[r] }' "$work/dump" | sort >> "$work/facts"
  for op in COMMIT ABORT COMMIT_PREPARED ABORT_PREPARED; do fact "waldump_$op" "$(grep -c "desc: $op " "$work/dump")"; done
  fact waldump_full_page_images "$(grep -o ' FPW' "$work/dump" | wc -l)"
  fact waldump_first_lsn "$(head -1 "$work/dump" | sed 's/.*lsn: \([^,]*\),.*/\1/')"
  fact waldump_last_lsn "$(tail -1 "$work/dump" | sed 's/.*lsn: \([^,]*\),.*/\1/')"
  fact waldump_records "$(wc -l < "$work/dump")"
fi
cp "$work/facts" "$out/facts_$major.txt"
ls -l "$out" | grep "_$major"
