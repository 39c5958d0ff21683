-- Make a user known: user, its first history row, ledger line, device and the key of its personal data, all or none, in
-- one statement. Answers the user that is there (made now, or before), or the directive that keeps registration closed;
-- nothing when another request is making the same one at this moment, or when there was a reason not to (`make`).
WITH earlier AS (
    SELECT id FROM accounts_user WHERE service_id = %(service)s AND external_id = %(external_id)s
), closure AS (
    SELECT id, directive
      FROM core_gate
     WHERE opened_at IS NULL
       AND since <= statement_timestamp()
       AND (until IS NULL OR until > statement_timestamp())
       AND (service_id = %(service)s OR service_id IS NULL)
       AND capability IN ('registration', 'service')
     ORDER BY since
     LIMIT 1
), made AS (
    INSERT INTO accounts_user (
           id, service_id, external_id, kind, display_name, region, profession, institution, address_region,
           identity_status, account_status, contact_sealed, contact_masked)
    SELECT %(id)s, %(service)s, %(external_id)s, %(kind)s, %(display_name)s, %(region)s, %(profession)s,
           %(institution)s, %(address_region)s, 'unverified', 'active', %(contact_sealed)s, %(contact_masked)s
     WHERE %(make)s AND NOT EXISTS (SELECT FROM earlier) AND NOT EXISTS (SELECT FROM closure)
        ON CONFLICT (service_id, external_id) DO NOTHING
    RETURNING *
), history AS (
    INSERT INTO accounts_historicaluser (
           id, service_id, external_id, kind, display_name, region, profession, institution, address_region,
           identity_status, account_status, reverify_reason, contact_masked, history_date, history_type, history_user_id)
    SELECT id, service_id, external_id, kind, display_name, region, profession, institution, address_region,
           identity_status, account_status, reverify_reason, contact_masked, statement_timestamp(), '+', %(staff)s
      FROM made
), ledger AS (
    INSERT INTO core_auditevent (action, actor, subject, data, request_id)
    SELECT 'user.registered', %(actor)s, 'user:' || id, jsonb_build_object('kind', kind), %(request_id)s FROM made
), key AS (
    INSERT INTO core_datakey (subject, wrapped, key_id)
    SELECT 'user:' || id, %(key_wrapped)s::bytea, %(key_id)s FROM made WHERE %(key_wrapped)s::bytea IS NOT NULL
), device AS (
    INSERT INTO accounts_userdevice (user_id, digest)
    SELECT id, %(device)s::bytea FROM made WHERE %(device)s::bytea IS NOT NULL
)
SELECT 'made' AS what, id, created_at, '' AS directive FROM made
UNION ALL
SELECT 'earlier', id, NULL, '' FROM earlier
UNION ALL
SELECT 'closed', id, NULL, directive FROM closure
