"""rotation: BENCH_ROTATION identities (100,000), each under a data key of its own and a tenth still sealed from before there
were data keys, are brought under a new field key while users register over HTTP. The run is killed with SIGKILL half-way
and started again. Told against writing as many rows of that size back unchanged, by plain SQL in batches of the same size
on the same server in the same run.

Before: every process knows both keys and writes under the old one. Web processes that know the new key as the one in use
are started first, as docs/keys.md has it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from bench import load, place

IDENTITIES = int(os.environ.get("BENCH_ROTATION", "100000"))
KEYS = {"1": base64.urlsafe_b64encode(b"f" * 32).decode(), "2": base64.urlsafe_b64encode(b"g" * 32).decode()}
BATCH = 1000
CONNECTIONS = 4
PER_SECOND = 40.0
COMMAND = [sys.executable, "manage.py", "rotate_keys", "--batch", str(BATCH)]


def fill() -> None:
    """Users with an identity each, by COPY, all sealed as the product seals them, under the old key."""
    from django.db import connection

    from accounts import numbers
    from core import crypto, vault
    from core.ids import uuid7
    from governance.models import Service

    service = Service.objects.get(code="bench")
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        rows: dict[str, list[tuple[Any, ...]]] = {"user": [], "key": [], "identity": []}
        for n in range(IDENTITIES):
            user, identity = uuid7(), uuid7()
            number, subject, context = f"139{n:08}", f"user:{user}", f"identity:{identity}"
            rows["user"].append((user, service.pk, f"r{n}", "person", "u", "", "verified", "active"))
            if n % 10:
                key = os.urandom(32)
                wrapped = vault.wrapped(subject, key)
                rows["key"].append((subject, bytes(wrapped.wrapped or b""), wrapped.key_id))
                sealed = vault.seal_under(key, number, subject=subject, context=f"{context}:number")
                name = vault.seal_under(key, "试名", subject=subject, context=f"{context}:name")
            else:
                sealed, name = crypto.seal(number, f"{context}:number"), crypto.seal("试名", f"{context}:name")
            digest = crypto.digest(number, "identity.mobile")
            rows["identity"].append(
                (identity, user, "mobile", "replaced", sealed, name, digest, numbers.masked(number))
            )
        for table, columns, kinds, given in (
            ("accounts_user", "id, service_id, external_id, kind, display_name, region, identity_status, account_status",
             ["uuid", "uuid", *["text"] * 6], rows["user"]),
            ("core_datakey", "subject, wrapped, key_id", ["text", "bytea", "text"], rows["key"]),
            ("accounts_identity", "id, user_id, method, state, number_sealed, name_sealed, number_digest, number_masked,"
             " name_masked, reject_reason",
             ["uuid", "uuid", "text", "text", "bytea", "bytea", "bytea", "text", "text", "text"],
             [(*row, "", "") for row in rows["identity"]]),
        ):  # fmt: skip
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                copy.set_types(kinds)
                for row in given:
                    copy.write_row(row)
        cursor.execute("VACUUM ANALYZE core_datakey")
        cursor.execute("VACUUM ANALYZE accounts_identity")


def plain() -> float:
    """Rows a second of reading and writing back as many rows of the size, in batches, without any cryptography."""
    from django.db import connection, transaction

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE plain AS SELECT subject, wrapped, key_id FROM core_datakey")
        cursor.execute("ALTER TABLE plain ADD PRIMARY KEY (subject)")
        cursor.execute("CREATE INDEX ON plain (key_id)")
        started, last, moved = time.perf_counter(), "", 0
        while True:
            with transaction.atomic():
                cursor.execute(
                    "SELECT subject, wrapped FROM plain WHERE subject > %s ORDER BY subject LIMIT %s", [last, BATCH]
                )
                rows = cursor.fetchall()
                if not rows:
                    break
                cursor.execute(
                    "UPDATE plain AS p SET wrapped = n.wrapped, key_id = '2'"
                    " FROM unnest(%s::text[], %s::bytea[]) AS n(subject, wrapped) WHERE p.subject = n.subject",
                    [[row[0] for row in rows], [bytes(row[1]) for row in rows]],
                )
            last, moved = rows[-1][0], moved + len(rows)
        rate = moved / (time.perf_counter() - started)
        cursor.execute("DROP TABLE plain")
    return rate


def left() -> int:
    """Values that still name the old key, or should be under a data key and are not."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM core_datakey WHERE key_id <> '2')"
            " + (SELECT count(*) FROM accounts_identity WHERE substr(number_sealed, 1, 3) = 'v1.')"
            " + (SELECT count(*) FROM accounts_identity WHERE substr(name_sealed, 1, 3) = 'v1.')"
        )
        return cursor.fetchone()[0]


