-- What a request must know of the session that it comes with: whether it still holds, what rights its person took in an
-- emergency, and what has to be said on every page. One look by primary key; the other tables are small or have an
-- index of just these rows.
SELECT session.staff_id,
       session.ended_why,
       session.ended_at IS NOT NULL AS ended,
       session.seen_at < statement_timestamp() - %(idle)s * interval '1 second' AS idle,
       session.created_at < statement_timestamp() - %(longest)s * interval '1 second' AS too_long,
       session.seen_at < statement_timestamp() - %(fresh)s * interval '1 second' AS stale,
       (SELECT own.id
          FROM accounts_breakglass AS own
         WHERE own.staff_id = session.staff_id
           AND own.ended_at IS NULL
           AND own.until > statement_timestamp()) AS emergency,
       EXISTS (SELECT 1
                 FROM accounts_breakglass AS open
                WHERE open.ended_at IS NULL
                  AND open.until > statement_timestamp()) AS emergencies,
       (SELECT count(*)
          FROM accounts_breakglass AS past
         WHERE past.reviewed_at IS NULL
           AND (past.ended_at IS NOT NULL OR past.until <= statement_timestamp())) AS unreviewed,
       (SELECT count(*)
          FROM (SELECT 1 FROM core_alarm WHERE seen_at IS NULL LIMIT 100) AS waiting) AS alarms
  FROM accounts_staffsession AS session
 WHERE session.id = %(session)s
