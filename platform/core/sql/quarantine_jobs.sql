-- Jobs whose third attempt never came back leave the queue for a person to look at.
WITH spent AS (
    DELETE FROM core_job
     WHERE id IN (
        SELECT id
          FROM core_job
         WHERE kind = %(kind)s
           AND due_at <= statement_timestamp()
           AND attempts >= %(tries)s
         ORDER BY due_at
         LIMIT 100
           FOR UPDATE SKIP LOCKED)
    RETURNING *
)
INSERT INTO core_quarantinedjob (id, kind, subject, payload, attempts, request_id, error)
SELECT id, kind, subject, payload, attempts, request_id, %(error)s FROM spent
RETURNING id, subject, payload, attempts, request_id
