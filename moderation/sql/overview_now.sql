-- What is so at this moment: the queue, its ages, what is held, who waits elsewhere, how the machinery is. One round
-- trip. The slim queue tables are read whole; everything else is bounded or found by an index.
WITH waiting AS (
    SELECT entered_at, due_at FROM moderation_task
    UNION ALL
    SELECT entered_at, due_at FROM moderation_lease
), aged AS (
    SELECT count(*) AS waiting,
           min(entered_at) AS oldest,
           count(*) FILTER (WHERE due_at < statement_timestamp()) AS overdue,
           array[
               count(*) FILTER (WHERE age < interval '15 minutes'),
               count(*) FILTER (WHERE age >= interval '15 minutes' AND age < interval '1 hour'),
               count(*) FILTER (WHERE age >= interval '1 hour' AND age < interval '4 hours'),
               count(*) FILTER (WHERE age >= interval '4 hours' AND age < interval '12 hours'),
               count(*) FILTER (WHERE age >= interval '12 hours' AND age < interval '24 hours'),
               count(*) FILTER (WHERE age >= interval '24 hours')] AS ages
      FROM (SELECT entered_at, due_at, statement_timestamp() - entered_at AS age FROM waiting) AS each_item
), days AS (
    SELECT coalesce(jsonb_object_agg(day, items), '{}') AS entered
      FROM (SELECT (entered_at AT TIME ZONE 'Asia/Shanghai')::date AS day, count(*) AS items
              FROM waiting
             WHERE entered_at >= %(since)s
             GROUP BY 1) AS by_day
), lately AS (
    -- The median is that of today's latest releases: enough to tell how it goes, and never a walk over a busy day.
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM took)) AS median
      FROM (SELECT decision.decided_at - item.created_at AS took
              FROM (SELECT submission_id, decided_at
                      FROM moderation_decision
                     WHERE decided_at >= %(today)s AND outcome = 'release'
                     ORDER BY decided_at DESC
                     LIMIT 500) AS decision
              JOIN moderation_submission AS item ON item.id = decision.submission_id) AS times
)
SELECT EXISTS (SELECT FROM moderation_submission) AS alive,
       aged.waiting, aged.oldest, aged.overdue, aged.ages, days.entered, lately.median,
       (SELECT count(*) FROM moderation_lease WHERE until > statement_timestamp()) AS at_the_desk,
       (SELECT count(*) FROM (SELECT FROM moderation_submission
                               WHERE held_for <> '' AND state = 'in_review' LIMIT 1000) AS bounded) AS held,
       (SELECT count(*) FROM (SELECT FROM accounts_user WHERE identity_status = 'pending' LIMIT 1000) AS bounded) AS to_verify,
       (SELECT count(*) FROM (SELECT FROM core_job WHERE due_at <= statement_timestamp() LIMIT 1000) AS bounded) AS jobs_due,
       (SELECT count(*) FROM (SELECT FROM core_outboxevent LIMIT 1000) AS bounded) AS outbox,
       (SELECT count(*) FROM core_quarantinedjob) AS quarantined,
       (SELECT coalesce(jsonb_object_agg(name, extract(epoch FROM statement_timestamp() - at)), '{}')
          FROM core_heartbeat) AS workers
  FROM aged, days, lately
