-- What intake needs to know, in one round trip: earlier items with these external ids, these users, closed gates.
SELECT 'item' AS what, external_id AS key, id, state AS one, encode(body_digest, 'hex') AS two
  FROM moderation_submission
 WHERE service_id = %(service)s AND external_id = ANY(%(external_ids)s)
UNION ALL
SELECT 'user', external_id, id, identity_status, account_status
  FROM accounts_user
 WHERE service_id = %(service)s AND external_id = ANY(%(users)s)
UNION ALL
SELECT 'gate', capability, id, directive, ''
  FROM core_gate
 WHERE opened_at IS NULL
   AND since <= statement_timestamp()
   AND (until IS NULL OR until > statement_timestamp())
   AND (service_id = %(service)s OR service_id IS NULL)
   AND capability IN ('release', 'service')
