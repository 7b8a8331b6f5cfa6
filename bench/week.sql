-- One hour of a product in use, beside pgbench: `hour` counts from the week's first; `docs` are inserted and `edits` of the
-- newest tenth changed, `events` are inserted; `deleted` events, the oldest ones, go when it is more than none, and then
-- everything is vacuumed; when `campaign` is 1, a percent of the documents and of the accounts changes. Run in one session.
select setseed(0.5 + :hour / 1000.0) \g /dev/null
insert into docs
  select first + i, 'Incident ' || first + i || ' ' || md5((first + i)::text),
    repeat(md5(((first + i) * 7)::text) || ' lorem ipsum dolor sit amet ', 6),
    jsonb_build_object('student', (first + i) % 5000, 'kind', (array['bullying', 'absence', 'injury', 'praise'])[1 + i % 4],
      'tags', jsonb_build_array(md5((i % 97)::text), md5((i % 31)::text)), 'score', random())
  from generate_series(1, :docs) i, (select max(id) as first from docs) last;
update docs set body = repeat(md5((id + :hour)::text) || ' sed do eiusmod tempor incididunt ', 6)
  where id in (select (last * (0.9 + 0.1 * random()))::bigint from generate_series(1, :edits), (select max(id) as last from docs) newest);
insert into events (id, at, v, t)
  select md5(:hour || ' ' || i)::uuid, ('10.' || (i % 256) || '.' || ((i / 256) % 256) || '.1')::inet, random() * 1e6,
    now() + i * interval '1 millisecond'
  from generate_series(1, :events) i;
\if :campaign
update docs set meta = meta || jsonb_build_object('reviewed', :hour) where id % 100 = :hour % 100;
update pgbench_accounts set abalance = abalance + 1
  where aid between (:hour % 90) * (select max(aid) / 100 from pgbench_accounts)
    and (:hour % 90 + 1) * (select max(aid) / 100 from pgbench_accounts);
\endif
select :deleted > 0 as cleans \gset
\if :cleans
delete from events where t <= (select t from events order by t offset :deleted limit 1);
vacuum (analyze);
\endif
