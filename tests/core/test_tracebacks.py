"""Errors of the database stand in the log without the values that they quote."""

from __future__ import annotations

import logging

import pytest
from django.db import DataError, IntegrityError, connection, transaction

from accounts.models import User
from core import tracebacks
from tests.core.test_logs import lines  # noqa: F401  (a fixture)

# Not written out where they are used: a traceback shows the lines of the source.
NAME = "欧阳\n试名"
TAKEN = "taken-" + "13912345678"
NO_NUMBER = "欧阳试名\nzweite"


def failed(act):
    with pytest.raises(Exception) as raised, transaction.atomic():
        act()
    return raised.value


@pytest.mark.django_db
def test_a_broken_constraint_names_itself_and_not_the_row(world):
    def again():
        User.objects.create(service=world.service, external_id=TAKEN, kind="person", display_name=NAME)

    again()
    exc = failed(again)
    assert isinstance(exc, IntegrityError) and TAKEN in str(exc)
    written = tracebacks.text(exc)
    assert "external_id_is_unique_per_service" in written and "UniqueViolation" in written
    assert "=(" not in written and "DETAIL" not in written and TAKEN not in written


@pytest.mark.django_db
def test_a_row_that_fails_a_check_is_not_quoted(world):
    exc = failed(lambda: User.objects.create(service=world.service, external_id="x9", kind="alien", display_name=NAME))
    assert "Failing row" in str(exc) and "试名" in str(exc)
    written = tracebacks.text(exc)
    assert "试名" not in written and "欧阳" not in written and "user_is_a_person_or_an_organization" in written


@pytest.mark.django_db
def test_a_value_that_cannot_be_read_is_not_quoted():
    def ask():
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::int", [NO_NUMBER])

    exc = failed(ask)
    assert isinstance(exc, DataError) and NO_NUMBER in str(exc)
    written = tracebacks.text(exc)
    assert "欧阳" not in written and "zweite" not in written and "invalid input syntax" in written


@pytest.mark.django_db
def test_the_cause_behind_another_exception_is_cleaned_too(world):
    def wrapped():
        try:
            User.objects.create(service=world.service, external_id="x9", kind="alien", display_name=NAME)
        except IntegrityError as broken:
            raise RuntimeError("while registering") from broken

    written = tracebacks.text(failed(wrapped))
    assert "while registering" in written and "试名" not in written


def test_other_exceptions_say_what_they_said():
    try:
        {}["a key"]
    except KeyError as exc:
        assert "KeyError: 'a key'" in tracebacks.text(exc)


@pytest.mark.django_db
def test_both_kinds_of_loggers_go_through_it(world, lines):  # noqa: F811
    import structlog

    for log in (structlog.get_logger("test.lines").error, logging.getLogger("test.lines").error):
        try:
            with transaction.atomic():
                User.objects.create(service=world.service, external_id="x9", kind="alien", display_name=NAME)
        except IntegrityError as exc:
            log("failed", exc_info=exc)
    written = lines()
    assert len(written) == 2
    for line in written:
        assert "user_is_a_person_or_an_organization" in line["exception"] and "试名" not in str(line)
