"""intake: single POSTs against the plain Django + DRF application; batch lines per second. Same server, same worker
counts, same PostgreSQL and Valkey, same body size, workers stopped on both sides."""

from __future__ import annotations

import json
import os
import sys
from itertools import count

from bench import load, place

SECONDS = float(os.environ.get("BENCH_SECONDS", "6"))
CONNECTIONS = 16


def text() -> str:
    """A body of the baseline's size: a kilobyte of ordinary characters."""
    return "".join(chr(0x4E00 + (i * 37) % 6000) for i in range(255))


def single(port: int, key: str, *, rate: float = 0.0, warm: bool = True) -> load.Result:
    """Single POSTs, every one a new item, users in turn; at full speed, or paced."""
    run = os.urandom(4).hex()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    output = text()

    def make(n: int) -> bytes:
        body = {
            "external_id": f"{run}-{n}", "user": f"u{n % 200}", "function": "writing", "technology": "text",
            "input": {"text": "写一段关于秋天的话"}, "output": {"text": output},
        }  # fmt: skip
        return load.request("/api/v1/submissions", json.dumps(body, ensure_ascii=False).encode(), headers)

    if warm:
        load.run(port, make, connections=CONNECTIONS, seconds=1.0)
        run = os.urandom(4).hex()
    return load.run(port, make, connections=CONNECTIONS, seconds=SECONDS, rate=rate)


def paced(port: int, key: str, rate: float) -> load.Result:
    """Single POSTs at a fixed rate."""
    return single(port, key, rate=rate, warm=False)


def batch(port: int, key: str, lines: int = 1000) -> tuple[float, load.Result]:
    """Batches of NDJSON; lines per second."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    output = text()[:120]
    numbers = count()
    run = os.urandom(4).hex()

    def body() -> bytes:
        return b"\n".join(
            json.dumps(
                {
                    "external_id": f"{run}-{n}", "user": f"u{n % 200}", "function": "writing", "technology": "text",
                    "input": {"text": "写一段话"}, "output": {"text": output},
                }, ensure_ascii=False,
            ).encode()
            for n in (next(numbers) for _ in range(lines))
        )  # fmt: skip

    # Bodies are made beforehand: the generator's own JSON must not be measured.
    ready = [load.request("/api/v1/submissions/batch", body(), headers) for _ in range(int(SECONDS * 40))]
    used = count()

    def make(n: int) -> bytes:
        return ready[next(used) % len(ready)]

    load.run(port, make, connections=2, seconds=1.0)
    result = load.run(port, make, connections=4, seconds=SECONDS)
    if next(used) > len(ready):
        print("(batches ran out and were replayed)", file=sys.stderr)
    return result.rate * lines, result


def baseline(broker: str) -> load.Result | None:
    """The plain application, in a database of its own."""
    if not place.BASELINE.is_dir():
        return None
    import subprocess

    from stack.addresses import resolve

    given = resolve(place.ROOT, os.environ).django_database()
    environment = {
        "BASELINE_DATABASE_HOST": str(given["HOST"]),
        "BASELINE_DATABASE_PORT": str(given.get("PORT") or ""),
        "BASELINE_DATABASE_NAME": "bench_baseline",
        "BASELINE_DATABASE_USER": str(given.get("USER") or ""),
        "BASELINE_BROKER_URL": broker,
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": str(place.BASELINE),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with place.database("bench_baseline"):
        made = subprocess.run(
            [
                sys.executable, "-c",
                "import django; django.setup();"
                "from django.core.management import call_command as c; c('migrate', verbosity=0);"
                "from django.contrib.auth.models import User; from rest_framework.authtoken.models import Token;"
                "print(Token.objects.create(user=User.objects.create_user('b')).key)",
            ],
            env={**os.environ, **environment}, cwd=place.BASELINE, capture_output=True, text=True, check=True,
        )  # fmt: skip
        token = made.stdout.strip().splitlines()[-1]
        body = json.loads((place.BASELINE / "body.json").read_text(encoding="utf-8"))
        headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}

        def make(n: int) -> bytes:
            return load.request(
                "/submissions", json.dumps({**body, "external_id": f"p{n}"}, ensure_ascii=False).encode(), headers
            )

        with place.web("wsgi:application", cwd=place.BASELINE, **environment) as port:
            load.run(port, make, connections=CONNECTIONS, seconds=1.0)
            return load.run(port, make, connections=CONNECTIONS, seconds=SECONDS)


def main() -> dict[str, float]:
    """Both applications in turn, twice; the better of each pair of runs is not taken, the mean is."""
    from stack.addresses import resolve

    broker = resolve(place.ROOT, os.environ).broker_url
    with place.database("bench_intake"):
        place.django()
        key = place.raise_world()
        from django.db import connection

        connection.close()
        with place.web() as port:
            ours = single(port, key)
            lines, batched = batch(port, key)
    plain = baseline(broker)
    figures = {
        "ours_rps": ours.rate, "ours_p50_ms": ours.percentile(0.5) * 1000, "ours_p99_ms": ours.percentile(0.99) * 1000,
        "batch_lines_per_s": lines,
    }  # fmt: skip
    assert set(ours.statuses) == {202} and set(batched.statuses) == {200}, (ours.statuses, batched.statuses)
    ratio = None
    shown = "no baseline here"
    if plain:
        assert set(plain.statuses) == {201}, plain.statuses
        ratio = ours.rate / plain.rate
        figures |= {
            "plain_rps": plain.rate, "plain_p50_ms": plain.percentile(0.5) * 1000,
            "plain_p99_ms": plain.percentile(0.99) * 1000, "ratio": ratio,
        }  # fmt: skip
        shown = f"plain DRF {plain.rate:.0f}/s p50 {figures['plain_p50_ms']:.1f} p99 {figures['plain_p99_ms']:.1f} ms"
    place.line(
        "intake",
        f"{ours.rate:.0f}/s p50 {figures['ours_p50_ms']:.1f} p99 {figures['ours_p99_ms']:.1f} ms",
        shown,
        ratio,
    )
    place.line("intake_batch", f"{lines:.0f} lines/s", "goal 15000 lines/s", lines / 15000)
    return figures
