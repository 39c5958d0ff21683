-- New entries that match more than their share of what was screened since they came into force, among the items that
-- came in last. What a person let go on is left alone.
WITH recent AS MATERIALIZED (
    SELECT id, library_version
      FROM moderation_submission
     ORDER BY id DESC
     LIMIT %(window)s
), hit AS MATERIALIZED (
    SELECT found.feature_id, count(DISTINCT found.submission_id) AS items
      FROM recent
      JOIN moderation_finding AS found ON found.submission_id = recent.id
      JOIN moderation_feature AS feature ON feature.id = found.feature_id
     WHERE feature.state = 'active' AND feature.braked_at IS NULL AND NOT feature.allow
       AND feature.approved_at > statement_timestamp() - %(hours)s * interval '1 hour'
       AND recent.library_version >= feature.changed_in
     GROUP BY found.feature_id
)
SELECT hit.feature_id, hit.items, screened.items
  FROM hit
  JOIN moderation_feature AS feature ON feature.id = hit.feature_id
 CROSS JOIN LATERAL (SELECT count(*) AS items FROM recent WHERE library_version >= feature.changed_in) AS screened
 WHERE screened.items >= %(least)s AND hit.items > %(share)s * screened.items
 ORDER BY hit.feature_id
