-- End the leases that ran out, and those of identities that somebody decided or replaced meanwhile.
DELETE FROM accounts_verificationlease
 WHERE identity_id IN (
    SELECT lease.identity_id
      FROM accounts_verificationlease AS lease
      JOIN accounts_identity AS identity ON identity.id = lease.identity_id
     WHERE lease.until <= statement_timestamp() OR identity.state <> 'pending'
     LIMIT 200
       FOR UPDATE OF lease SKIP LOCKED)
