-- Every event of a rumor case once, oldest first, with its case as it stands when the bundle is made.
SELECT x.id AS event_id,
       to_char(x.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at,
       x.event,
       x.actor,
       x.detail,
       x.case_id,
       c.number AS case_number,
       c.claim,
       c.found,
       to_char(c.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS opened_at,
       c.state,
       c.verdict,
       (SELECT count(*) FROM rumors_casesubmission AS item WHERE item.case_id = x.case_id) AS items,
       (SELECT count(*) FROM rumors_refutation AS told WHERE told.case_id = x.case_id AND told.published_at IS NOT NULL)
           AS refutations,
       (SELECT count(*) FROM rumors_authorityreport AS report WHERE report.case_id = x.case_id) AS reports
  FROM rumors_caseevent AS x
  LEFT JOIN rumors_rumorcase AS c ON c.id = x.case_id
 WHERE /* which rows */
 ORDER BY x.at, x.id
