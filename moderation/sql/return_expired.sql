-- Leases that ran out go back to their queue, in their old place.
WITH gone AS (
    DELETE FROM moderation_lease
     WHERE submission_id IN (
        SELECT submission_id FROM moderation_lease WHERE until <= statement_timestamp() LIMIT 200 FOR UPDATE SKIP LOCKED)
    RETURNING *
), logged AS (
    INSERT INTO moderation_claimevent (submission_id, staff_id, event, at, held_seconds)
    SELECT submission_id, staff_id, 'claimed', claimed_at, NULL FROM gone
    UNION ALL
    SELECT submission_id, staff_id, 'expired', statement_timestamp(), extract(epoch FROM statement_timestamp() - claimed_at)
      FROM gone
)
INSERT INTO moderation_task (submission_id, queue, priority, entered_at, due_at)
SELECT submission_id, queue, priority, entered_at, due_at FROM gone
