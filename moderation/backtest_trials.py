"""What a back-test tries, ready to look at items of the past: with the target and without it. Nothing is written.

The looking and the judging are those of screening. Texts that were read out of files are used as they were stored, and
what file checks found stands. A file is opened again only for an entry that is the look or the sound of one: there is
nothing else to compare it with. What a policy asks about a user is as it is today.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from moderation import checks, classifiers, library, policy, policy_facts, screening
from moderation.backtest_figures import NOBODY, Outcome
from moderation.checks.classifier import HINT, ByModels
from moderation.entries import Entry
from moderation.models import Backtest, Classifier, Decision, ExtractedText, Finding, Submission
from moderation.policy import BLOCK, RELEASE, REVIEW, Found, Policy, Verdict
from moderation.policy_conditions import under

STORED, AGAIN = "stored", "again"
Findings = dict[UUID, list[Found]]


@dataclass(frozen=True)
class Past:
    """What is stored about some items."""

    findings: Findings
    texts: Mapping[tuple[UUID, str], list[checks.Text]]
    people: Mapping[UUID, tuple[str, str]]  # what a person decided last, and the category
    blocked: Mapping[UUID, str]  # the category under which the policy blocked


@dataclass(frozen=True)
class Trial:
    """A target that is tried. `look` answers what is found with the target and without it; `is_hit` whether a finding is
    the target's; `is_meant` whether a category is one that the target is for."""

    with_policy: Policy
    without_policy: Policy
    how: str  # STORED or AGAIN
    library: int | None  # the version looked with, None where nothing looks
    models: str  # those that act beside it
    look: Callable[[Sequence[Submission], Past], tuple[Findings, Findings]]
    of_hits: bool = False
    cancels: bool = False  # an allow-list entry: its hits are the items in which it takes findings away
    is_hit: Callable[[Found], bool] = lambda found: False
    is_meant: Callable[[str], bool] = lambda category: False

    def outcomes(self, items: Sequence[Submission]) -> list[Outcome]:
        """What becomes of items that were screened and have their content."""
        past = remember(items)
        with_it, without = self.look(items, past)
        facts = policy_facts.gather(
            [(item, [*with_it[item.pk], *without[item.pk]]) for item in items], [self.with_policy, self.without_policy]
        )
        return [
            self._outcome(
                item,
                past,
                with_it[item.pk],
                self.with_policy.judge(with_it[item.pk], facts[item.pk]),
                self.without_policy.judge(without[item.pk], facts[item.pk]),
                cancelled=with_it[item.pk] != without[item.pk],
            )
            for item in items
        ]

    def _outcome(
        self, item: Submission, past: Past, found: list[Found], with_it: Verdict, without: Verdict, *, cancelled: bool
    ) -> Outcome:
        people, people_category = past.people.get(item.pk, (NOBODY, ""))
        hits = [one for one in found if self.is_hit(one)]
        return Outcome(
            id=item.pk,
            then=said_then(item),
            people=people,
            with_it=with_it.disposition,
            without=without.disposition,
            rule=with_it.rule,
            category=_category(with_it) or past.blocked.get(item.pk, "") or _category(without),
            people_category=people_category,
            hit=bool(hits) or (self.cancels and cancelled),
            expected=people == BLOCK and self.is_meant(people_category),
            places=sum(max(1, len(one.spans)) for one in (hits if self.of_hits else found)),
            failed=any(one.check == "check_failed" for one in found),
            checks=sorted({one.check for one in found}),
        )


def _category(verdict: Verdict) -> str:
    return verdict.leading.category or "" if verdict.leading and verdict.disposition != RELEASE else ""


def said_then(item: Submission) -> str:
    """What the policy said of an item when it was screened; "" where it never came to that. Whatever a person decided had
    been sent to a person."""
    return REVIEW if item.decided_by == "staff" else item.disposition


def remember(items: Sequence[Submission]) -> Past:
    """What is stored about these items, in one question each to findings, texts and decisions."""
    ids = [item.pk for item in items]
    found: Findings = {pk: [] for pk in ids}
    for row in Finding.objects.filter(submission_id__in=ids).order_by("id").values_list(
        "submission_id", "side", "check_name", "category_id", "severity", "spans", "feature_id", "feature_version",
        "score", "detail", "distance", "boxes", "field",
    ):  # fmt: skip
        one = Found(*row[1:])
        if one not in found[row[0]]:  # an item that was looked at twice keeps both looks
            found[row[0]].append(one)
    texts: dict[tuple[UUID, str], list[checks.Text]] = {}
    for text in ExtractedText.objects.filter(submission_id__in=ids).order_by("id"):
        texts.setdefault((text.submission_id, text.side), []).append(
            checks.Text(text.field, text.text, text.layout, text.check_name, text.check_version)
        )
    people: dict[UUID, tuple[str, str]] = {}
    blocked: dict[UUID, str] = {}
    for pk, kind, outcome, category in (
        Decision.objects.filter(submission_id__in=ids)
        .order_by("id")
        .values_list("submission_id", "by_kind", "outcome", "category_id")
    ):
        if kind == "staff":
            people[pk] = (outcome, category or "")
        elif outcome == BLOCK:
            blocked[pk] = category or ""
    return Past(found, texts, people, blocked)


