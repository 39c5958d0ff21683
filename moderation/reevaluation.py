"""Items that were held because of an account or a gate are screened again when the cause ends (contract.md ruling 4)."""

from __future__ import annotations

from django.db import connection

from core import jobs

JOB = "moderation.reevaluate"
_CAUSES = [
    "gate_closed",
    "identity_not_verified",
    "account_suspended",
    "account_closed",
    "function_limited",
    "acceptance_required",
]


def reevaluate(job: jobs.Claimed) -> None:
    """Send held items of the user, or of everybody after a gate opened, through screening again. What is held for a
    reason that still stands is simply held again."""
    user = job.subject if job.payload.get("topic") == "internal.user_may_publish" else None
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH held AS (UPDATE moderation_submission SET state = 'screening', held_for = ''"
            " WHERE state = 'in_review' AND held_for = ANY(%(causes)s)"
            " AND (%(user)s::uuid IS NULL OR user_id = %(user)s::uuid) RETURNING id),"
            " ledger AS (INSERT INTO core_auditevent (action, actor, subject, reason)"
            " SELECT 'submission.evaluated_again', 'system:reevaluation', 'submission:' || id, %(topic)s FROM held)"
            " INSERT INTO core_job (kind, subject, request_id)"
            " SELECT CASE WHEN input_file_id IS NULL AND output_file_id IS NULL THEN 'moderation.screen'"
            " ELSE 'moderation.screen_media' END, id::text, %(rid)s"
            " FROM held JOIN moderation_content ON submission_id = held.id",
            {"causes": _CAUSES, "user": user, "topic": job.payload.get("topic", ""), "rid": job.request_id},
        )


KIND = jobs.register(jobs.Kind(JOB, jobs.one_by_one(reevaluate)))
