"""registration: POST /api/v1/users against the plain Django + DRF application's POST, in the same run: same server, same
worker counts, same PostgreSQL. Once with what must be told, once with everything that may be."""

from __future__ import annotations

import json
import os

from bench import intake, load, place


def registrations(port: int, key: str, **details: str) -> load.Result:
    """Every request is a new user."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    run = os.urandom(4).hex()

    def make(n: int) -> bytes:
        body = {"external_id": f"{run}-{n}", "kind": "person", "display_name": "听雨的人", "region": "上海"}
        told = {name: value.format(n=n) for name, value in details.items()}
        return load.request("/api/v1/users", json.dumps({**body, **told}, ensure_ascii=False).encode(), headers)

    load.run(port, make, connections=intake.CONNECTIONS, seconds=1.0)
    run = os.urandom(4).hex()
    return load.run(port, make, connections=intake.CONNECTIONS, seconds=intake.SECONDS)


def main() -> dict[str, float]:
    """Ours, then the plain application."""
    from stack.addresses import resolve

    broker = resolve(place.ROOT, os.environ).broker_url
    # The limit of calls a key may make is a setting; here it is not what is measured.
    os.environ.setdefault("MINGJIAN_KEY_PER_MINUTE", "100000000")
    with place.database("bench_registration"):
        place.django()
        key = place.raise_world(users=1)
        from django.db import connection

        connection.close()
        with place.web() as port:
            bare = registrations(port, key)
            full = registrations(
                port, key, profession="教师", institution="某中学", contact="user{n}@example.cn",
                device="device-{n}", address="203.0.113.7",
            )  # fmt: skip
    plain = intake.baseline(broker)
    assert set(bare.statuses) == set(full.statuses) == {201}, (bare.statuses, full.statuses)
    figures = {
        "ours_rps": bare.rate, "ours_p50_ms": bare.percentile(0.5) * 1000, "ours_p99_ms": bare.percentile(0.99) * 1000,
        "ours_full_rps": full.rate, "ours_full_p99_ms": full.percentile(0.99) * 1000,
    }  # fmt: skip
    shown, ratio, ratio_full = "no baseline here", None, None
    if plain:
        assert set(plain.statuses) == {201}, plain.statuses
        ratio, ratio_full = bare.rate / plain.rate, full.rate / plain.rate
        figures |= {"plain_rps": plain.rate, "ratio": ratio, "ratio_full": ratio_full}
        shown = f"plain DRF {plain.rate:.0f}/s p99 {plain.percentile(0.99) * 1000:.1f} ms"
    place.line("registration", _said(bare), shown, ratio)
    place.line("registration_full", _said(full), shown, ratio_full)
    return figures


def _said(result: load.Result) -> str:
    return f"{result.rate:.0f}/s p50 {result.percentile(0.5) * 1000:.1f} p99 {result.percentile(0.99) * 1000:.1f} ms"
