"""What Celery runs: wake-ups. Each calls one function; the rules and the truth are elsewhere."""

from __future__ import annotations

from contextlib import suppress

from celery import shared_task
from kombu.exceptions import OperationalError as BrokerError

from core import health, jobs

__all__ = ["BrokerError", "canary", "sweep", "work"]


@shared_task(name="core.tasks.work", ignore_result=True)
def work(queue: str) -> None:
    """Do the due jobs of a queue."""
    jobs.work(queue)


@shared_task(name="core.tasks.canary", ignore_result=True)
def canary(queue: str) -> None:
    """Show that a worker of this queue is alive and hears."""
    health.beat(queue)


@shared_task(name="core.tasks.sweep", ignore_result=True)
def sweep() -> None:
    """The last word when the relay is down: pass events on and do what is due, from beat."""
    from core import outbox

    outbox.relay()
    for queue in {kind.queue for kind in jobs.KINDS.values()} - set(jobs.APART):
        jobs.work(queue, seconds=2.0)
    due = jobs.due_by_queue()
    for queue in jobs.APART:
        if due.get(queue):
            # Long work would hold up whoever runs the sweep; the message lapses where the relay woke its worker already.
            with suppress(BrokerError, OSError):
                work.apply_async(args=[queue], queue=queue, retry=False, expires=10)


@shared_task(name="core.tasks.end_gates", ignore_result=True)
def end_gates() -> None:
    """Open gates whose time is over."""
    from core import gates

    gates.end_due()


@shared_task(name="core.tasks.tidy", ignore_result=True)
def tidy() -> None:
    """Remove sessions that ran out."""
    from django.core.management import call_command

    call_command("clearsessions")
