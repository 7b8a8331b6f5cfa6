#!/bin/bash
# Makes the samples of catalogs of one PostgreSQL major, as a stopped server leaves them: the files of pg_database,
# pg_class, pg_namespace and pg_index, the map of one database, and what that server said of its tables.
#
#   make_catalog_samples.sh BIN_DIRECTORY MAJOR PSQL OUTPUT_DIRECTORY
#
# Runs as a user that may run postgres (not root). Needs zstd.
set -euo pipefail
bin=$1 major=$2 psql=$3 out=$4
work=$(mktemp -d)
trap '"$bin/pg_ctl" -D "$work/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

"$bin/initdb" -D "$work/data" --no-locale -E UTF8 -A trust -U postgres --no-sync >/dev/null
"$bin/pg_ctl" -D "$work/data" -w -l "$work/log" \
  -o "-F -k $work -c listen_addresses= -c autovacuum=off" start >/dev/null
run() { "$psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$work" -U postgres "$@"; }

run postgres <<'SQL'
CREATE DATABASE shop;
CREATE DATABASE gone;
DROP DATABASE gone;
SQL
run shop <<'SQL'
CREATE SCHEMA sales;
CREATE SCHEMA "Old Stuff";
CREATE TABLE sales.orders(id int PRIMARY KEY, note text);
INSERT INTO sales.orders SELECT i, 'order ' || i FROM generate_series(1, 5000) i;
CREATE TABLE "Old Stuff"."Ünïcode"(a int);
INSERT INTO "Old Stuff"."Ünïcode" SELECT generate_series(1, 100);
CREATE TABLE never_analyzed(a int);
CREATE TABLE dropped(a int);
CREATE TABLE parted(a int) PARTITION BY RANGE (a);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (1) TO (1000);
INSERT INTO parted SELECT generate_series(1, 500);
CREATE MATERIALIZED VIEW sales.totals AS SELECT count(*) FROM sales.orders;
CREATE VIEW a_view AS SELECT 1;
CREATE SEQUENCE a_sequence;
ANALYZE sales.orders; ANALYZE part; ANALYZE "Old Stuff"."Ünïcode"; ANALYZE sales.totals;
DROP TABLE dropped;
ALTER TABLE never_analyzed ADD COLUMN b int;
SQL
run shop -c "SELECT 1 FROM pg_class LIMIT 1" -c CHECKPOINT >/dev/null
# Schema, table, rows, OID of the table's storage where it is kept out of line.
run shop -F $'\t' -c "SELECT nspname, relname, relkind, reltuples, relfilenode, reltoastrelid FROM pg_class c
  JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relkind IN ('r', 'm') AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2" \
  > "$out/catalog_tables_$major.txt"
for catalog in pg_class pg_namespace pg_index; do
  run shop -c "SELECT pg_relation_filepath('$catalog')" > "$work/path_$catalog"
done
run shop -c "SELECT pg_relation_filepath('pg_database')" > "$work/path_pg_database"
run shop -c "SELECT 'base/' || oid || '/pg_filenode.map' FROM pg_database WHERE datname = 'shop'" > "$work/path_map"
"$bin/pg_ctl" -D "$work/data" -w -m fast stop >/dev/null

for catalog in pg_class pg_namespace pg_index pg_database; do
  zstd -q -19 -f "$work/data/$(cat "$work/path_$catalog")" -o "$out/${catalog}_$major.zst"
done
zstd -q -19 -f "$work/data/$(cat "$work/path_map")" -o "$out/database_filenode_map_$major.zst"
