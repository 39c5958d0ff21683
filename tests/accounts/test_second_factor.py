"""The second factor: enrolment for everybody, codes that count once, keys, recovery codes (ASVS 6.3.3, 6.5)."""

from __future__ import annotations

import json
import re
from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client

from accounts import second_factor
from accounts.models import StaffSession
from core.errors import Refusal
from core.models import Alarm, AuditEvent, DataKey
from tests.accounts.soft_key import SoftKey
from tests.world import PASSWORD

NOW = 1_800_000_000.0
STEP = 30


@pytest.fixture
def clock(monkeypatch):
    """The database's clock as the second factor sees it; `clock(seconds)` moves it."""
    time = [NOW]
    monkeypatch.setattr(second_factor, "database_time", lambda: time[0])

    def move(seconds=0):
        time[0] += seconds
        return time[0]

    return move


def code_for(secret, at):
    return format_hotp_value(hotp_value(secret, int(at) // STEP))


def password_step(username="lin", browser=None, **given):
    browser = browser or Client(HTTP_HOST="localhost", HTTP_ACCEPT_LANGUAGE="en")
    answer = browser.post("/login/", {"username": username, "password": PASSWORD, **given})
    return browser, answer


def signed_in(browser):
    return browser.get("/").status_code == 200


def enrol_app(browser, clock):
    """Enrol through the pages, as a person does; answers the secret and the recovery codes shown."""
    page = browser.get("/staff/me/security/app/").content.decode()
    secret = re.search(r"data-secret>([A-Z2-7 ]+)<", page)[1].replace(" ", "")
    answer = browser.post("/staff/me/security/app/add/", {"code": code_for(secret, clock())})
    assert answer.status_code == 200, answer.status_code
    return secret, re.findall(r"<code>(\d{5}-\d{5})</code>", answer.content.decode())


def options_of(page):
    return json.loads(re.search(r'<script id="key-options"[^>]*>(.*?)</script>', page.content.decode())[1])


def enrol_key(browser, name="蓝色的钥匙"):
    key = SoftKey()
    given = key.make(options_of(browser.get("/staff/me/security/key/")))
    answer = browser.post("/staff/me/security/key/add/", {"name": name, "credential": given})
    assert answer.status_code in (200, 302), answer.content.decode()
    return key


# Enrolment is for everybody


@pytest.fixture
def strict(settings):
    settings.DEMO = False


@pytest.mark.parametrize("who", ["lin", "xu", "zhou", "chen", "he", "fang"])
def test_without_a_second_factor_every_page_leads_to_its_enrolment(world, strict, who):
    browser, answer = password_step(who)
    assert answer["Location"] == "/"
    for page in ("/", "/users/", "/staff/", "/governance/gates/", "/staff/me/sessions/", "/staff/me/password/"):
        answer = browser.get(page)
        assert (answer.status_code, answer["Location"]) == (302, "/staff/me/security/"), page
    assert browser.post("/staff/clients/create/").status_code == 302
    assert "set up a second factor" in browser.get("/staff/me/security/").content.decode()


def test_neither_metrics_nor_fragments_nor_programs_get_past_it(world, strict):
    browser, _answer = password_step("fang")
    assert browser.get("/metrics").status_code == 302
    fragment = browser.get("/users/", HTTP_HX_REQUEST="true")
    assert fragment.status_code == 403 and fragment["HX-Redirect"] == "/staff/me/security/"
    assert browser.get("/users/", HTTP_ACCEPT="application/json").json()["code"] == "second_factor_required"


def test_the_way_out_and_the_pages_of_enrolment_stay_open(world, strict):
    browser, _answer = password_step()
    for page in ("/staff/me/security/", "/staff/me/security/app/", "/staff/me/security/key/", "/staff/me/confirm/"):
        assert browser.get(page).status_code == 200, page
    assert browser.get("/public/refutations/").status_code == 200
    assert browser.post("/logout/").status_code == 302


def test_once_enrolled_one_works_and_the_next_sign_in_asks_for_it(world, strict, clock):
    browser, _answer = password_step()
    secret, codes = enrol_app(browser, clock)
    assert len(codes) == 10 == len(set(codes)) and signed_in(browser)
    other, answer = password_step(next="/users/")
    assert answer["Location"] == "/login/second-factor/" and not signed_in(other)
    clock(STEP)
    answer = other.post("/login/second-factor/", {"code": code_for(secret, clock())})
    assert answer["Location"] == "/users/" and signed_in(other)


def test_in_the_demonstration_it_is_optional_and_works(world, clock):
    browser, _answer = password_step()
    assert signed_in(browser)
    enrol_app(browser, clock)
    assert password_step()[1]["Location"] == "/login/second-factor/"


def test_recovery_codes_alone_are_no_second_factor(world, strict):
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

    RecoveryCodes.activate(world.lin)
    browser, _answer = password_step()
    assert browser.get("/")["Location"] == "/staff/me/security/"


# Between the password and the second factor one is nobody


def test_a_password_alone_opens_nothing(world, clock):
    enrol_app(password_step()[0], clock)
    before = StaffSession.objects.count()
    browser, _answer = password_step()
    for page in ("/", "/users/", "/staff/me/security/", "/staff/me/security/app/", "/staff/me/confirm/"):
        assert browser.get(page)["Location"].startswith("/login/?next="), page
    assert StaffSession.objects.count() == before and "_auth_user_id" not in browser.session


def test_the_session_gets_a_new_key_when_the_second_factor_is_given(world, clock):
    secret, _codes = enrol_app(password_step()[0], clock)
    browser, _answer = password_step()
    before = browser.cookies["sid"].value
    clock(STEP)
    browser.post("/login/second-factor/", {"code": code_for(secret, clock())})
    assert signed_in(browser) and browser.cookies["sid"].value != before
    stolen = Client(HTTP_HOST="localhost")
    stolen.cookies["sid"] = before
    assert not signed_in(stolen)


def test_the_page_is_for_those_who_gave_a_password_a_moment_ago(world, clock, settings):
    secret, _codes = enrol_app(password_step()[0], clock)
    assert Client().get("/login/second-factor/")["Location"] == "/login/"
    browser, _answer = password_step()
    session = browser.session
    session["account_login"] = {
        **session["account_login"],
        "initiated_at": session["account_login"]["initiated_at"] - 301,
    }
    session.save()
    clock(STEP)
    assert browser.post("/login/second-factor/", {"code": code_for(secret, clock())})["Location"] == "/login/"
    assert not signed_in(browser)


def test_the_second_factor_of_another_person_is_worth_nothing(world, clock):
    secret, codes = enrol_app(password_step("bai")[0], clock)
    enrol_app(password_step("lin")[0], clock)
    browser, _answer = password_step("lin")
    clock(STEP)
    for code in (code_for(secret, clock()), codes[0]):
        assert browser.post("/login/second-factor/", {"code": code}).status_code == 422
    assert not signed_in(browser)


# Codes of an app


def test_a_code_works_once_even_when_the_cache_is_emptied(world, clock):
    secret, _codes = enrol_app(password_step()[0], clock)
    clock(STEP)
    code = code_for(secret, clock())
    first, _answer = password_step()
    assert first.post("/login/second-factor/", {"code": code}).status_code == 302
    cache.clear()
    second, _answer = password_step()
    answer = second.post("/login/second-factor/", {"code": code})
    assert answer.status_code == 422 and "used already" in answer.content.decode() and not signed_in(second)


def test_the_code_of_the_enrolment_does_not_sign_anybody_in(world, clock):
    secret, _codes = enrol_app(password_step()[0], clock)
    browser, _answer = password_step()
    assert browser.post("/login/second-factor/", {"code": code_for(secret, clock())}).status_code == 422


def test_the_code_before_a_used_one_is_used_too(world, clock):
    secret, _codes = enrol_app(password_step()[0], clock)
    old = code_for(secret, clock(STEP))
    newer = code_for(secret, clock(STEP))
    assert second_factor._use_app_code(world.lin, newer) and not second_factor._use_app_code(world.lin, old)


@pytest.mark.parametrize(("late", "right"), [(0, True), (1, True), (2, False), (-1, False)])
def test_a_code_holds_for_its_step_and_the_typing_after_it(world, clock, late, right):
    secret, _codes = enrol_app(password_step()[0], clock)
    clock(10 * STEP)
    code = code_for(secret, clock())
    clock(late * STEP)
    assert bool(second_factor._use_app_code(world.lin, code)) is right


def test_of_two_at_once_with_one_code_one_gets_in(open_world, at_once, clock):
    secret, _codes = enrol_app(password_step()[0], clock)
    clock(STEP)
    code = code_for(secret, clock())
    waiting = [password_step()[0] for _ in range(3)]
    answers = at_once(*[lambda b=b: b.post("/login/second-factor/", {"code": code}).status_code for b in waiting])
    assert sorted(answers) == [302, 422, 422]


def test_guessing_codes_waits_rings_and_refuses_the_right_one_too(world, clock):
    secret, _codes = enrol_app(password_step()[0], clock)
    clock(STEP)
    right = code_for(secret, clock())
    browser, _answer = password_step()
    wrong = [f"{n:06}" for n in range(7) if f"{n:06}" != right][:6]
    assert {browser.post("/login/second-factor/", {"code": code}).status_code for code in wrong} == {422}
    assert browser.post("/login/second-factor/", {"code": right}).status_code == 429
    assert Alarm.objects.get(kind="guessing").subject == f"staff:{world.lin.pk}"
    # The password was right each time: starting again gives no new tries.
    again, _answer = password_step()
    assert again.post("/login/second-factor/", {"code": right}).status_code == 429


@pytest.mark.parametrize("code", ["000000", "", "１２３４５６", "abcdef", "1" * 41, "12 34 56"])
def test_a_wrong_first_code_enrols_nothing(world, clock, code):
    browser, _answer = password_step()
    browser.get("/staff/me/security/app/")
    assert browser.post("/staff/me/security/app/add/", {"code": code}).status_code == 422
    assert not Authenticator.objects.exists()


def test_secrets_are_sealed_where_they_lie(world, clock):
    browser, _answer = password_step()
    secret, codes = enrol_app(browser, clock)
    stored = json.dumps(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in stored and not any(code.replace("-", "") in stored for code in codes)
    browser.get("/staff/me/security/key/")
    assert secret not in json.dumps(dict(browser.session.items()))
    assert DataKey.objects.filter(subject="house:second_factor").count() == 1
    Authenticator.objects.all().delete()
    page = browser.get("/staff/me/security/app/").content.decode()
    fresh = re.search(r"data-secret>([A-Z2-7 ]+)<", page)[1].replace(" ", "")
    assert len(fresh) == 32 and fresh != secret and fresh not in json.dumps(dict(browser.session.items()))


def test_one_app_at_a_time(world, clock):
    browser, _answer = password_step()
    secret, _codes = enrol_app(browser, clock)
    browser.get("/staff/me/security/app/")
    with pytest.raises(Refusal) as refused:
        second_factor.enrol_app(staff_id=world.lin.pk, secret=secret, code=code_for(secret, clock()), by=world.lin)
    assert refused.value.code == "app_enrolled"


# Security keys


def test_a_key_signs_in_and_its_answer_is_good_once(world):
    key = enrol_key(password_step()[0])
    browser, answer = password_step()
    assert answer["Location"] == "/login/second-factor/"
    given = key.use(options_of(browser.get("/login/second-factor/")))
    assert browser.post("/login/second-factor/", {"credential": given}).status_code == 302 and signed_in(browser)
    again, _answer = password_step()
    again.get("/login/second-factor/")
    assert again.post("/login/second-factor/", {"credential": given}).status_code == 422 and not signed_in(again)


def refused(browser, given):
    return browser.post("/login/second-factor/", {"credential": given}).status_code == 422 and not signed_in(browser)


def test_a_key_that_counts_backwards_is_a_copy(world):
    key = enrol_key(password_step()[0])
    browser, _answer = password_step()
    given = key.use(options_of(browser.get("/login/second-factor/")), count=5)
    assert browser.post("/login/second-factor/", {"credential": given}).status_code == 302
    for count in (5, 4):
        browser, _answer = password_step()
        assert refused(browser, key.use(options_of(browser.get("/login/second-factor/")), count=count))


def test_a_key_answers_for_this_site_and_this_challenge_only(world):
    key = enrol_key(password_step()[0])
    other = SoftKey()
    tricks = {
        "phished": lambda options: key.use(options, origin="https://localhost.evil.example"),
        "another challenge": lambda _options: key.use({"publicKey": {"challenge": "A" * 43}}),
        "another key": lambda options: other.use(options),
        "a creation": lambda options: key.make(options),
        "changed": lambda options: key.use(options).replace('"signature": "M', '"signature": "N'),
    }
    for name, trick in tricks.items():
        browser, _answer = password_step()
        assert refused(browser, trick(options_of(browser.get("/login/second-factor/")))), name


@pytest.mark.parametrize(
    "given", ["", "{}", "[]", "null", "x", '{"id": 1}', '{"response": {}}', '{"id":"AA","rawId":"AA","response":{"clientDataJSON":"AA","authenticatorData":"AA","signature":"AA"},"type":"public-key"}']
)  # fmt: skip
def test_nonsense_is_no_key(world, given):
    browser, _answer = password_step()
    enrol_key(browser)
    browser.get("/staff/me/security/key/")
    assert browser.post("/staff/me/security/key/add/", {"name": "x", "credential": given}).status_code == 422
    waiting, _answer = password_step()
    waiting.get("/login/second-factor/")
    assert refused(waiting, given)


def test_a_challenge_is_good_for_one_answer_even_a_wrong_one(world):
    key = enrol_key(password_step()[0])
    browser, _answer = password_step()
    options = options_of(browser.get("/login/second-factor/"))
    before = browser.session["mfa.webauthn.state"]["challenge"]
    wrong = SoftKey().use(options)
    assert browser.post("/login/second-factor/", {"by": "codes", "credential": wrong}).status_code == 422
    assert browser.session.get("mfa.webauthn.state", {}).get("challenge") != before
    assert refused(browser, key.use(options))


def test_a_key_of_a_colleague_is_not_asked_for(world):
    enrol_key(password_step("bai")[0])
    key = enrol_key(password_step("lin")[0])
    browser, _answer = password_step("lin")
    asked = options_of(browser.get("/login/second-factor/"))["publicKey"]["allowCredentials"]
    from tests.accounts.soft_key import text

    assert [one["id"] for one in asked] == [text(key.id)]


# Recovery codes


def test_a_recovery_code_opens_once_and_stands_in_the_ledger(world, clock):
    _secret, codes = enrol_app(password_step()[0], clock)
    browser, _answer = password_step()
    assert browser.post("/login/second-factor/", {"code": codes[0]}).status_code == 302 and signed_in(browser)
    assert "9 codes are left" in browser.get("/staff/me/security/").content.decode()
    again, _answer = password_step()
    assert again.post("/login/second-factor/", {"code": codes[0]}).status_code == 422
    assert again.post("/login/second-factor/", {"code": codes[1].replace("-", " ")}).status_code == 302
    assert AuditEvent.objects.filter(action="staff.recovery_code_used").count() == 2


def test_of_two_at_once_with_one_recovery_code_one_gets_in(open_world, at_once, clock):
    _secret, codes = enrol_app(password_step()[0], clock)
    waiting = [password_step()[0] for _ in range(3)]
    answers = at_once(*[lambda b=b: b.post("/login/second-factor/", {"code": codes[0]}).status_code for b in waiting])
    assert sorted(answers) == [302, 422, 422]


def test_codes_are_shown_once_and_new_ones_end_the_old(world, clock):
    browser, _answer = password_step()
    _secret, old = enrol_app(browser, clock)
    for page in ("/staff/me/security/", "/staff/me/security/key/"):
        assert not re.search(r"\d{5}-\d{5}", browser.get(page).content.decode())
    answer = browser.post("/staff/me/security/codes/")
    new = re.findall(r"<code>(\d{5}-\d{5})</code>", answer.content.decode())
    assert len(new) == 10 and not set(new) & set(old) and "no-store" in answer["Cache-Control"]
    waiting, _answer = password_step()
    assert waiting.post("/login/second-factor/", {"code": old[0]}).status_code == 422
    assert waiting.post("/login/second-factor/", {"code": new[0]}).status_code == 302


def test_without_a_factor_there_are_no_codes(world):
    browser, _answer = password_step()
    assert browser.post("/staff/me/security/codes/").status_code == 409
    assert not Authenticator.objects.exists()


# Choice, removal, reset


def test_one_chooses_among_ones_own_factors(world, clock):
    browser, _answer = password_step()
    enrol_app(browser, clock)
    enrol_key(browser)
    waiting, _answer = password_step()
    page = waiting.get("/login/second-factor/").content.decode()
    assert 'name="code"' in page and "?by=key" in page and "?by=codes" in page
    assert "key-options" in waiting.get("/login/second-factor/?by=key").content.decode()
    assert "recovery codes" in waiting.get("/login/second-factor/?by=codes").content.decode()


def test_the_last_factor_stays_where_everybody_needs_one(world, strict, clock):
    browser, _answer = password_step()
    enrol_app(browser, clock)
    app = Authenticator.objects.get(type="totp")
    page = browser.get("/staff/me/security/").content.decode()
    assert f"/staff/me/security/{app.pk}/remove/" not in page
    assert browser.post(f"/staff/me/security/{app.pk}/remove/").status_code == 409
    enrol_key(browser)
    assert browser.post(f"/staff/me/security/{app.pk}/remove/").status_code == 302
    assert second_factor.kinds(world.lin) == {"webauthn", "recovery_codes"}


def test_with_the_last_factor_its_recovery_codes_go(world, clock):
    browser, _answer = password_step()
    enrol_app(browser, clock)
    browser.post(f"/staff/me/security/{Authenticator.objects.get(type='totp').pk}/remove/")
    assert not Authenticator.objects.exists() and password_step()[1]["Location"] == "/"
    assert [e.data for e in AuditEvent.objects.filter(action="staff.factor_removed")] == [{"kind": "totp"}]


def test_nobody_removes_a_colleagues_factor_or_adds_one(world, clock):
    enrol_app(password_step("bai")[0], clock)
    browser, _answer = password_step("lin")
    browser.post(f"/staff/me/security/{Authenticator.objects.get(type='totp').pk}/remove/")
    assert second_factor.has_one(world.bai)
    for command in (
        lambda: second_factor.make_codes(staff_id=world.bai.pk, by=world.fang),
        lambda: second_factor.remove(staff_id=world.bai.pk, factor_id=1, by=world.fang),
    ):
        with pytest.raises(Refusal) as wrong:
            command()
        assert wrong.value.code == "own_account"


def test_who_lost_everything_is_reset_by_an_administrator_and_enrols_anew(world, strict, clock):
    browser, _answer = password_step()
    enrol_app(browser, clock)
    with pytest.raises(Refusal):
        second_factor.reset(staff_id=world.lin.pk, reason="x", by=world.chen)
    with pytest.raises(Refusal):
        second_factor.reset(staff_id=world.fang.pk, reason="x", by=world.fang)
    assert second_factor.reset(staff_id=world.lin.pk, reason="手机丢了", by=world.fang) == 2
    assert not signed_in(browser)
    again, _answer = password_step()
    assert again.get("/")["Location"] == "/staff/me/security/"
    assert AuditEvent.objects.get(action="staff.factors_reset").reason == "手机丢了"


def test_the_command_line_resets_too(world, clock):
    enrol_app(password_step()[0], clock)
    call_command("reset_second_factor", "lin", reason="lost phone")
    assert not second_factor.has_one(world.lin)
    assert AuditEvent.objects.get(action="staff.factors_reset").actor == "system:command"
    with pytest.raises(CommandError):
        call_command("reset_second_factor", "nobody", reason="x")


def test_adding_a_factor_asks_for_a_confirmation(world):
    browser, _answer = password_step()
    session = browser.session
    session["confirmed_at"] -= 400
    session.save()
    for page in ("/staff/me/security/app/", "/staff/me/security/key/"):
        assert browser.get(page)["Location"].startswith("/staff/me/confirm/?next=%2Fstaff%2Fme%2Fsecurity%2F")
    assert browser.post("/staff/me/security/key/add/").status_code == 302


@pytest.mark.parametrize("by", ["code", "recovery", "key"])
def test_a_second_factor_confirms_too(world, clock, by):
    browser, _answer = password_step()
    secret, codes = enrol_app(browser, clock)
    key = enrol_key(browser)
    session = browser.session
    session["confirmed_at"] -= 400
    session.save()
    clock(STEP)
    page = browser.get("/staff/me/confirm/?next=/users/")
    given = {
        "code": lambda: {"code": code_for(secret, clock())},
        "recovery": lambda: {"code": codes[0]},
        "key": lambda: {"credential": key.use(options_of(page))},
    }[by]()
    answer = browser.post("/staff/me/confirm/check/", {**given, "next": "/users/"})
    assert answer["Location"] == "/users/"
    assert browser.get("/staff/me/security/key/").status_code == 200


def test_none_of_these_pages_holds_anything_inline(world, clock):
    from tests.accounts.test_sessions import Inline

    browser, _answer = password_step()
    answers = [browser.get("/staff/me/security/app/"), browser.get("/staff/me/security/key/")]
    enrol_app(browser, clock)
    enrol_key(browser)
    answers.append(browser.post("/staff/me/security/codes/"))
    answers += [browser.get(f"/staff/me/{page}/") for page in ("security", "password", "confirm")]
    waiting, _answer = password_step()
    answers += [waiting.get(f"/login/second-factor/?by={way}") for way in ("app", "key", "codes")]
    for answer in answers:
        assert answer.status_code == 200
        parser = Inline()
        parser.feed(answer.content.decode())
        assert parser.found == [], answer.request["PATH_INFO"]
        page = answer.content.decode()
        forms, tokens = page.count('method="post"'), len(re.findall(r'name="csrfmiddlewaretoken" value="\w{64}"', page))
        assert forms == tokens > 0, answer.request["PATH_INFO"]
        assert "default-src 'self'" in answer["Content-Security-Policy"] and "no-store" in answer["Cache-Control"]


def test_a_forgotten_password_is_replaced_and_the_second_factor_is_asked_as_ever(world, clock):
    browser, _answer = password_step()
    secret, _codes = enrol_app(browser, clock)
    printed = StringIO()
    call_command("replace_password", "lin", reason="forgotten", stdout=printed)
    assert not signed_in(browser) and password_step()[1].status_code == 200
    again, answer = password_step(password=printed.getvalue().strip())
    assert answer["Location"] == "/login/second-factor/" and not signed_in(again)
    clock(STEP)
    again.post("/login/second-factor/", {"code": code_for(secret, clock())})
    assert signed_in(again)
    line = AuditEvent.objects.get(action="staff.password_replaced")
    assert line.reason == "forgotten" and printed.getvalue().strip() not in str(line.data)
    with pytest.raises(CommandError):
        call_command("replace_password", "nobody", reason="x")