class Intake(threading.Thread):
    """Registers users and hands in identities over HTTP until told to stop, at a steady pace."""

    def __init__(self, port: int, key: str):
        super().__init__()
        self.port, self.key, self.going = port, key, True
        self.statuses: dict[int, int] = {}
        self.slowest = 0.0

    def run(self) -> None:
        number = 0
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        while self.going:
            base = number
            number += 10_000

            def make(n: int, base: int = base) -> bytes:
                user = f"n{base + n // 2}"
                if n % 2:
                    body = {"method": "mobile", "number": f"138{base + n:08}", "name": "试名"}
                    return load.request(f"/api/v1/users/u{n % 200}/identity", json.dumps(body).encode(), headers)
                body = {"external_id": user, "kind": "person", "display_name": "u", "contact": "a@example.cn"}
                return load.request("/api/v1/users", json.dumps(body).encode(), headers)

            result = load.run(self.port, make, connections=CONNECTIONS, seconds=1.0, rate=PER_SECOND)
            for status, count in result.statuses.items():
                self.statuses[status] = self.statuses.get(status, 0) + count
            self.slowest = max(self.slowest, result.percentile(0.99))


def killed_half_way(environment: dict[str, str], total: int) -> int:
    """Start a run, SIGKILL it when half is done; answers what was left."""
    child = subprocess.Popen(COMMAND, cwd=place.ROOT, env=environment, stdout=subprocess.DEVNULL)
    while (now := left()) > total / 2:
        if child.poll() is not None:
            raise SystemExit("the run ended before it could be killed")
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    return now


def main() -> dict[str, float]:
    """Fill, rotate under load with a kill, check; print the rate and what the callers saw."""
    os.environ.update({"FIELD_KEYS": ",".join(f"{k}={v}" for k, v in KEYS.items()), "FIELD_KEY_ID": "1"})
    with place.database("bench_rotation"):
        place.django()
        key = place.raise_world()
        from django.conf import settings
        from django.db import connection

        from core import rotation

        fill()
        baseline = plain()
        settings.FIELD_KEY_ID = "2"
        total = left()
        connection.close()
        with place.web(FIELD_KEY_ID="2") as port:
            environment = {**os.environ, "FIELD_KEY_ID": "2"}
            intake = Intake(port, key)
            intake.start()
            try:
                started = time.perf_counter()
                remained = killed_half_way(environment, total)
                second = subprocess.run(
                    COMMAND, cwd=place.ROOT, env=environment, capture_output=True, text=True, check=False
                )
                seconds = time.perf_counter() - started
            finally:
                intake.going = False
                intake.join()
        named, still = rotation.used("1"), left()
        connection.close()
    if second.returncode or named or still:
        raise SystemExit(f"rotation: {second.stdout[-500:]}{second.stderr[-500:]} left {still} {named}")
    failed = sum(count for status, count in intake.statuses.items() if status >= 400)
    answered = sum(intake.statuses.values())
    if failed or not answered:
        raise SystemExit(f"rotation: callers saw {intake.statuses}")
    rate = total / seconds
    place.line("rotation", f"{rate:.0f} values/s", f"plain rewrite {baseline:.0f} rows/s", rate / baseline)
    print(
        f"  {total} values in {seconds:.1f} s with one kill -9 at {total - remained}; {answered} requests meanwhile,"
        f" {failed} failed, p99 {intake.slowest * 1000:.0f} ms; none left under the old key"
    )
    return {
        "values": total, "seconds": seconds, "values_per_s": rate, "plain_per_s": baseline, "ratio": rate / baseline,
        "requests": answered, "failed": failed, "p99_ms": intake.slowest * 1000,
    }  # fmt: skip
