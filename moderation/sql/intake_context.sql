-- What intake needs to know, in one round trip: earlier items with these external ids, these users, closed gates, and
-- what these users must accept first.
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
UNION ALL
SELECT 'wanted', document.code, person.id, document.required_number::text, ''
  FROM governance_document AS document
  JOIN accounts_user AS person ON person.service_id = %(service)s AND person.external_id = ANY(%(users)s)
 WHERE document.required_number IS NOT NULL
   AND (document.service_id = %(service)s OR document.service_id IS NULL)
   -- Asked once for the statement: where nothing is required, no user and no acceptance is looked at.
   AND EXISTS (SELECT FROM governance_document WHERE required_number IS NOT NULL)
   AND NOT EXISTS (
        SELECT FROM accounts_acceptance AS given JOIN governance_documentversion AS version ON version.id = given.version_id
         WHERE given.user_id = person.id AND version.document_id = document.id
           AND version.number >= document.required_number)
