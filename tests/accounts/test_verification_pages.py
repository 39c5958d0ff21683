"""The verification queue as an identity admin sees it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from accounts import identities, users
from accounts.models import Identity, Staff, User, VerificationLease
from core import crypto
from core.context import _badges
from core.models import AuditEvent
from tests.world import ID_NUMBER, OTHER_ID_NUMBER, USCC

QUEUE = "/users/verification/"


@pytest.fixture
def waiting(world):
    """Three identities that wait, oldest first."""
    found = []
    for number, (name, digits) in enumerate(
        (("阿一", ID_NUMBER), ("阿二", OTHER_ID_NUMBER), ("阿三", OTHER_ID_NUMBER))
    ):
        user, _new = users.register(
            service=world.service, external_id=f"w{number}", kind="person", display_name=name, by="client:t"
        )
        found.append(identities.submit(user=user, method="id_number", number=digits, name="某名", by="client:t"))
        Identity.objects.filter(pk=found[-1].pk).update(submitted_at=f"2026-01-0{number + 1}T00:00:00Z")
    return found


def opened(answer):
    """Whose identity is on the screen."""
    found = re.search(r'id="who-title"><a[^>]*>([^<]*)<', answer.content.decode())
    return found[1] if found else None


def token_of(answer):
    """The lease's token in the decision's form."""
    found = re.search(r'name="token" value="([^"]+)"', answer.content.decode())
    return found[1] if found else ""


def decide(browser, identity, outcome="", reason="", following="", token=None):
    """Open an identity and decide it, as a person does; with a token of its own: send only the form."""
    if token is None:
        token = token_of(browser.get(f"{QUEUE}?open={identity.pk}"))
    return browser.post(
        reverse("verification_decide", args=[identity.pk]),
        {"outcome": outcome, "reason": reason, "next": following, "token": token},
    )


@pytest.fixture
def qi(world):
    """A second identity admin."""
    person = Staff(username="qi", display_name="齐眉", role="identity_admin")
    person.set_unusable_password()
    person.save(force_insert=True)
    world.staff["qi"] = person
    return person


def test_an_empty_queue_says_so(world, login):
    text = login("zhou").get(QUEUE).content.decode()
    assert "empty-state" in text and "data-action" not in text


def test_the_oldest_is_open_and_others_are_a_key_away(world, login, waiting):
    browser = login("zhou")
    answer = browser.get(QUEUE)
    text = answer.content.decode()
    assert opened(answer) == "阿一"
    assert re.findall(r'href="[^"]*open=([^"]+)" data-key="([jk])"', text) == [(str(waiting[1].pk), "j")]
    middle = browser.get(f"{QUEUE}?open={waiting[1].pk}")
    assert opened(middle) == "阿二"
    assert re.findall(r'open=([^"]+)" data-key="([jk])"', middle.content.decode()) == [
        (str(waiting[0].pk), "k"),
        (str(waiting[2].pk), "j"),
    ]
    assert opened(browser.get(f"{QUEUE}?open=nonsense")) == "阿二"  # still the one that is held
    for key in ('data-key="1"', 'data-key="2"', 'data-key="Enter"', "<kbd>1</kbd>", "<kbd>2</kbd>"):
        assert key in text


def test_the_page_shows_no_name_and_no_number(world, login, waiting):
    text = login("zhou").get(QUEUE).content.decode()
    assert "110*************23" in text and "某*" in text
    assert ID_NUMBER not in text and "某名" not in text and "19000102" not in text


def test_other_accounts_of_the_same_identity_are_counted_and_linked(world, login, waiting):
    text = login("zhou").get(QUEUE).content.decode()
    for twin in (world.wen, world.ma):
        assert f'href="/users/{twin.pk}/"' in text
    assert f'href="/users/{world.qian.pk}/"' not in text


def test_verify_and_on_to_the_next(world, login, waiting):
    browser = login("zhou")
    answer = decide(browser, waiting[0], "verify", following=waiting[2].pk)
    assert (answer.status_code, answer["Location"]) == (302, QUEUE)
    assert opened(browser.get(QUEUE)) == "阿三"
    waiting[0].refresh_from_db()
    assert (waiting[0].state, waiting[0].decided_by) == ("verified", world.zhou)
    assert decide(login("zhou"), waiting[1], "verify", following="nonsense").status_code == 422
    assert decide(login("zhou"), waiting[1], "verify")["Location"] == QUEUE


def test_reject_wants_a_reason_and_keeps_what_was_typed(world, login, waiting):
    browser = login("zhou")
    refused = decide(browser, waiting[0], "reject", " ")
    text = refused.content.decode()
    assert refused.status_code == 422 and opened(refused) == "阿一"
    assert 'role="alert"' in text and re.search(r'value="reject"[^>]* checked', text)
    waiting[0].refresh_from_db()
    assert waiting[0].state == "pending"
    decide(browser, waiting[0], "reject", "姓名不符")
    waiting[0].refresh_from_db()
    assert (waiting[0].state, waiting[0].reject_reason) == ("rejected", "姓名不符")


def test_without_a_choice_nothing_is_decided(world, login, waiting):
    for outcome in ("", "maybe"):
        answer = decide(login("zhou"), waiting[0], outcome, "x")
        waiting[0].refresh_from_db()
        assert waiting[0].state == "pending", outcome
        assert answer.status_code == 422


def test_the_second_admin_gets_a_sentence_and_the_next_one_without_what_they_typed(world, login, waiting, qi):
    browser = login("qi")
    token = token_of(browser.get(QUEUE))
    identities.verify(identity_id=waiting[0].pk, by=world.zhou)
    for outcome, reason in (("verify", ""), ("reject", "打给阿一的字"), ("reject", "")):
        answer = decide(browser, waiting[0], outcome, reason, waiting[1].pk, token=token)
        text = answer.content.decode()
        assert (answer.status_code, opened(answer)) == (409, "阿二")
        assert 'role="alert"' in text and "打给阿一的字" not in text and " checked" not in text
    waiting[0].refresh_from_db()
    waiting[1].refresh_from_db()
    assert (waiting[0].state, waiting[1].state) == ("verified", "pending")


def test_two_admins_get_two_identities_and_see_who_has_which(world, login, waiting, qi):
    first, second = login("zhou").get(QUEUE), login("qi").get(QUEUE)
    assert (opened(first), opened(second)) == ("阿一", "阿二")
    assert "周予" in re.search(r'<ol class="queue-list">.*?</ol>', second.content.decode(), re.S)[0]
    # The keys lead past what a colleague holds.
    again = login("zhou").get(QUEUE).content.decode()
    assert re.findall(r'open=([^"]+)" data-key="([jk])"', again) == [(str(waiting[2].pk), "j")]
    answer = login("zhou").get(f"{QUEUE}?open={waiting[1].pk}")
    text = answer.content.decode()
    assert opened(answer) == "阿一" and 'role="alert"' in text and "齐眉" in text


def test_a_form_whose_lease_went_to_somebody_else_is_refused_and_names_them(world, login, waiting, qi):
    browser = login("zhou")
    token = token_of(browser.get(QUEUE))
    VerificationLease.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert opened(login("qi").get(QUEUE)) == "阿一"
    answer = decide(browser, waiting[0], "reject", "打给阿一的字", token=token)
    text = answer.content.decode()
    assert (answer.status_code, opened(answer)) == (409, "阿二")
    assert "齐眉" in text and "打给阿一的字" not in text
    waiting[0].refresh_from_db()
    assert waiting[0].state == "pending"


def test_a_form_sent_too_late_keeps_what_was_typed_and_counts_when_sent_again(world, login, waiting):
    browser = login("zhou")
    token = token_of(browser.get(QUEUE))
    VerificationLease.objects.update(until=timezone.now() - timedelta(seconds=1))
    answer = decide(browser, waiting[0], "reject", "姓名不符", token=token)
    text = answer.content.decode()
    assert (answer.status_code, opened(answer)) == (409, "阿一")
    assert 'role="alert"' in text and ">姓名不符</textarea>" in text
    assert decide(browser, waiting[0], "reject", "姓名不符", token=token_of(answer)).status_code == 302


def test_a_form_without_a_token_decides_nothing(world, login, waiting):
    for token in ("", "nonsense", str(waiting[0].pk)):
        assert decide(login("zhou"), waiting[0], "verify", token=token).status_code == 409
        waiting[0].refresh_from_db()
        assert waiting[0].state == "pending"


def test_giving_back_frees_it_for_a_colleague(world, login, waiting, qi):
    browser = login("zhou")
    token = token_of(browser.get(QUEUE))
    answer = browser.post(reverse("verification_give_back", args=[waiting[0].pk]), {"token": token})
    assert (answer.status_code, answer["Location"]) == (302, "/users/")
    assert opened(login("qi").get(QUEUE)) == "阿一"
    browser.post(
        reverse("verification_give_back", args=[waiting[0].pk]), {"token": token}
    )  # nothing of theirs any more
    assert VerificationLease.objects.get().staff == qi


def test_a_heartbeat_answers_how_long_it_lasts_or_who_has_it(world, login, waiting, qi):
    browser = login("zhou")
    token = token_of(browser.get(QUEUE))
    address = reverse("verification_heartbeat", args=[waiting[0].pk])
    answer = browser.post(address, {"token": token})
    assert answer.status_code == 200 and 290 <= answer.json()["seconds"] <= 300
    VerificationLease.objects.update(until=timezone.now() - timedelta(seconds=1))
    login("qi").get(QUEUE)
    lost = browser.post(address, {"token": token})
    assert lost.status_code == 409 and lost.json()["held_by"] == "qi" and "齐眉" in lost.json()["detail"]
    assert browser.post(address, {"token": ""}).status_code == 409


def test_asking_for_the_head_takes_nothing(world, login, waiting):
    assert login("zhou").head(QUEUE).status_code == 200
    assert not VerificationLease.objects.exists()


def test_when_colleagues_hold_everything_the_page_says_so(world, login, waiting, qi):
    identities.reject(identity_id=waiting[1].pk, reason="x", by=world.zhou)
    identities.reject(identity_id=waiting[2].pk, reason="x", by=world.zhou)
    login("zhou").get(QUEUE)
    text = login("qi").get(QUEUE).content.decode()
    assert "empty-state" in text and "周予" in text and "data-action" not in text


def test_one_that_still_waits_for_the_service_comes_last_and_says_so(world, login, waiting):
    Identity.objects.filter(pk=waiting[0].pk).update(check_state="waiting", submitted_at=Now())
    answer = login("zhou").get(QUEUE)
    assert opened(answer) == "阿二"
    lines = re.findall(r"<li>.*?</li>", re.search(r'<ol class="queue-list">.*?</ol>', answer.content.decode(), re.S)[0])
    assert [next(n for n in ("阿一", "阿二", "阿三") if n in one) for one in lines] == ["阿二", "阿三", "阿一"]
    assert ["hourglass" in one for one in lines] == [False, False, True]
    waits = login("zhou").get(f"{QUEUE}?open={waiting[0].pk}").content.decode()
    assert '<li class="finding-warn">' in waits


def test_ready_made_reasons_work_without_scripts(world, login, waiting):
    page = login("zhou").get(QUEUE).content.decode()
    links = re.findall(r'href="([^"]+)" data-fill="([^"]+)"', page)
    assert len(links) >= 3
    filled = login("zhou").get(links[0][0].replace("&amp;", "&")).content.decode()
    assert f">{links[0][1]}</textarea>" in filled and re.search(r'value="reject"[^>]* checked', filled)
    for nonsense in ("99", "-1", "x", "²"):
        answer = login("zhou").get(QUEUE, {"open": waiting[0].pk, "reason": nonsense})
        assert answer.status_code == 200 and " checked" not in answer.content.decode()


def test_a_look_shows_the_number_once_and_in_this_answer_only(world, login, waiting):
    browser = login("zhou")
    address = reverse("verification_reveal", args=[waiting[0].pk])
    refused = browser.post(address, {"reason": " "})
    assert refused.status_code == 422 and ID_NUMBER not in refused.content.decode()
    assert not AuditEvent.objects.filter(action="identity.revealed").exists()
    answer = browser.post(address, {"reason": "核对姓名"})
    text = answer.content.decode()
    assert text.count(ID_NUMBER) == 1 and text.count("某名") == 1 and 'data-hides="60"' in text
    assert "no-store" in answer["Cache-Control"]
    assert ID_NUMBER not in browser.get(QUEUE).content.decode()
    line = AuditEvent.objects.get(action="identity.revealed")
    assert (line.actor, line.subject, line.reason) == ("staff:zhou", f"user:{waiting[0].user_id}", "核对姓名")


def test_a_decided_identity_is_not_shown_and_no_look_is_recorded(world, login, waiting):
    identities.verify(identity_id=waiting[0].pk, by=world.zhou)
    answer = login("zhou").post(reverse("verification_reveal", args=[waiting[0].pk]), {"reason": "核对"})
    assert answer.status_code == 409 and ID_NUMBER not in answer.content.decode()
    assert not AuditEvent.objects.filter(action="identity.revealed").exists()


def test_an_identity_that_does_not_open_can_still_be_rejected(world, login, waiting):
    Identity.objects.filter(pk=waiting[0].pk).update(number_sealed=crypto.seal("x", "elsewhere"))
    answer = login("zhou").get(QUEUE)
    assert answer.status_code == 200 and "finding-bad" in answer.content.decode()
    assert decide(login("zhou"), waiting[0], "reject", "请重新提交").status_code == 302


def test_the_page_costs_the_same_however_many_wait(world, login, waiting, django_assert_max_num_queries):
    browser = login("zhou")
    browser.get(QUEUE)
    for number in range(60):
        user = User.objects.create(service=world.service, external_id=f"m{number}", kind="person", display_name="x")
        identities.submit(user=user, method="id_number", number=OTHER_ID_NUMBER, name="某名", by="client:t")
    with django_assert_max_num_queries(24):
        text = browser.get(QUEUE).content.decode()
    assert "63" in text


def test_the_rail_counts_those_who_wait(world, waiting):
    assert _badges["users"]() == 3


def test_a_name_that_could_pass_for_an_authority_stands_beside_the_proof(world, login):
    user, _created = users.register(
        service=world.service, external_id="org-gov", kind="organization", display_name="某市公安局", by="client:test"
    )
    identities.submit(user=user, method="uscc", number=USCC, name="试名", by="client:test")
    page = login("zhou").get("/users/verification/").content.decode()
    assert "公安" in page and "GEN-10" in page
