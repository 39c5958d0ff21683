-- Every decision once, oldest first. The joins are outer ones on unique keys: they can neither drop nor double a row.
SELECT x.id AS decision_id,
       x.submission_id,
       item.external_id,
       service.code AS service,
       item.user_id,
       x.outcome,
       x.by_kind AS decided_by,
       staff.username AS staff,
       x.policy_version,
       x.rule,
       x.category_id AS category,
       x.clause,
       x.reason,
       told.id AS statement_puid,
       told.restriction,
       told.automated_detection,
       told.automated_decision,
       told.appeal_days,
       to_char(x.decided_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS decided_at
  FROM moderation_decision AS x
  LEFT JOIN moderation_submission AS item ON item.id = x.submission_id
  LEFT JOIN governance_service AS service ON service.id = item.service_id
  LEFT JOIN accounts_staff AS staff ON staff.id = x.staff_id
  LEFT JOIN moderation_statementofreasons AS told ON told.decision_id = x.id
 WHERE /* which rows */
 ORDER BY x.decided_at, x.id
