-- Who handed in a number, by its keyed digest, newest first.
SELECT id, user_id FROM accounts_identity WHERE number_digest = %(digest)s ORDER BY id DESC LIMIT 100
