"""Structured logs. One request id follows an item from the request through its job into the worker's lines."""

from __future__ import annotations

import logging
import re
from typing import Any

import msgspec
import structlog

from core import tracebacks

# The last net under "nothing personal goes into logs": identifiers and keys that slipped into a message.
_PERSONAL = re.compile(
    r"(?<!\d)1[3-9]\d{9}(?!\d)|(?<!\d)\d{17}[\dXx](?![\dXx])|(?<![0-9A-Z])9[1-9][0-9A-Z]{16}(?![0-9A-Z])"
    r"|mj_[A-Za-z0-9_-]{20,}|whsec_[A-Za-z0-9+/=]+"
    r"|(?<=/)[A-Za-z0-9_-]{40,}={0,2}(?![A-Za-z0-9_-])"  # tokens in addresses: invitations, appeals, status pages
)


def _scrub(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
    for key, value in event.items():
        if isinstance(value, str) and key != "request_id":
            event[key] = _PERSONAL.sub("[removed]", value)
    return event


def _dumps(value: Any, **kwargs: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


_shared: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    tracebacks.processor,
    _scrub,
]

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
            "foreign_pre_chain": _shared,
        }
    },
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["out"], "level": "INFO"},
    "loggers": {
        "django.server": {"handlers": ["out"], "level": "WARNING", "propagate": False},
        "django.request": {"level": "ERROR"},
        "celery": {"level": "INFO"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
    },
}


def configure() -> None:
    """Point structlog at the standard library's handlers. Called once, when core's settings are read."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(True)


configure()
