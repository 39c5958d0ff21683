-- All entries that are in force at the moment the library's clock stands at.
SELECT id, version, value, category_id, severity, kind, options::text, data::text, allow, rollout, true
  FROM moderation_feature
 WHERE state = 'active'
   AND (valid_from IS NULL OR valid_from <= %(at)s)
   AND (valid_to IS NULL OR valid_to > %(at)s)
 ORDER BY id
