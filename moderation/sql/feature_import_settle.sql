-- Say of rows that could be taken which of them were in the file before, and which are in the library already.
WITH fit AS MATERIALIZED (
    SELECT id, number, given->>'kind' AS kind, given->>'digest' AS digest, (given->>'allow')::boolean AS allow,
           first_value(number) OVER (PARTITION BY key ORDER BY number, id) AS first,
           row_number() OVER (PARTITION BY key ORDER BY number, id) > 1 AS repeated
      FROM moderation_featureimportrow
     WHERE feature_import_id = %(import)s AND outcome = 'fit'
), told AS (
    SELECT fit.id, fit.repeated, fit.first
      FROM fit
      LEFT JOIN moderation_feature AS known
             ON known.kind = fit.kind AND known.digest = fit.digest AND known.allow = fit.allow
            AND known.state IN ('active', 'braked', 'proposed')
     WHERE fit.repeated OR known.id IS NOT NULL
     GROUP BY fit.id, fit.repeated, fit.first
)
UPDATE moderation_featureimportrow AS line
   SET outcome = CASE WHEN told.repeated THEN 'wrong' ELSE 'known' END,
       field = CASE WHEN told.repeated THEN 'value' ELSE '' END,
       code = CASE WHEN told.repeated THEN 'repeated' ELSE 'already_in_library' END,
       why = CASE WHEN told.repeated THEN replace(%(repeated)s, '{row}', told.first::text) ELSE %(known)s END
  FROM told
 WHERE line.id = told.id
