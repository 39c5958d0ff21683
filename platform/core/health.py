"""Is it alive, is it ready: database, broker, worker, ledger."""

from __future__ import annotations

from django.conf import settings
from django.db import connection
from redis import Redis

from core import mediabox

WORKER_SILENT_AFTER = 30  # seconds without a canary


def beat(name: str) -> None:
    """Note that a worker of this queue did its canary now (by the database's clock)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO core_heartbeat (name, at) VALUES (%s, statement_timestamp()) ON CONFLICT (name) DO UPDATE SET at = statement_timestamp()",
            [name],
        )


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _ledger() -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'core_auditevent'::regclass AND NOT tgisinternal"
            " AND tgenabled <> 'D'"
        )
        found = cursor.fetchone()[0]
    return "" if found >= 2 else "the append-only triggers are missing or switched off"


def _broker() -> str:
    with Redis.from_url(settings.BROKER_CLIENT_URL, socket_timeout=1.0, socket_connect_timeout=1.0) as broker:
        policy = broker.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")  # type: ignore[union-attr]
    return "" if policy == "noeviction" else f"the broker may evict messages ({policy})"


def _worker() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, extract(epoch FROM statement_timestamp() - at) FROM core_heartbeat")
        ages = dict(cursor.fetchall())
    for queue in ("work", "courier", "media"):
        age = ages.get(queue)
        if age is None:
            return f"no worker of queue {queue} has answered yet"
        if age > WORKER_SILENT_AFTER:
            return f"the worker of queue {queue} has been silent for {age:.0f} s"
    return ""


CHECKS = {"database": _database, "broker": _broker, "worker": _worker, "ledger": _ledger}


def readiness() -> dict[str, str]:
    """What each part says: "ok", or what is wrong in one clause (never a secret, an address or a trace)."""
    result = {}
    for name, check in CHECKS.items():
        try:
            result[name] = check() or "ok"
        except Exception as exc:
            result[name] = f"away ({type(exc).__name__})"
    return result


def box() -> str:
    """Whether the boxes that media are decoded in are "full" or "reduced" here, and what is missing (security M10). Not
    a reason to take no items: what the box can't decode goes to a person."""
    try:
        found = mediabox.state()
    except Exception as exc:
        return f"away ({type(exc).__name__})"
    return "full" if found["mode"] == "full" else "reduced: " + ", ".join(found["missing"])
