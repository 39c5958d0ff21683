-- Claim due jobs of one kind: count the attempt and set the lease in the same statement, before anything runs.
WITH due AS (
    SELECT id
      FROM core_job
     WHERE kind = %(kind)s
       AND due_at <= statement_timestamp()
       AND attempts = %(tried)s
     ORDER BY due_at
     LIMIT %(most)s
       FOR UPDATE SKIP LOCKED
)
UPDATE core_job AS job
   SET attempts = job.attempts + 1,
       lease_token = %(token)s,
       leased_by = %(worker)s,
       due_at = statement_timestamp() + %(lease)s * interval '1 second'
  FROM due
 WHERE job.id = due.id
RETURNING job.id, job.subject, job.payload, job.attempts, job.request_id
