"""Provider, services, functions, technical supporters and the prohibited-content taxonomy."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from core.ids import uuid7

# DS-23: the six technology families of the Provisions.
TECHNOLOGIES = {
    "text": _("Text generation and editing"),
    "voice": _("Voice generation and editing"),
    "audio": _("Non-voice audio generation and editing"),
    "biometric_image_video": _("Biometric image and video (faces, poses)"),
    "image_video": _("Non-biometric image and video, incl. enhancement"),
    "scene": _("3D and virtual scenes"),
}

# DS-17a: the kinds of functions whose results need a conspicuous label; `other` is DS-17b (label on offer).
FUNCTION_KINDS = {
    "dialogue": _("Intelligent dialogue or writing"),
    "voice": _("Synthetic or imitated voice"),
    "face": _("Face generation, swap or manipulation"),
    "scene": _("Immersive simulated scene"),
    "significant": _("Other generation or marked change of content"),
    "other": _("Other function (label on offer)"),
}


def in_language(zh: str, en: str) -> str:
    """The text in the language that is active."""
    return en if translation.get_language() == "en" and en else zh


class Provider(models.Model):
    """The provider of deep-synthesis services that runs this desk."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=120)
    name_en = models.CharField(max_length=120, blank=True, default="")
    uscc = models.CharField(max_length=18, unique=True)
    history = HistoricalRecords()

    def __str__(self) -> str:
        return in_language(self.name, self.name_en)


class Service(models.Model):
    """A product that the provider runs."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="services")
    code = models.SlugField(unique=True)
    name = models.CharField(max_length=120)
    name_en = models.CharField(max_length=120, blank=True, default="")
    live = models.BooleanField(default=True)
    history = HistoricalRecords()

    def __str__(self) -> str:
        return in_language(self.name, self.name_en)


class Function(models.Model):
    """What a service does, with its kind (DS-17a/b) and its technologies (DS-23)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="functions")
    code = models.SlugField()
    name = models.CharField(max_length=120)
    name_en = models.CharField(max_length=120, blank=True, default="")
    kind = models.CharField(max_length=16)
    technologies = models.JSONField(default=list)
    edits_biometrics = models.BooleanField(
        default=False, help_text=_("Edits faces or voices: the separate-consent prompt must be acknowledged (DS-14b).")
    )
    live = models.BooleanField(default=True)
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["service", "code"], name="function_code_is_unique_per_service"),
            models.CheckConstraint(
                name="function_kind_is_of_the_provisions", condition=models.Q(kind__in=list(FUNCTION_KINDS))
            ),
        ]

    def __str__(self) -> str:
        return in_language(self.name, self.name_en)

    @property
    def needs_explicit_label(self) -> bool:
        """DS-17a: a conspicuous label is required where the public may be confused."""
        return self.kind != "other"


class TechnicalSupporter(models.Model):
    """Who supplies technology to a service (DS-14a, DS-15a by reference)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=120)
    name_en = models.CharField(max_length=120, blank=True, default="")
    uscc = models.CharField(max_length=18, unique=True)
    services = models.ManyToManyField(Service, related_name="supporters")
    history = HistoricalRecords()

    def __str__(self) -> str:
        return in_language(self.name, self.name_en)


class Category(models.Model):
    """One node of the prohibited-content taxonomy (DS-06a). Leaves carry severity 1 to 4 and the clause they rest on."""

    code = models.CharField(max_length=64, primary_key=True)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    name = models.CharField(max_length=80)
    name_en = models.CharField(max_length=120)
    severity = models.SmallIntegerField()
    clause = models.CharField(max_length=200)
    law = models.JSONField(default=list)
    leaf = models.BooleanField()
    guidance = models.TextField(blank=True, default="")
    guidance_en = models.TextField(blank=True, default="")
    reason = models.TextField(blank=True, default="")
    reason_en = models.TextField(blank=True, default="")
    position = models.IntegerField(default=0)
    history = HistoricalRecords()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.CheckConstraint(
                name="severity_is_1_to_4", condition=models.Q(severity__gte=1) & models.Q(severity__lte=4)
            ),
        ]

    def __str__(self) -> str:
        return in_language(self.name, self.name_en)

    @property
    def reason_text(self) -> str:
        """The sentence a user reads when an item of this leaf is blocked: in the users' language, whatever the desk's."""
        return self.reason

    @property
    def guidance_text(self) -> str:
        """How a moderator judges this leaf."""
        return in_language(self.guidance, self.guidance_en)


class Document(models.Model):
    """A rule, convention or agreement that the provider publishes (DS-08a), for one service or for all."""

    KINDS = {
        "rules": _("Management rules"),
        "convention": _("Platform convention"),
        "agreement": _("Service agreement"),
        "privacy": _("Privacy policy"),
        "minors": _("Rules for minors"),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service = models.ForeignKey(Service, null=True, blank=True, on_delete=models.PROTECT, related_name="documents")
    code = models.SlugField(max_length=50, unique=True)
    kind = models.CharField(max_length=12)
    title = models.CharField(max_length=120)
    title_en = models.CharField(max_length=120, blank=True, default="")
    required_number = models.IntegerField(
        null=True,
        blank=True,
        help_text=_("Users must have accepted this version or a later one before they publish. Empty: not required."),
    )
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="document_kind_is_known",
                condition=models.Q(kind__in=["rules", "convention", "agreement", "privacy", "minors"]),
            ),
        ]

    def __str__(self) -> str:
        return in_language(self.title, self.title_en)


class DocumentVersion(models.Model):
    """One version of a document as it was published: never changed and never removed, by trigger."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    document = models.ForeignKey(Document, on_delete=models.PROTECT, related_name="versions")
    number = models.IntegerField()
    text = models.TextField()
    text_en = models.TextField(blank=True, default="")
    sha256 = models.CharField(max_length=64)
    published_at = models.DateTimeField(db_default=Now())
    published_by = models.CharField(max_length=128)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["document", "number"], name="version_numbers_are_unique_per_document"),
        ]
