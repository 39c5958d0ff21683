-- Write the verdicts of a batch: items, findings, decisions, statements, tasks, events, ledger, and the end of their
-- jobs, in one statement. The caller holds the jobs (core.jobs.still_ours) and the users' rows.
WITH given AS (
    SELECT *
      FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
           id uuid, job bigint, state text, disposition text, rule text, held_for text, screened jsonb, label jsonb,
           library int, policy int, request_id text, decision uuid, outcome text, category text, clause text,
           reason text, facts text, priority smallint, queue text, topic text, payload jsonb, service uuid, shadow int,
           shadow_disposition text, shadow_rule text)
), settled AS (
    UPDATE moderation_submission AS item
       SET state = given.state, disposition = given.disposition, rule = given.rule, held_for = given.held_for,
           screened = given.screened, label = given.label, library_version = given.library,
           decided_by = CASE WHEN given.outcome IS NULL THEN '' ELSE 'policy' END,
           decided_at = CASE WHEN given.outcome IS NULL THEN NULL ELSE statement_timestamp() END
      FROM given
     WHERE item.id = given.id AND item.state = 'screening'
    RETURNING item.id
), found AS (
    INSERT INTO moderation_finding (
           submission_id, side, field, check_name, category_id, severity, feature_id, feature_version, spans, score, distance, boxes,
           detail)
    SELECT f.submission, f.side, f.field, f."check", f.category, f.severity, f.feature_id, f.feature_version, f.spans,
           f.score, f.distance, f.boxes, f.detail
      FROM jsonb_to_recordset(%(findings)s::jsonb) AS f(
           submission uuid, side text, field text, "check" text, category text, severity smallint, feature_id int,
           feature_version int, spans jsonb, score float8, distance float8, boxes jsonb, detail text)
      JOIN settled ON settled.id = f.submission
     -- An item that was held and is evaluated again keeps what was found before, and gets what is new.
     WHERE NOT EXISTS (
        SELECT FROM moderation_finding AS known
         WHERE known.submission_id = f.submission AND known.side = f.side AND known.field = f.field
           AND known.check_name = f."check"
           AND known.feature_id IS NOT DISTINCT FROM f.feature_id
           AND known.feature_version IS NOT DISTINCT FROM f.feature_version AND known.detail = f.detail)
), read AS (
    INSERT INTO moderation_extractedtext (submission_id, side, field, text, layout, check_name, check_version)
    SELECT t.submission, t.side, t.field, t.text, t.layout, t."check", t.version
      FROM jsonb_to_recordset(%(texts)s::jsonb) AS t(
           submission uuid, side text, field text, text text, layout jsonb, "check" text, version text)
      JOIN settled ON settled.id = t.submission
        ON CONFLICT (submission_id, side, field) DO NOTHING
), decided AS (
    INSERT INTO moderation_decision (
           id, submission_id, outcome, by_kind, policy_version, rule, category_id, clause, reason)
    SELECT decision, id, outcome, 'policy', policy, rule, category, clause, reason
      FROM given JOIN settled USING (id)
     WHERE outcome IS NOT NULL
    RETURNING id
), stated AS (
    INSERT INTO moderation_statementofreasons (
           id, decision_id, submission_id, restriction, category_id, clause, facts, explanation, automated_detection,
           automated_decision, appeal_days)
    SELECT gen_random_uuid(), decision, id, 'not_released', category, clause, facts, reason, true, true, %(appeal_days)s
      FROM given JOIN settled USING (id)
     WHERE outcome = 'block'
), queued AS (
    INSERT INTO moderation_task (submission_id, queue, priority, due_at)
    SELECT id, queue, priority, statement_timestamp() + %(review_due)s * interval '1 second'
      FROM given JOIN settled USING (id)
     WHERE state = 'in_review' AND held_for = ''
), shadowed AS (
    INSERT INTO moderation_shadowverdict (
           submission_id, policy_version, disposition, rule, live_disposition, live_rule)
    SELECT id, shadow, shadow_disposition, shadow_rule, disposition, rule
      FROM given JOIN settled USING (id)
     WHERE shadow IS NOT NULL
), told AS (
    INSERT INTO core_outboxevent (topic, subject, service_id, payload, request_id)
    SELECT topic, id::text, service, payload, request_id FROM given JOIN settled USING (id)
), ledger AS (
    INSERT INTO core_auditevent (action, actor, subject, reason, data, request_id)
    SELECT 'submission.' || state, 'policy:' || policy, 'submission:' || id, rule,
           jsonb_build_object('library', library, 'held_for', held_for), request_id
      FROM given JOIN settled USING (id)
), done AS (
    DELETE FROM core_job WHERE id = ANY(%(jobs)s) AND lease_token = %(token)s
)
SELECT count(*) FROM settled
