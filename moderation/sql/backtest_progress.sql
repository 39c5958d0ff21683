-- How far a back-test is, by the database's clock: parts and items, and what was done since it began or went on.
SELECT count(*)::int,
       count(done_at)::int,
       coalesce(sum(items), 0)::int,
       coalesce(sum(items) FILTER (WHERE done_at IS NOT NULL), 0)::int,
       coalesce(sum(items) FILTER (WHERE done_at >= %(since)s), 0)::int,
       extract(epoch FROM statement_timestamp() - %(since)s)::float8,
       (SELECT extract(epoch FROM statement_timestamp() - at)::float8 FROM core_heartbeat WHERE name = %(queue)s)
  FROM moderation_backtestpart
 WHERE backtest_id = %(backtest)s
