"""Refusals: the one way a command says no. Rendered as problem+json (API) or as a sentence with role=alert (pages)."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A command will not do what was asked, and nothing was changed.

    `code` is stable and part of the API (contract.md); `detail` is a sentence for people; `errors` names fields;
    `extra` goes into the problem document as it is (RFC 9457 extension members).
    """

    status = 422

    def __init__(
        self,
        code: str,
        detail: Any,
        *,
        status: int | None = None,
        errors: list[dict[str, Any]] | None = None,
        extra: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ):
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.errors = errors or []
        self.extra = extra or {}
        self.retry_after = retry_after
        if status is not None:
            self.status = status

    @property
    def further(self) -> list[dict[str, Any]]:
        """The field errors that say more than the sentence itself."""
        return [error for error in self.errors if str(error["detail"]) != str(self.detail)]


class Forbidden(Refusal):
    """The person's grants don't cover this."""

    status = 403


class NotFound(Refusal):
    """There is no such thing, or the caller may not know that there is."""

    status = 404


class Conflict(Refusal):
    """The thing is in another state than the caller believes."""

    status = 409


def field_error(field: str, code: str, detail: Any) -> dict[str, Any]:
    """One entry of a problem's `errors`."""
    return {"field": field, "code": code, "detail": detail}
