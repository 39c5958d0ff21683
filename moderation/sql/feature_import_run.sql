-- Propose every row of an import that can be taken, in one statement, with the entries' history. What came into the
-- library since the check is left out. Answers the entries that the database compares by more than their columns.
WITH wanted AS MATERIALIZED (
    SELECT line.id AS line, entry.*
      FROM moderation_featureimportrow AS line
     CROSS JOIN LATERAL jsonb_populate_record(NULL::moderation_feature, line.given) AS entry
     WHERE line.feature_import_id = %(import)s AND line.outcome = 'fit'
), proposed AS (
    INSERT INTO moderation_feature (
           kind, value, digest, data, options, allow, category_id, severity, clause, note, source, valid_from, valid_to,
           rollout, state, version, proposed_by_id, changed_in)
    SELECT kind, value, digest, data, options, allow, category_id, severity, clause, note, source, valid_from, valid_to,
           rollout, 'proposed', 1, %(by)s, 0
      FROM wanted
     WHERE NOT EXISTS (
        SELECT FROM moderation_feature AS known
         WHERE known.kind = wanted.kind AND known.digest = wanted.digest AND known.allow = wanted.allow
           AND known.state IN ('active', 'braked'))
     ORDER BY line
        ON CONFLICT DO NOTHING
    RETURNING *
), remembered AS (
    INSERT INTO moderation_historicalfeature (
           id, kind, value, digest, data, options, allow, category_id, severity, clause, note, source, valid_from, valid_to,
           rollout, state, version, replaces_id, proposed_by_id, proposed_at, approved_by_id, approved_at, braked_at,
           braked_share, changed_in, history_date, history_type, history_user_id)
    SELECT id, kind, value, digest, data, options, allow, category_id, severity, clause, note, source, valid_from, valid_to,
           rollout, state, version, replaces_id, proposed_by_id, proposed_at, approved_by_id, approved_at, braked_at,
           braked_share, changed_in, statement_timestamp(), '+', %(by)s
      FROM proposed
), said AS (
    UPDATE moderation_featureimportrow AS line
       SET outcome = CASE WHEN proposed.id IS NULL THEN 'known' ELSE 'proposed' END,
           code = CASE WHEN proposed.id IS NULL THEN 'already_in_library' ELSE '' END,
           why = CASE WHEN proposed.id IS NULL THEN %(known)s ELSE '' END
      FROM wanted
      LEFT JOIN proposed ON proposed.kind = wanted.kind AND proposed.digest = wanted.digest
            AND proposed.allow = wanted.allow
     WHERE line.id = wanted.line
)
SELECT count(*), coalesce(array_agg(id) FILTER (WHERE kind = 'text'), '{}') FROM proposed
