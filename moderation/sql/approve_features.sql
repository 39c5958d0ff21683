-- Put proposed entries in force in one statement, with their history. What is in the library by now stays proposed.
WITH approved AS (
    UPDATE moderation_feature AS feature
       SET state = 'active', approved_by_id = %(by)s, approved_at = statement_timestamp(), changed_in = %(version)s
     WHERE feature.id = ANY(%(ids)s) AND feature.state = 'proposed'
       AND (feature.valid_to IS NULL OR feature.valid_to > statement_timestamp())
       AND NOT EXISTS (
        SELECT FROM moderation_feature AS known
         WHERE known.kind = feature.kind AND known.digest = feature.digest AND known.allow = feature.allow
           AND known.state IN ('active', 'braked'))
    RETURNING feature.*
), remembered AS (
    INSERT INTO moderation_historicalfeature (
           id, kind, value, digest, data, options, allow, category_id, severity, clause, note, source, valid_from, valid_to,
           rollout, state, version, replaces_id, proposed_by_id, proposed_at, approved_by_id, approved_at, braked_at,
           braked_share, changed_in, history_date, history_type, history_user_id)
    SELECT id, kind, value, digest, data, options, allow, category_id, severity, clause, note, source, valid_from, valid_to,
           rollout, state, version, replaces_id, proposed_by_id, proposed_at, approved_by_id, approved_at, braked_at,
           braked_share, changed_in, statement_timestamp(), '~', %(by)s
      FROM approved
)
SELECT count(*) FROM approved
