"""Submissions and what checks saw in them.

Hot rows refer to services, functions, users and categories without a database constraint: those rows are never
deleted, and a constraint would lock the same few rows in every transaction (docs/adr/0004).
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from accounts.models import User
from core.ids import uuid7
from core.models import Evidence
from governance.models import Category, Function, Service


class Submission(models.Model):
    """One input with its output, handed in for release. The texts lie in Content."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service = models.ForeignKey(
        Service, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    user = models.ForeignKey(
        User, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="submissions"
    )
    function = models.ForeignKey(
        Function, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    external_id = models.CharField(max_length=128)
    technology = models.CharField(max_length=24)
    state = models.CharField(max_length=12, default="screening")
    disposition = models.CharField(max_length=8, blank=True, default="")
    rule = models.CharField(max_length=24, blank=True, default="")
    held_for = models.CharField(max_length=32, blank=True, default="")
    body_digest = models.BinaryField()
    declared = models.JSONField(default=dict)
    policy_version = models.IntegerField()
    library_version = models.IntegerField(null=True)
    screened = models.JSONField(null=True)
    label = models.JSONField(null=True)
    decided_by = models.CharField(max_length=8, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["service", "external_id"], name="one_submission_per_external_id"),
            models.CheckConstraint(
                name="submission_state_is_known",
                condition=models.Q(state__in=["screening", "in_review", "released", "blocked", "withdrawn"]),
            ),
            # DS-10a: no result is released without a stored review outcome of its input and of its output.
            models.CheckConstraint(
                name="released_needs_input_and_output_reviewed",
                condition=~models.Q(state="released")
                | models.Q(screened__has_keys=["input", "output"], label__isnull=False, decided_at__isnull=False),
            ),
        ]
        indexes = [
            # Used by the user page: everything one user handed in, newest first.
            models.Index(fields=["user", "id"], name="submission_by_user"),
            # Used by re-evaluation: the few items that wait for an account or a gate.
            models.Index(fields=["held_for"], name="submission_held", condition=~models.Q(held_for="")),
        ]

    def __str__(self) -> str:
        return self.external_id


class Content(models.Model):
    """What was put in and what came out. Written once."""

    submission = models.OneToOneField(
        Submission, primary_key=True, on_delete=models.PROTECT, db_constraint=False, related_name="content"
    )
    input_text = models.TextField(default="", blank=True)
    output_text = models.TextField(default="", blank=True)
    input_file = models.ForeignKey(
        Evidence, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    output_file = models.ForeignKey(
        Evidence, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )


class Finding(models.Model):
    """What a check found: where, by which feature and version, how far from it. Written once.

    `spans` are [start, end) in code points of the text that `field` names (contract, ruling 5); `boxes`, one a span, are
    [x, y, w, h] in pixels of the picture (for a video: of the frame at `detail`).
    """

    id = models.BigAutoField(primary_key=True)
    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, db_constraint=False, related_name="findings")
    side = models.CharField(max_length=6)
    field = models.CharField(max_length=12, default="text")
    check_name = models.CharField(max_length=32)
    category = models.ForeignKey(
        Category, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    severity = models.SmallIntegerField(default=0)
    feature_id = models.IntegerField(null=True)
    feature_version = models.IntegerField(null=True)
    spans = models.JSONField(default=list)
    score = models.FloatField(default=1.0)
    distance = models.FloatField(null=True)
    boxes = models.JSONField(default=list, db_default=[])
    detail = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            # Used by the overview: hits by category and day.
            models.Index(fields=["created_at", "category"], name="finding_by_day"),
            # Used by the library page and the brake: what one entry found, the newest first.
            models.Index(
                fields=["feature_id", "-created_at"],
                name="finding_by_feature",
                condition=models.Q(feature_id__isnull=False),
            ),
        ]


class ExtractedText(models.Model):
    """A text that a check read out of a file: what stands in a picture (`ocr`), what is said in a sound track
    (`transcript`). Written once per look, so that findings in it can be shown and reproduced."""

    id = models.BigAutoField(primary_key=True)
    submission = models.ForeignKey(
        Submission, on_delete=models.PROTECT, db_constraint=False, related_name="extracted_texts"
    )
    side = models.CharField(max_length=6)
    field = models.CharField(max_length=12)
    text = models.TextField()
    # One entry a line or word: {"start", "end"} in `text`, and {"box": [x, y, w, h]} and/or {"seconds": s}.
    layout = models.JSONField(default=list)
    check_name = models.CharField(max_length=32)
    check_version = models.CharField(max_length=120, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["submission", "side", "field"], name="a_text_is_extracted_once_per_side")
        ]


class Medium(models.Model):
    """What the box said of a stored file, once per content (design.md §3.10). `undecodable` and `crashed` mean: a person
    looks; a file whose box crashed twice is not opened again."""

    KINDS = ("image", "audio", "video")

    evidence = models.OneToOneField(
        Evidence, primary_key=True, on_delete=models.PROTECT, db_constraint=False, related_name="medium"
    )
    state = models.CharField(max_length=12)  # decoded, refused, undecodable, crashed
    kind = models.CharField(max_length=8, blank=True, default="")
    facts = models.JSONField(default=dict)  # width, height, seconds, frames, hashes
    flags = models.JSONField(default=list)  # e.g. trailing_data, second_magic, remote_manifest_not_fetched
    reason = models.CharField(max_length=120, blank=True, default="")
    crashes = models.SmallIntegerField(default=0)
    preview = models.ForeignKey(
        Evidence, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    box_version = models.CharField(max_length=80, blank=True, default="")
    looked_at = models.DateTimeField(auto_now=True)
