"""Counters and gauges for Prometheus. Counters are kept per process and summed over all of them at a scrape."""

from __future__ import annotations

import os
from collections.abc import Iterator

from django.db import connection
from django.http import HttpRequest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

REQUESTS = Counter("mingjian_requests_total", "Requests by area and status class", ["area", "status"])
REQUEST_SECONDS = Histogram(
    "mingjian_request_seconds",
    "Server time of requests",
    ["area"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1, 2, 5),
)
JOBS_RUN = Counter("mingjian_jobs_run_total", "Jobs run", ["kind"])
JOB_SECONDS = Histogram(
    "mingjian_job_seconds", "Seconds per job", ["kind"], buckets=(0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 1, 10)
)
JOBS_FENCED = Counter("mingjian_jobs_fenced_total", "Results refused because the lease was lost")
JOBS_QUARANTINED = Counter("mingjian_jobs_quarantined_total", "Jobs given up after three attempts", ["kind"])


def count_request(request: HttpRequest, status: int, seconds: float) -> None:
    """Count one request under the first part of its path."""
    area = "api" if request.path.startswith("/api/") else request.path.split("/", 2)[1] or "overview"
    if status == 404:
        area = "unknown"  # a stranger's paths must not become label values
    REQUESTS.labels(area, f"{status // 100}xx").inc()
    REQUEST_SECONDS.labels(area).observe(seconds)


class DatabaseGauges(Collector):
    """What waits, read from the database when Prometheus asks."""

    QUERIES = {
        "mingjian_jobs_due": "SELECT kind, count(*) FROM core_job WHERE due_at <= statement_timestamp() GROUP BY kind",
        "mingjian_jobs_quarantined": "SELECT kind, count(*) FROM core_quarantinedjob GROUP BY kind",
        "mingjian_webhooks_pending": "SELECT 'all', count(*) FROM core_webhookdelivery WHERE state = 'pending'",
        "mingjian_outbox_waiting": "SELECT 'all', count(*) FROM core_outboxevent",
    }

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One family a query."""
        with connection.cursor() as cursor:
            for name, query in self.QUERIES.items():
                family = GaugeMetricFamily(name, name.replace("_", " "), labels=["kind"])
                cursor.execute(query)
                for kind, count in cursor.fetchall():
                    family.add_metric([kind], count)
                yield family


def exposition() -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(DatabaseGauges())
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry)
    from prometheus_client import REGISTRY

    return generate_latest(REGISTRY) + generate_latest(registry)
