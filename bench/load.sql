-- What pgbench's tables lack: text and jsonb under a GIN index, and random uuid, inet and float.
-- `docs` and `events` are row counts, set by the caller.
create table docs (id bigint primary key, title text, body text, meta jsonb);
insert into docs
  select i, 'Incident ' || i || ' ' || md5(i::text), repeat(md5((i * 7)::text) || ' lorem ipsum dolor sit amet ', 6),
    jsonb_build_object('student', i % 5000, 'kind', (array['bullying', 'absence', 'injury', 'praise'])[1 + i % 4],
      'tags', jsonb_build_array(md5((i % 97)::text), md5((i % 31)::text)), 'score', random())
  from generate_series(1, :docs) i;
create index on docs using gin (meta);
create table events (id uuid primary key default gen_random_uuid(), at inet, v float8, t timestamptz);
insert into events (at, v, t)
  select ('10.' || (i % 256) || '.' || ((i / 256) % 256) || '.1')::inet, random() * 1e6, now() - i * interval '1 second'
  from generate_series(1, :events) i;
create index on events (t);
vacuum analyze;
checkpoint;
