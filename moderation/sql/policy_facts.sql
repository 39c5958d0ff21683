-- What policies may ask about the users of a batch and about the entries that were found, in one round trip.
-- A user's blocked items are looked for among the newest thousand of the last 30 days: ids are ordered by time, so that
-- this is the head of an index, whatever the user handed in before.
WITH since AS (
    SELECT (lpad(to_hex((extract(epoch FROM statement_timestamp() - interval '30 days') * 1000)::bigint), 12, '0')
            || '70008000000000000000')::uuid AS first_id
)
SELECT 'user', u.id::text, jsonb_build_object(
           'user_kind', u.kind,
           'account_days', extract(epoch FROM statement_timestamp() - u.created_at) / 86400,
           'measures_in_force', measured.in_force,
           'recent_measures', measured.ages,
           'recent_blocks', (
               SELECT count(*) FILTER (WHERE newest.state = 'blocked')
                 FROM (SELECT item.state
                         FROM moderation_submission AS item
                        WHERE item.user_id = u.id AND item.id >= since.first_id
                        ORDER BY item.id DESC
                        LIMIT 1000) AS newest))
  FROM accounts_user AS u
 CROSS JOIN since
 CROSS JOIN LATERAL (
     SELECT count(*) FILTER (WHERE m.state = 'in_force' AND (m.ends_at IS NULL OR m.ends_at > statement_timestamp()))
                AS in_force,
            coalesce(
                jsonb_agg(extract(epoch FROM statement_timestamp() - m.starts_at) / 86400)
                    FILTER (WHERE m.overturned_at IS NULL AND m.starts_at > statement_timestamp() - interval '365 days'
                            AND m.starts_at <= statement_timestamp()),
                '[]') AS ages
       FROM accounts_measure AS m
      WHERE m.user_id = u.id) AS measured
 WHERE u.id = ANY(%(users)s)
UNION ALL
SELECT 'entry', f.id::text, to_jsonb(f.source) FROM moderation_feature AS f WHERE f.id = ANY(%(entries)s)
