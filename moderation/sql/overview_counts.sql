-- Received, decided and found in [since, until), by Shanghai day or by category. Decisions and findings are read by their
-- index on the time; submissions have none on theirs, so their time-ordered ids bound the read.
SELECT 'received' AS what, (created_at AT TIME ZONE 'Asia/Shanghai')::date::text AS key, '' AS by_kind, count(*)
  FROM moderation_submission
 WHERE id >= %(first_id)s AND created_at >= %(since)s AND created_at < %(until)s
 GROUP BY 2
UNION ALL
SELECT outcome, (decided_at AT TIME ZONE 'Asia/Shanghai')::date::text, by_kind, count(*)
  FROM moderation_decision
 WHERE decided_at >= %(since)s AND decided_at < %(until)s
 GROUP BY 1, 2, 3
UNION ALL
SELECT 'hit', category_id, '', count(*)
  FROM moderation_finding
 WHERE created_at >= %(since)s AND created_at < %(until)s AND category_id IS NOT NULL
 GROUP BY 2