def look_again(
    items: Sequence[Submission],
    past: Past,
    loaded: library.Loaded,
    models: classifiers.Loaded,
    *,
    files: frozenset[str] = frozenset(),
) -> Findings:
    """What the checks of today find with a version of the library and with some models. Of those that look at files only
    the named ones look; what the others found stands, and the texts they read are looked at again."""
    of_files = {check.name for check in checks.CHECKS.values() if check.modality == "file"} - files
    found: Findings = {}
    with classifiers.using(models):
        sides = screening.sides_of(items, loaded)
        for item in items:
            seen: list[Found] = []
            for side in sides[item.pk]:
                side.texts += past.texts.get((item.pk, side.name), [])
                seen += checks.look(side, files=files)[0]
            stands = [one for one in past.findings[item.pk] if _check_of(one) in of_files]
            found[item.pk] = seen + stands
    return found


def _check_of(found: Found) -> str:
    return found.detail.partition(":")[0] if found.check == "check_failed" else found.check


# The checks of files that an entry of a kind concerns.
_LOOKS = {
    "sha256": frozenset({"exact"}),
    "image": frozenset({"image_hash"}),
    "video": frozenset({"video_hash"}),
    "audio": frozenset({"audio_print"}),
}
_ALL_LOOKS = frozenset().union(*_LOOKS.values())

# The kinds of target


def of(run: Backtest) -> Trial:
    """The trial of a run, from what the run kept of its target when it began. Library and models are today's."""
    return {"policy": _policy, "feature": _feature, "model": _model}[run.kind](run)


def _policy(run: Backtest) -> Trial:
    kept = run.used["target"]
    tried, live = Policy(kept["number"], kept["rules"]), policy.version(run.used["policy"])
    if not run.used["look_again"]:
        return Trial(tried, live, STORED, None, "", lambda _items, past: (past.findings, past.findings))
    loaded, models = library.current(), classifiers.current()

    def look(items: Sequence[Submission], past: Past) -> tuple[Findings, Findings]:
        found = look_again(items, past, loaded, models)
        return found, found

    return Trial(tried, live, AGAIN, loaded.version, _named(models), look)


def _named(models: classifiers.Loaded) -> str:
    return ", ".join(map(str, models))


def entry_of(kept: Mapping[str, Any]) -> Entry:
    """The entry of a run. It acts on every item, whatever its roll-out: what is asked is what it would find in full."""
    return replace(Entry(**kept), rollout=100)


def _feature(run: Backtest) -> Trial:
    entry = entry_of(run.used["target"]["entry"])
    live, now, models = policy.version(run.used["policy"]), library.current(), classifiers.current()
    # A file that is allowed is not compared with looks and sounds either.
    files = _ALL_LOOKS if entry.allow and entry.kind == "sha256" else _LOOKS.get(entry.kind, frozenset())
    replaced = run.used["target"]["replaces"]
    with_entry = library.with_entry(now, entry, instead_of=[replaced] if replaced else [])
    without_entry = library.without_entries(now, [entry.id])

    def once(items: Sequence[Submission], past: Past) -> tuple[Findings, Findings]:
        found = look_again(items, past, with_entry, models, files=files)
        return found, {pk: [one for one in seen if one.feature_id != entry.id] for pk, seen in found.items()}

    def twice(items: Sequence[Submission], past: Past) -> tuple[Findings, Findings]:
        return (
            look_again(items, past, with_entry, models, files=files),
            look_again(items, past, without_entry, models, files=files),
        )

    return Trial(
        live,
        live,
        AGAIN,
        now.version,
        _named(models),
        # What an allow-list entry cancels, and what a replaced one would find, show only in a look without it.
        twice if entry.allow or replaced else once,
        of_hits=True,
        cancels=entry.allow,
        is_hit=lambda found: found.feature_id == entry.id,
        is_meant=lambda category: category == entry.category and not entry.allow,
    )


def _model(run: Backtest) -> Trial:
    kept = run.used["target"]
    tried = Classifier(
        pk=kept["id"],
        name=kept["name"],
        version=run.target_revision,
        labels=kept["labels"],
        artefact_id=kept["artefact"],
    )
    live, loaded = policy.version(run.used["policy"]), library.current()
    with_it = classifiers.with_model(tried)
    without = tuple(one for one in classifiers.current() if one.id != tried.pk)
    meant = {said["category"] for said in tried.labels.values()}

    def look(items: Sequence[Submission], past: Past) -> tuple[Findings, Findings]:
        # Other checks ask the models too, so that only two looks tell what it changes.
        return look_again(items, past, loaded, with_it), look_again(items, past, loaded, without)

    def is_hit(found: Found) -> bool:
        """What it is sure of: an opinion below that is a hint to whoever sees the item, and holds nothing."""
        return found.check == ByModels.name and found.detail.startswith(f"{tried}: ") and found.severity > HINT

    def is_meant(category: str) -> bool:
        return any(under(category, root) for root in meant)

    return Trial(
        live, live, AGAIN, loaded.version, _named(without), look, of_hits=True, is_hit=is_hit, is_meant=is_meant
    )
