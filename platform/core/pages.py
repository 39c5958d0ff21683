"""What the staff's pages share: the door (who may see this), refusals as sentences, and paging."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from core.errors import Refusal
from core.roles import may


def staff_page(permission: str, *, secret: bool = False) -> Callable[[Any], Any]:
    """Decorate a view with the grant it needs. Without it: 403 with a sentence, or 404 where existence is secret."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not may(request.user, permission):
                if secret:
                    raise Http404
                return render(request, "403.html", status=403)
            return view(request, *args, **kwargs)

        guarded.permission = permission  # type: ignore[attr-defined]
        return guarded

    return decorate


def refusal_page(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """A refusal that no view caught, as a page (or as a fragment for htmx) with role=alert."""
    template = "components/refusal.html" if getattr(request, "htmx", False) else "refused.html"
    return render(request, template, {"refusal": refusal}, status=refusal.status)


class Page:
    """One page of a newest-first list keyed by a time-ordered id: no offset, so that page 1,000 costs what page 1 does."""

    def __init__(self, rows: Any, *, size: int = 50, before: str = "", key: str = "pk"):
        ordered = rows.order_by(f"-{key}")
        if before:
            ordered = ordered.filter(**{f"{key}__lt": before})
        found = list(ordered[: size + 1])
        self.rows = found[:size]
        self.next = str(getattr(found[size - 1], key)) if len(found) > size else ""
        self.first = not before

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)
