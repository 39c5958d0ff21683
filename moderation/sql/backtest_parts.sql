-- Choose the items of a back-test, cut them into runs of neighbours, and queue a job for each. `most` is how many of the
-- newest are taken; ids are ordered by time, so that neighbours lie together.
WITH picked AS (
    SELECT id
      FROM moderation_submission
     WHERE id >= %(first_id)s AND id < %(end_id)s
       AND created_at >= %(since)s AND created_at < %(until)s
     ORDER BY id DESC
     LIMIT %(most)s
), numbered AS (
    SELECT id, (row_number() OVER (ORDER BY id) - 1) / %(size)s AS number FROM picked
), parts AS (
    INSERT INTO moderation_backtestpart (backtest_id, number, first_id, last_id, items, samples)
    SELECT %(backtest)s, number, (array_agg(id ORDER BY id))[1], (array_agg(id ORDER BY id DESC))[1], count(*), '[]'
      FROM numbered
     GROUP BY number
     ORDER BY number
    RETURNING id, items
), queued AS (
    INSERT INTO core_job (kind, subject, request_id)
    SELECT %(kind)s, id::text, %(request_id)s FROM parts ORDER BY id
)
SELECT coalesce(sum(items), 0)::int, count(*)::int FROM parts
