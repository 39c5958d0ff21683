-- What is asked once more in the transaction that releases, in one round trip: closed gates, and what these users must
-- still accept. The caller holds the users' rows; the statement begins after it got them, so that it sees whatever was
-- committed before.
SELECT 'gate' AS what, service_id AS id, '' AS code, 0 AS number
  FROM core_gate
 WHERE opened_at IS NULL
   AND since <= statement_timestamp()
   AND (until IS NULL OR until > statement_timestamp())
   AND capability IN ('release', 'service')
UNION ALL
SELECT 'wanted', person.id, document.code, document.required_number
  FROM governance_document AS document
  JOIN accounts_user AS person ON person.id = ANY(%(users)s)
 WHERE document.required_number IS NOT NULL
   AND (document.service_id = person.service_id OR document.service_id IS NULL)
   AND EXISTS (SELECT FROM governance_document WHERE required_number IS NOT NULL)
   AND NOT EXISTS (
        SELECT FROM accounts_acceptance AS given JOIN governance_documentversion AS version ON version.id = given.version_id
         WHERE given.user_id = person.id AND version.document_id = document.id
           AND version.number >= document.required_number)
