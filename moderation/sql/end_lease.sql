-- A lease ends: its row goes, and the claim log gets who claimed the item when, and how that ended.
WITH gone AS (
    DELETE FROM moderation_lease WHERE submission_id = %(submission)s RETURNING *
)
INSERT INTO moderation_claimevent (submission_id, staff_id, event, at, held_seconds, reason)
SELECT submission_id, staff_id, 'claimed', claimed_at, NULL, '' FROM gone
UNION ALL
SELECT submission_id, staff_id, %(event)s, statement_timestamp(), extract(epoch FROM statement_timestamp() - claimed_at),
       %(reason)s
  FROM gone
RETURNING id
