-- Which documents these users must still accept before they publish (DS-08b): one line for each user and document.
SELECT person.id, document.code, document.required_number
  FROM accounts_user AS person
  JOIN governance_document AS document
    ON document.required_number IS NOT NULL
   AND (document.service_id = person.service_id OR document.service_id IS NULL)
 WHERE person.id = ANY(%(users)s)
   AND EXISTS (SELECT FROM governance_document WHERE required_number IS NOT NULL)
   AND NOT EXISTS (
        SELECT FROM accounts_acceptance AS given JOIN governance_documentversion AS version ON version.id = given.version_id
         WHERE given.user_id = person.id AND version.document_id = document.id
           AND version.number >= document.required_number)
 ORDER BY document.code
