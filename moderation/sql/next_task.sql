-- Claim the next item of a queue for a person: what they hold already (renewed), else the first that nobody holds. The
-- row leaves the queue and becomes a lease in one statement, so that two people never get the same item. The lease itself
-- is the record of the claim as long as it stands; the log gets both lines when it ends.
WITH mine AS (
    UPDATE moderation_lease
       SET until = statement_timestamp() + %(lease)s * interval '1 second'
     WHERE staff_id = %(staff)s AND until > statement_timestamp()
    RETURNING submission_id, token, until, queue, due_at, entered_at
), picked AS (
    DELETE FROM moderation_task
     WHERE ctid = ANY(ARRAY(
        SELECT ctid
          FROM moderation_task
         WHERE queue = %(queue)s AND NOT EXISTS (SELECT FROM mine)
         ORDER BY priority DESC, entered_at
         LIMIT 1
           FOR UPDATE SKIP LOCKED))
    RETURNING submission_id, queue, priority, entered_at, due_at
), leased AS (
    INSERT INTO moderation_lease (submission_id, staff_id, token, until, queue, priority, entered_at, due_at)
    SELECT submission_id, %(staff)s, gen_random_uuid(), statement_timestamp() + %(lease)s * interval '1 second', queue, priority,
           entered_at, due_at
      FROM picked
    RETURNING submission_id, token, until, queue, due_at, entered_at
)
SELECT submission_id, token, until, queue, due_at, entered_at FROM mine
UNION ALL
SELECT submission_id, token, until, queue, due_at, entered_at FROM leased
