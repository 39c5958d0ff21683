"""What the clock does with accounts."""

from celery import shared_task

from accounts import (
    attempts,
    documents,
    emergency,
    erasure,
    guesses,
    imports,
    invitations,
    measures,
    person_requests,
    reverification,
    sessions,
    usage,
)


@shared_task(name="accounts.tasks.expire_measures", ignore_result=True)
def expire_measures() -> None:
    """End measures whose time is over."""
    measures.expire_due()


@shared_task(name="accounts.tasks.remove_unclaimed_documents", ignore_result=True)
def remove_unclaimed_documents() -> None:
    """Remove uploads that no identity named within a day."""
    documents.remove_unclaimed()


@shared_task(name="accounts.tasks.close_overdue", ignore_result=True)
def close_overdue() -> None:
    """Write down the end of sessions, emergencies and invitations whose time is over. They ended by the clock already."""
    sessions.tidy()
    emergency.expire_due()
    invitations.expire_due()


@shared_task(name="accounts.tasks.forget_tries", ignore_result=True)
def forget_tries() -> None:
    """Forget tries at public forms that count no more."""
    attempts.forget_old()


@shared_task(name="accounts.tasks.tidy_guesses", ignore_result=True)
def tidy_guesses() -> None:
    """Remove counts of wrong passwords that begin anew anyway."""
    guesses.tidy()


@shared_task(name="accounts.tasks.prove_again", ignore_result=True)
def prove_again() -> None:
    """Begin and end the grace of identities that must be proved again."""
    reverification.run_due()


@shared_task(name="accounts.tasks.erase_due", ignore_result=True)
def erase_due() -> None:
    """Erase records whose retention period is over, and bundles that nobody may fetch any more."""
    erasure.erase_due()
    person_requests.remove_old_bundles()


@shared_task(name="accounts.tasks.write_key_usage", ignore_result=True)
def write_key_usage() -> None:
    """Write down how much each key called in the last minute."""
    usage.write()


@shared_task(name="accounts.tasks.forget_imports", ignore_result=True)
def forget_imports() -> None:
    """Remove the files of imports whose time is over."""
    imports.forget_old()


@shared_task(name="accounts.tasks.forget_key_usage", ignore_result=True)
def forget_key_usage() -> None:
    """Remove counts of calls that nobody looks at any more."""
    usage.forget_old()
