-- Say of rows that could be taken which of them were in the file before, and which are in the library already.
UPDATE moderation_featureimportrow AS line
   SET outcome = CASE WHEN twice.number IS NULL THEN 'known' ELSE 'wrong' END,
       field = CASE WHEN twice.number IS NULL THEN '' ELSE 'value' END,
       code = CASE WHEN twice.number IS NULL THEN 'already_in_library' ELSE 'repeated' END,
       why = CASE WHEN twice.number IS NULL THEN %(known)s ELSE replace(%(repeated)s, '{row}', twice.number::text) END
  FROM moderation_featureimportrow AS same
  LEFT JOIN LATERAL (
        SELECT min(earlier.number) AS number
          FROM moderation_featureimportrow AS earlier
         WHERE earlier.feature_import_id = %(import)s AND earlier.key = same.key AND same.key <> ''
           AND earlier.number < same.number
       ) AS twice ON true
 WHERE same.feature_import_id = %(import)s AND same.outcome = 'fit' AND line.id = same.id
   AND (twice.number IS NOT NULL OR EXISTS (
        SELECT FROM moderation_feature AS known
         WHERE known.kind = same.given->>'kind' AND known.digest = same.given->>'digest'
           AND known.allow = (same.given->>'allow')::boolean AND known.state IN ('active', 'braked', 'proposed')))
