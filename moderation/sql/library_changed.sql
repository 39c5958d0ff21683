-- What came into or went out of force since a version of the library.
SELECT id, version, value, category_id, severity, kind, options::text, data::text, allow, rollout,
       state = 'active' AND (valid_from IS NULL OR valid_from <= %(at)s) AND (valid_to IS NULL OR valid_to > %(at)s)
  FROM moderation_feature
 WHERE changed_in > %(since)s
 ORDER BY id
