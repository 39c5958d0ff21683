"""end_to_end: items accepted, screened and decided by policy, with web, relay and worker on the same cores. The rate is
all items over the time until the last of them is decided; verdict times are the database's."""

from __future__ import annotations

import time

from bench import intake, place

PLAIN_SINGLE, PLAIN_TUNED = 100.0, 250.0  # items/s that a plain and a tuned Celery shop sustain on two cores (measured)


def settle(started: float, limit: float = 180.0) -> float:
    """Seconds from `started` until nothing is in screening."""
    from django.db import connection

    deadline = time.perf_counter() + limit
    while time.perf_counter() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM core_job WHERE kind = 'moderation.screen')")
            if not cursor.fetchone()[0]:
                return time.perf_counter() - started
        time.sleep(0.02)
    raise SystemExit("items are still in screening")


def verdicts() -> tuple[int, float, float, dict[str, int]]:
    """Decided items, p50 and p99 of seconds from acceptance to verdict, and counts by state; forgets them."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY d), percentile_cont(0.99) WITHIN GROUP"
            " (ORDER BY d) FROM (SELECT extract(epoch FROM decided_at - created_at) AS d FROM moderation_submission"
            " WHERE decided_at IS NOT NULL) AS times"
        )
        count, p50, p99 = cursor.fetchone()
        cursor.execute("SELECT state, count(*) FROM moderation_submission GROUP BY state")
        states = dict(cursor.fetchall())
    return count, float(p50 or 0), float(p99 or 0), states


def main() -> dict[str, float]:
    """Single POSTs at full speed, then at half of it (for verdict times), then batches."""
    figures: dict[str, float] = {}
    for name in ("single", "batch"):
        with place.database("bench_e2e"):
            place.django()
            key = place.raise_world()
            from django.db import connection

            with place.worker(), place.web() as port:
                started = time.perf_counter()
                if name == "single":
                    result = intake.single(port, key)
                else:
                    _rate, result = intake.batch(port, key, lines=500)
                took = settle(started)
                count, p50, p99, states = verdicts()
                figures |= {f"{name}_items_per_s": sum(states.values()) / took, f"{name}_items": sum(states.values())}
                if name == "single":
                    half = max(20.0, result.rate / 2)
                    with connection.cursor() as cursor:
                        cursor.execute("TRUNCATE moderation_submission, moderation_content CASCADE")
                    intake.paced(port, key, half)
                    settle(time.perf_counter())
                    _count, p50, p99, _states = verdicts()
                    figures |= {"paced_rate": half, "verdict_p50_ms": p50 * 1000, "verdict_p99_ms": p99 * 1000}
                connection.close()
            assert states.get("screening", 0) == 0, states
    rate = figures["single_items_per_s"]
    place.line(
        "end_to_end_single", f"{rate:.0f} items/s", f"tuned plain Celery {PLAIN_TUNED:.0f}/s", rate / PLAIN_TUNED
    )
    place.line(
        "end_to_end_verdict",
        f"p50 {figures['verdict_p50_ms']:.1f} p99 {figures['verdict_p99_ms']:.1f} ms at {figures['paced_rate']:.0f}/s",
        "tuned plain Celery p50 3.4 p99 11 ms at 140/s",
        None,
    )
    rate = figures["batch_items_per_s"]
    place.line("end_to_end_batch", f"{rate:.0f} items/s", "goal 1000 items/s", rate / 1000)
    return figures
