-- Take submissions in: item, content, job and ledger line, all or none, in one statement.
-- An external id that another request took meanwhile is left out; the caller sees it missing from the answer.
WITH given AS (
    SELECT *
      FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
           id uuid, user_id uuid, function_id uuid, external_id text, technology text, digest text, declared jsonb,
           input_text text, output_text text, input_file text, output_file text)
), taken AS (
    INSERT INTO moderation_submission (
           id, service_id, user_id, function_id, external_id, technology, state, disposition, rule, held_for,
           body_digest, declared, policy_version, decided_by)
    SELECT id, %(service)s, user_id, function_id, external_id, technology, 'screening', '', '', '',
           decode(digest, 'hex'), declared, %(policy)s, ''
      FROM given
        ON CONFLICT (service_id, external_id) DO NOTHING
    RETURNING id
), contents AS (
    INSERT INTO moderation_content (submission_id, input_text, output_text, input_file_id, output_file_id)
    SELECT id, input_text, output_text, input_file, output_file FROM given JOIN taken USING (id)
), jobs AS (
    -- Items with a file have their own queue: slow files never hold up text.
    INSERT INTO core_job (kind, subject, request_id)
    SELECT CASE WHEN input_file IS NULL AND output_file IS NULL THEN 'moderation.screen' ELSE 'moderation.screen_media' END,
           id::text, %(request_id)s
      FROM given JOIN taken USING (id)
), ledger AS (
    INSERT INTO core_auditevent (action, actor, subject, data, request_id)
    SELECT 'submission.accepted', %(actor)s, 'submission:' || id, jsonb_build_object('sha256', digest, 'policy', %(policy)s::int),
           %(request_id)s
      FROM given JOIN taken USING (id)
)
SELECT id FROM taken
