"""lookup: finding who handed in a number among BENCH_IDENTITIES (1,000,000) by the product's function (normalise, keyed
digest, select) against the raw primary-key SELECT as a prepared statement on the same connection, call by call in turn."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

from bench import place

IDENTITIES = int(os.environ.get("BENCH_IDENTITIES", "1000000"))
CALLS = int(os.environ.get("BENCH_CALLS", "20000"))


def number(n: int) -> str:
    """A mobile number in a range of our own; nobody's as far as a counter can tell."""
    return f"199{n:08d}"


def fill(service_id: object) -> list[object]:
    """Users and their identities by COPY; answers the ids of the identities in order."""
    from django.db import connection

    from core import crypto
    from core.ids import uuid7

    people = [uuid7() for _ in range(IDENTITIES)]
    proofs = [uuid7() for _ in range(IDENTITIES)]
    with connection.cursor() as cursor:
        _copy(
            cursor,
            "accounts_user (id, service_id, external_id, kind, display_name, region, identity_status, account_status)",
            ((pk, service_id, f"c{n}", "person", "u", "", "verified", "active") for n, pk in enumerate(people)),
        )
        _copy(
            cursor,
            "accounts_identity (id, user_id, method, state, number_digest, number_masked, name_masked, reject_reason,"
            " decided_at, verified_by_method)",
            (
                (pk, people[n], "mobile", "verified", crypto.digest(number(n), "identity.mobile"), "199******00", "", "",
                 "2026-01-01T00:00:00Z", "one_time_code")
                for n, pk in enumerate(proofs)
            ),
        )  # fmt: skip
        cursor.execute("ANALYZE accounts_user, accounts_identity")
    return list(proofs)


def _copy(cursor: object, target: str, rows: Iterator[tuple[object, ...]]) -> None:
    with cursor.copy(f"COPY {target} FROM STDIN") as copy:  # type: ignore[attr-defined]
        for row in rows:
            copy.write_row(row)


def percentile(values: list[float], share: float) -> float:
    """In microseconds."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1e6


def main() -> dict[str, float]:
    """Look-ups and raw selects in turn, so that whatever disturbs one disturbs the other."""
    with place.database("bench_lookup"):
        place.django()
        place.raise_world(users=1)
        from django.db import connection

        from accounts import lookup
        from governance.models import Service

        proofs = fill(Service.objects.get(code="bench").pk)
        chosen = random.Random(7)
        cursor = connection.connection.cursor()
        ours: list[float] = []
        raw: list[float] = []
        for turn in range(CALLS + 200):
            n, other = chosen.randrange(IDENTITIES), chosen.randrange(IDENTITIES)
            started = time.perf_counter()
            found = lookup.holders("mobile", number(n))
            between = time.perf_counter()
            cursor.execute("SELECT id, user_id FROM accounts_identity WHERE id = %s", [proofs[other]], prepare=True)
            row = cursor.fetchall()
            ended = time.perf_counter()
            assert [one.pk for one in found] == [proofs[n]] and row[0][0] == proofs[other]
            if turn >= 200:
                ours.append(between - started)
                raw.append(ended - between)
        cursor.close()
        connection.close()
    ratio = percentile(ours, 0.99) / percentile(raw, 0.99)
    figures = {
        "identities": IDENTITIES, "ours_p50_us": percentile(ours, 0.5), "ours_p99_us": percentile(ours, 0.99),
        "raw_p50_us": percentile(raw, 0.5), "raw_p99_us": percentile(raw, 0.99), "ratio": ratio,
    }  # fmt: skip
    place.line(
        "lookup",
        f"{IDENTITIES} identities p50 {figures['ours_p50_us']:.0f} p99 {figures['ours_p99_us']:.0f} us",
        f"primary key p50 {figures['raw_p50_us']:.0f} p99 {figures['raw_p99_us']:.0f} us (goal: at most 2)",
        ratio,
    )
    return figures
