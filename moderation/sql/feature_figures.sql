-- For each entry: the items it hit lately (counted up to a limit), and what people decided about them last.
SELECT asked.id, count(*), count(*) FILTER (WHERE decided.outcome = 'block'),
       count(*) FILTER (WHERE decided.outcome = 'release')
  FROM unnest(%(ids)s::int[]) AS asked(id)
 CROSS JOIN LATERAL (
        SELECT DISTINCT latest.submission_id
          FROM (SELECT found.submission_id
                  FROM moderation_finding AS found
                 WHERE found.feature_id = asked.id
                   AND found.created_at >= statement_timestamp() - %(days)s * interval '1 day'
                 ORDER BY found.created_at DESC
                 LIMIT %(most)s) AS latest
       ) AS hit
  LEFT JOIN LATERAL (
        SELECT decision.outcome
          FROM moderation_decision AS decision
         WHERE decision.submission_id = hit.submission_id AND decision.by_kind = 'staff'
         ORDER BY decision.decided_at DESC
         LIMIT 1
       ) AS decided ON true
 GROUP BY asked.id
