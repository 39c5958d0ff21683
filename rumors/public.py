"""The public pages of refutations: no login, newest first, with ClaimReview data and an Atom feed."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.contrib.syndication.views import Feed
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.feedgenerator import Atom1Feed
from django.utils.html import escape, format_html, linebreaks
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from core.pages import Page
from governance.models import Provider
from rumors.models import Refutation
from rumors.refutations import published

IN_FEED = 50
# schema.org ratings run from 1, the worst, to 5; a claim that nobody could verify has no figure.
RATINGS = {"false": 1, "true": 5}
_SCRIPT_ESCAPES = {ord("<"): "\\u003C", ord(">"): "\\u003E", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@require_safe
def refutation_list(request: HttpRequest) -> HttpResponse:
    """What was refuted, newest first."""
    before = _moment(request.GET.get("before", ""))
    page = Page(published(), size=20, before=before.isoformat() if before else "", key="published_at")
    return render(request, "public/refutations.html", {"page": page})


@require_safe
def refutation_page(request: HttpRequest, number: str, version: int | None = None) -> HttpResponse:
    """One refutation: the latest version, or an earlier one that points to the latest."""
    versions = list(
        Refutation.objects.filter(case__number=number, published_at__isnull=False)
        .select_related("case")
        .order_by("-version")
    )
    shown = next((r for r in versions if version is None or r.version == version), None)
    if shown is None:
        raise Http404
    return render(
        request,
        "public/refutations_one.html",
        {
            "refutation": shown,
            "latest": versions[0],
            "versions": versions,
            "ld": json_ld(claim_review(shown, request)) if shown == versions[0] else "",
        },
    )


def claim_review(refutation: Refutation, request: HttpRequest) -> dict[str, Any]:
    """The refutation as schema.org/ClaimReview."""
    provider = Provider.objects.order_by("pk").first()
    rating: dict[str, Any] = {"@type": "Rating", "alternateName": refutation.verdict_words}
    if refutation.verdict in RATINGS:
        rating.update(ratingValue=RATINGS[refutation.verdict], bestRating=5, worstRating=1)
    assert refutation.published_at is not None
    return {
        "@context": "https://schema.org",
        "@type": "ClaimReview",
        "url": request.build_absolute_uri(reverse("public_refutation", args=[refutation.case.number])),
        "claimReviewed": refutation.claim,
        "itemReviewed": {"@type": "Claim", "name": refutation.claim},
        "reviewRating": rating,
        "author": {"@type": "Organization", "name": str(provider) if provider else _("Mingjian")},
        "name": refutation.shown_title,
        "reviewBody": refutation.shown_text,
        "citation": refutation.sources,
        "version": refutation.version,
        "datePublished": refutation.published_at.isoformat(),
    }


def json_ld(data: dict[str, Any]) -> SafeString:
    """A JSON-LD data block. Browsers don't execute it, so that the content security policy doesn't concern it; what
    could end the element is escaped inside the JSON."""
    text = json.dumps(data, ensure_ascii=False).translate(_SCRIPT_ESCAPES)
    return format_html('<script type="application/ld+json">{}</script>', SafeString(text))


class RefutationFeed(Feed):
    """The newest refutations as Atom; a correction moves its entry up under the same id."""

    feed_type = Atom1Feed

    def title(self) -> str:
        """The name of the feed."""
        return _("Refutations")

    def subtitle(self) -> str:
        """What it is."""
        return _("False information that was found and refuted.")

    def link(self) -> str:
        """The page it belongs to."""
        return reverse("public_refutations")

    def feed_url(self) -> str:
        """Its own address."""
        return reverse("public_refutations_feed")

    def feed_guid(self) -> str:
        """An id that no change of address changes."""
        provider = Provider.objects.order_by("pk").first()
        return f"urn:uuid:{provider.pk}" if provider else "urn:mingjian:refutations"

    def author_name(self) -> str:
        """Who publishes."""
        return str(Provider.objects.order_by("pk").first() or _("Mingjian"))

    def items(self) -> list[Refutation]:
        """The newest ones."""
        return list(published().order_by("-published_at")[:IN_FEED])

    def item_title(self, item: Refutation) -> str:  # type: ignore[override]
        """Plain text in Atom: the writer of the XML escapes it."""
        return item.shown_title

    def item_description(self, item: Refutation) -> str:  # type: ignore[override]
        """HTML in Atom: escaped here, and once more by the writer of the XML."""
        return linebreaks(escape(item.shown_text))

    def item_link(self, item: Refutation) -> str:
        """Where it stands."""
        return reverse("public_refutation", args=[item.case.number])

    def item_guid(self, item: Refutation) -> str:
        """The case's id: the same for every version."""
        return f"urn:uuid:{item.case_id}"

    def item_pubdate(self, item: Refutation) -> datetime | None:
        """When this version was published."""
        return item.published_at

    item_updateddate = item_pubdate


def _moment(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment and timezone.is_aware(moment) else None
