-- Which near-duplicate text entries share a band with each of a batch of texts, at most so many for each text, those that
-- share most bands first. Read by moderation.near_text; whether an entry is in force is known to the library in the worker.
SELECT text, array_agg(feature_id ORDER BY shared DESC, feature_id)
  FROM (SELECT asked.text,
               band.feature_id,
               count(*) AS shared,
               row_number() OVER (PARTITION BY asked.text ORDER BY count(*) DESC, band.feature_id) AS place
          FROM unnest(%(texts)s::int[], %(bands)s::smallint[], %(values)s::bigint[]) AS asked (text, band, value)
          JOIN moderation_textband AS band ON band.band = asked.band AND band.value = asked.value
         GROUP BY asked.text, band.feature_id) AS counted
 WHERE place <= %(most)s
 GROUP BY text
