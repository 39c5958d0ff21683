-- The items that an entry hit last, with what became of them.
SELECT item.id, item.external_id, item.state, latest.at, decided.outcome
  FROM (SELECT submission_id, max(created_at) AS at
          FROM (SELECT submission_id, created_at
                  FROM moderation_finding
                 WHERE feature_id = %(id)s
                 ORDER BY created_at DESC
                 LIMIT 200) AS found
         GROUP BY submission_id) AS latest
  JOIN moderation_submission AS item ON item.id = latest.submission_id
  LEFT JOIN LATERAL (
        SELECT outcome FROM moderation_decision
         WHERE submission_id = item.id AND by_kind = 'staff'
         ORDER BY decided_at DESC
         LIMIT 1
       ) AS decided ON true
 ORDER BY latest.at DESC
 LIMIT %(most)s
