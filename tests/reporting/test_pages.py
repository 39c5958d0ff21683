"""The pages of bundles: who may, what is shown, what is handed out."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from core.models import AuditEvent, Job
from reporting import bundles, verification
from reporting.models import Bundle
from tests.reporting.conftest import BEGINNING, whole

FORM = {"name": "decisions", "start": "2026-01-01", "end": "2026-02-01", "guard_csv": "on"}


def browser(world, name: str) -> Client:
    client = Client(HTTP_ACCEPT_LANGUAGE="en")
    client.force_login(world.staff[name], backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.parametrize(
    ("name", "sees", "makes"),
    [
        ("chen", True, True),
        ("he", True, False),
        *((n, False, False) for n in ("lin", "xu", "zhou", "fang")),
    ],
)
def test_who_sees_and_who_makes(open_world, name, sees, makes):
    open_world.submit()
    bundle = whole(open_world.chen)
    client = browser(open_world, name)
    expected = 200 if sees else 403
    for address in (
        reverse("reports"),
        reverse("bundle", args=[bundle.pk]),
        reverse("bundle_download", args=[bundle.pk]),
    ):
        assert client.get(address).status_code == expected
    assert (b'data-action="make"' in client.get("/reports/").content) is makes
    assert client.post("/reports/", FORM).status_code == (302 if makes else 403)
    assert Bundle.objects.count() == (2 if makes else 1)
    Bundle.objects.filter(pk=bundle.pk).update(state="failed", failure="error")
    assert client.post(reverse("bundle_retry", args=[bundle.pk])).status_code == (302 if makes else 403)


def test_nobody_else_sees_anything(world):
    answer = Client().get("/reports/")
    assert answer.status_code == 302 and answer["Location"].startswith("/login/")


def test_the_empty_page_says_what_to_do_next(world):
    assert "No bundle has been made yet." in browser(world, "chen").get("/reports/").content.decode()


def test_the_list_asks_again_only_while_something_is_on_its_way(world):
    client = browser(world, "chen")
    assert b"hx-trigger" not in client.get("/reports/").content
    assert client.post("/reports/", FORM).status_code == 302
    assert Job.objects.filter(kind=bundles.JOB).count() == 1
    Bundle.objects.update(state="making", progress=50, expected=200)
    part = client.get("/reports/", HTTP_HX_REQUEST="true")
    text = part.content.decode()
    assert 'hx-trigger="every 2s"' in text and '<progress value="25"' in text and "<html" not in text
    assert "HX-Request" in part["Vary"]
    Bundle.objects.update(state="failed", failure="no_room")
    text = client.get("/reports/", HTTP_HX_REQUEST="true").content.decode()
    assert "hx-trigger" not in text and "There is no room left on the disk." in text and 'data-action="retry"' in text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"start": "2026-03-01"}, "end"),
        ({"start": "soon"}, "start"),
        ({"name": "secrets"}, "name"),
        ({"end": ""}, "end"),
    ],
)
def test_a_form_that_does_not_fit_is_shown_again_with_the_field_named(world, changes, field):
    answer = browser(world, "chen").post("/reports/", {**FORM, **changes})
    assert answer.status_code == 422
    assert f'id="id_{field}_error"' in answer.content.decode()
    assert not Bundle.objects.exists()


def test_days_are_days_of_shanghai(world):
    browser(world, "chen").post("/reports/", FORM)
    bundle = Bundle.objects.get()
    assert bundle.period_from.isoformat() == "2025-12-31T16:00:00+00:00"
    assert bundle.file_name.startswith("decisions-2026-01-01-2026-02-01-")


def test_a_download_is_the_archive_with_its_line_in_the_ledger(open_world, tmp_path):
    open_world.submit()
    bundle = whole(open_world.chen)
    answer = browser(open_world, "he").get(reverse("bundle_download", args=[bundle.pk]))
    raw = b"".join(answer.streaming_content)
    assert answer["Content-Disposition"] == f'attachment; filename="{bundle.file_name}"'
    assert (answer["X-Content-Type-Options"], answer["Content-Length"]) == ("nosniff", str(len(raw)))
    (tmp_path / "b.zip").write_bytes(raw)
    assert verification.verify(tmp_path / "b.zip", expected_digest=bundle.manifest_digest).problems == []
    line = AuditEvent.objects.get(action="bundle.downloaded", subject=f"bundle:{bundle.pk}")
    assert line.actor == "staff:he"


def test_what_is_not_ready_is_not_handed_out(world):
    bundle = bundles.request_bundle(name="decisions", start=BEGINNING, end=timezone.now(), by=world.chen)
    client = browser(world, "chen")
    assert client.get(reverse("bundle_download", args=[bundle.pk])).status_code == 409
    assert client.get("/reports/00000000-0000-0000-0000-000000000000/").status_code == 404
    assert client.get("/reports/00000000-0000-0000-0000-000000000000/download").status_code == 404
    assert not AuditEvent.objects.filter(action="bundle.downloaded").exists()


def test_a_ready_bundle_s_page_shows_the_manifest_and_how_to_verify(open_world):
    open_world.submit()
    bundle = whole(open_world.chen)
    text = browser(open_world, "chen").get(reverse("bundle", args=[bundle.pk])).content.decode()
    assert f"--digest {bundle.manifest_digest}" in text and "sha256sum -c manifest.sha256" in text
    for file in bundle.files():
        assert file["sha256"] in text
    assert "id of the decision" in text


def test_older_bundles_are_a_page_away(world):
    Bundle.objects.bulk_create(
        Bundle(
            name="decisions", period_from=BEGINNING, period_to=timezone.now(), requested_by="staff:chen", state="queued"
        )
        for _ in range(35)
    )
    client = browser(world, "he")
    first = client.get("/reports/")
    assert len(first.context["page"]) == 30
    second = client.get("/reports/", {"before": first.context["page"].next})
    assert len(second.context["page"]) == 5
