-- What the newest verdicts of a policy in shadow come to: how often each pair of dispositions, and among the newest that
-- differ the gravest category that was found, with a few items to open. Bounded, however long the shadow runs.
WITH recent AS MATERIALIZED (
    SELECT id, submission_id, disposition, rule, live_disposition, live_rule, at
      FROM moderation_shadowverdict
     WHERE policy_version = %(policy)s
     ORDER BY id DESC
     LIMIT %(most)s
), differing AS (
    SELECT * FROM recent WHERE disposition <> live_disposition ORDER BY id DESC LIMIT %(looked_into)s
)
SELECT 'all' AS what, live_disposition, disposition, '' AS category, count(*) AS items,
       count(*) FILTER (WHERE rule <> live_rule) AS other_rule, min(at) AS since, NULL::uuid[] AS samples
  FROM recent
 GROUP BY live_disposition, disposition
UNION ALL
SELECT 'category', live_disposition, disposition, coalesce(gravest.category_id, ''), count(*), 0, min(at),
       (array_agg(submission_id ORDER BY differing.id DESC))[1:5]
  FROM differing
  LEFT JOIN LATERAL (
       SELECT category_id
         FROM moderation_finding AS found
        WHERE found.submission_id = differing.submission_id AND found.category_id IS NOT NULL
        ORDER BY severity DESC, score DESC, id
        LIMIT 1) AS gravest ON true
 GROUP BY live_disposition, disposition, coalesce(gravest.category_id, '')
 ORDER BY what, items DESC
