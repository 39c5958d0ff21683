"""Single sign-on against a provider on a real socket: which tokens hold, which role they give, what a confirmation is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time

import jwt
import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp
from cryptography.hazmat.primitives import serialization
from django.test import Client

from accounts import sso
from accounts.models import Staff, StaffSession
from core.errors import Refusal
from core.models import AuditEvent
from tests.accounts.oidc_provider import CLIENT, KEY, OTHER_KEY, SECRET, Provider
from tests.world import PASSWORD


@pytest.fixture
def provider(settings):
    running = Provider()
    settings.OIDC_ISSUER = running.issuer
    settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = CLIENT, SECRET
    settings.OIDC_NAME = "图言账号"
    settings.OIDC_ROLE_CLAIM = "groups"
    settings.OIDC_ROLES = {"boss": "admin", "law": "compliance_officer", "desk": "moderator"}
    yield running
    running.close()


def begin(browser, path="/login/sso/"):
    answer = browser.get(path)
    assert answer.status_code == 302, answer.status_code
    return answer["Location"]


def sign_on(provider, browser=None, path="/login/sso/"):
    """All the way there and back; answers the browser and the answer to its return."""
    browser = browser or Client(HTTP_ACCEPT_LANGUAGE="en")
    return browser, browser.get(provider.visit(begin(browser, path)))


def said(answer):
    found = re.search(r'class="error-detail" role="alert"><p>(.*?)</p>', answer.content.decode())
    return found[1] if found else ""


def is_in(browser):
    return browser.get("/").status_code == 200


def is_out(browser, answer):
    return (
        answer.status_code in (403, 409) and said(answer) and not is_in(browser) and not SocialAccount.objects.exists()
    )


# The way in


def test_a_person_of_the_provider_comes_in_with_the_mapped_role(world, provider):
    browser, answer = sign_on(provider, path="/login/sso/?next=/submissions/")
    assert (answer.status_code, answer["Location"]) == (302, "/submissions/") and is_in(browser)
    shen = Staff.objects.get(username="shen")
    assert (shen.role, shen.display_name, shen.has_usable_password()) == ("moderator", "沈一", False)
    assert AuditEvent.objects.get(action="staff.created", subject=f"staff:{shen.pk}").actor == "system:sso"
    link = SocialAccount.objects.get()
    assert link.extra_data == {} and "248289" not in link.uid  # nothing of the token is kept
    again, _answer = sign_on(provider)
    assert is_in(again) and Staff.objects.filter(username__startswith="shen").count() == 1


def test_the_button_is_there_when_it_is_configured_and_only_then(world, provider, settings):
    assert "图言账号" in Client().get("/login/").content.decode()
    settings.OIDC_ISSUER = ""
    page = Client().get("/login/").content.decode()
    assert "图言账号" not in page and "/login/sso/" not in page
    for address in ("/login/sso/", "/login/sso/callback/?code=x&state=y"):
        assert Client().get(address).status_code == 404


def test_a_provider_in_the_database_is_none(world, provider, settings):
    SocialApp.objects.create(
        provider="openid_connect", provider_id="oidc", name="x", client_id="y", settings={"server_url": provider.issuer}
    )
    settings.OIDC_ISSUER = ""
    assert Client().get("/login/sso/").status_code == 404
    assert Client().get("/login/sso/callback/?code=x&state=y").status_code == 404


def test_state_nonce_and_proof_of_possession_are_asked_and_new_each_time(world, provider):
    for _round in range(2):
        sign_on(provider)
    first, second = provider.asked
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) >= 16 and first[name] != second[name]
    assert first["code_challenge_method"] == "S256"
    assert first["redirect_uri"] == "http://testserver/login/sso/callback/"


@pytest.mark.parametrize("away", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_nobody_is_sent_elsewhere(world, provider, away):
    _browser, answer = sign_on(provider, path=f"/login/sso/?next={away}")
    assert answer["Location"] == "/"


def test_a_new_session_key_at_the_end(world, provider):
    browser = Client()
    back = provider.visit(begin(browser))
    before = browser.cookies["sid"].value
    browser.get(back)
    assert is_in(browser) and browser.cookies["sid"].value != before


# Tokens that don't hold


def none_signed(_provider, claims):
    def part(document):
        return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'kid': 'one'})}.{part(claims)}."


def signed_with_the_public_key(_provider, claims):
    """The old trick: the public key as the secret of an HMAC."""
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    body = jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": "one"}).rpartition(".")[0]
    mac = hmac.new(public, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def changed_after_signing(provider, claims):
    head, _body, signature = provider.signed(claims).split(".")
    body = base64.urlsafe_b64encode(json.dumps({**claims, "groups": ["boss"]}).encode()).decode().rstrip("=")
    return f"{head}.{body}.{signature}"


FORGED = {
    "signed by somebody else": lambda p, c: p.signed(c, key=OTHER_KEY),
    "a key that nobody knows": lambda p, c: p.signed(c, key=OTHER_KEY, kid="two"),
    "not signed": none_signed,
    "signed with the public key": signed_with_the_public_key,
    "changed after signing": changed_after_signing,
    "for another client": lambda p, c: p.signed({**c, "aud": "another"}),
    "for another client too, made for that one": lambda p, c: p.signed({**c, "aud": [CLIENT, "b"], "azp": "b"}),
    "for several, made for nobody": lambda p, c: p.signed({**c, "aud": [CLIENT, "b"]}),
    "of another issuer": lambda p, c: p.signed({**c, "iss": "https://other.example"}),
    "expired": lambda p, c: p.signed({**c, "exp": int(time.time()) - 60}),
    "from the future": lambda p, c: p.signed({**c, "iat": int(time.time()) + 600}),
    "not valid yet": lambda p, c: p.signed({**c, "nbf": int(time.time()) + 600}),
    "without an end": lambda p, c: p.signed({k: v for k, v in c.items() if k != "exp"}),
    "about nobody": lambda p, c: p.signed({k: v for k, v in c.items() if k != "sub"}),
    "without a nonce": lambda p, c: p.signed({k: v for k, v in c.items() if k != "nonce"}),
    "of another sign-in": lambda p, c: p.signed({**c, "nonce": "another"}),
    "no token at all": lambda p, c: "",
    "nonsense": lambda p, c: "a.b.c",
}


@pytest.mark.parametrize("trick", FORGED)
def test_a_token_that_does_not_hold_lets_nobody_in(world, provider, trick):
    provider.sign = lambda claims: FORGED[trick](provider, claims)
    browser, answer = sign_on(provider)
    assert is_out(browser, answer)


def test_the_forged_tokens_fail_for_what_is_forged(world, provider):
    """The same provider with the same claims, untouched, lets the person in."""
    provider.sign = lambda claims: provider.signed({**claims, "aud": [CLIENT, "b"], "azp": CLIENT})
    assert is_in(sign_on(provider)[0])


def test_a_token_of_an_earlier_sign_in_is_not_taken_again(world, provider):
    sign_on(provider)
    SocialAccount.objects.all().delete()
    provider.sign = lambda _claims: provider.tokens[0]
    browser, answer = sign_on(provider)
    assert is_out(browser, answer)


def test_a_way_back_is_gone_once(world, provider):
    browser = Client()
    back = provider.visit(begin(browser))
    assert browser.get(back).status_code == 302
    browser.post("/logout/")
    assert browser.get(back).status_code == 403 and not is_in(browser)


def test_a_way_back_belongs_to_the_browser_that_left(world, provider):
    back = provider.visit(begin(Client()))
    victim = Client()
    begin(victim)
    answer = victim.get(back)
    assert is_out(victim, answer)


@pytest.mark.parametrize(
    "query", ["", "code=x", "state=x", "code=x&state=y", "error=access_denied&state=S", "error=x&state=S", "state=S"]
)
def test_a_way_back_that_makes_no_sense_ends_in_a_sentence(world, provider, query):
    browser = Client(HTTP_ACCEPT_LANGUAGE="en")
    begin(browser)
    state = next(iter(browser.session["socialaccount_states"]))
    answer = browser.get(f"/login/sso/callback/?{query.replace('S', state)}")
    assert is_out(browser, answer)
    assert "did not work" in said(answer)


@pytest.mark.parametrize(
    "description",
    [{"issuer": "https://other.example"}, {"token_endpoint": None}, {"jwks_uri": None}, {"jwks_uri": "x"}],
)
def test_a_description_that_is_not_the_providers_own_is_not_followed(world, provider, description):
    provider.description = description
    browser = Client(HTTP_ACCEPT_LANGUAGE="en")
    answer = browser.get("/login/sso/")
    if answer.status_code == 302:
        answer = browser.get(provider.visit(answer["Location"]))
    assert is_out(browser, answer)


def test_a_provider_that_is_away_is_a_sentence(world, provider):
    browser = Client(HTTP_ACCEPT_LANGUAGE="en")
    back = provider.visit(begin(browser))
    provider.close()
    for answer in (browser.get(back), browser.get("/login/sso/")):
        assert is_out(browser, answer)


# The role


@pytest.mark.parametrize(
    ("groups", "role"),
    [(["desk"], "moderator"), (["desk", "boss"], "admin"), (["x", "law"], "compliance_officer"), ("desk", "moderator")],
)
def test_the_first_line_of_the_map_that_fits_gives_the_role(world, provider, groups, role):
    provider.person["groups"] = groups
    sign_on(provider)
    assert Staff.objects.get(username="shen").role == role


def test_the_claim_may_lie_deeper(world, provider, settings):
    settings.OIDC_ROLE_CLAIM = "realm_access.roles"
    provider.person = {**provider.person, "realm_access": {"roles": ["law"]}}
    sign_on(provider)
    assert Staff.objects.get(username="shen").role == "compliance_officer"


@pytest.mark.parametrize("groups", [[], ["guests"], None, "moderator", {"desk": 1}, 7, [None]])
def test_without_a_mapped_role_nobody_comes_in(world, provider, groups):
    provider.person["groups"] = groups
    browser, answer = sign_on(provider)
    assert is_out(browser, answer) and "no role here" in said(answer)
    assert not Staff.objects.filter(username="shen").exists()


def test_a_map_to_a_role_that_does_not_exist_gives_none(world, provider, settings):
    settings.OIDC_ROLES = {"desk": "superuser"}
    browser, answer = sign_on(provider)
    assert is_out(browser, answer)
    assert [found.id for found in sso.sso_is_whole()] == ["accounts.E003"]


def test_the_role_follows_the_provider_at_each_sign_in_and_earlier_sessions_end(world, provider):
    first, _answer = sign_on(provider)
    provider.person["groups"] = ["law"]
    second, _answer = sign_on(provider)
    assert Staff.objects.get(username="shen").role == "compliance_officer"
    assert is_in(second) and not is_in(first)
    assert AuditEvent.objects.get(action="staff.role_changed").data == {"from": "moderator", "to": "compliance_officer"}


def test_a_removed_group_closes_the_account_and_its_sessions_and_a_returned_one_opens_it(world, provider):
    earlier, _answer = sign_on(provider)
    provider.person["groups"] = []
    browser, answer = sign_on(provider)
    shen = Staff.objects.get(username="shen")
    assert answer.status_code == 403 and not shen.is_active and not is_in(browser) and not is_in(earlier)
    assert not StaffSession.objects.filter(staff=shen, ended_at=None).exists()
    provider.person["groups"] = ["desk"]
    again, _answer = sign_on(provider)
    assert is_in(again)
    actions = AuditEvent.objects.filter(subject=f"staff:{shen.pk}").order_by("id").values_list("action", flat=True)
    assert [a for a in actions if a.startswith("staff.")][:3] == ["staff.created", "staff.closed", "staff.opened"]


def test_an_account_that_an_administrator_closed_stays_closed(world, provider):
    from accounts import staff as colleagues

    sign_on(provider)
    colleagues.set_active(staff_id=Staff.objects.get(username="shen").pk, active=False, by=world.fang)
    browser, answer = sign_on(provider)
    assert answer.status_code == 403 and "closed" in said(answer) and not is_in(browser)
    provider.person["groups"] = []
    sign_on(provider)
    provider.person["groups"] = ["desk"]
    assert sign_on(provider)[1].status_code == 403


# Who somebody is


@pytest.mark.parametrize("name", ["lin", "LIN@evil.example".lower()])
def test_a_name_that_somebody_has_here_is_not_theirs_at_the_provider(world, provider, name):
    provider.person["preferred_username"] = name
    browser, answer = sign_on(provider)
    assert answer.status_code == 409 and not is_in(browser) and not SocialAccount.objects.exists()


def test_an_address_links_nobody_either(world, provider):
    Staff.objects.filter(username="lin").update(email="lin@example.cn")
    provider.person |= {"email": "Lin@example.cn", "email_verified": True}
    browser, answer = sign_on(provider)
    assert answer.status_code == 409 and not is_in(browser)
    provider.person["email_verified"] = False
    sign_on(provider)
    assert Staff.objects.get(username="shen").email == ""


def test_it_is_the_subject_that_counts_and_not_the_name(world, provider):
    sign_on(provider)
    provider.person |= {"preferred_username": "renamed", "name": "改名"}
    browser, _answer = sign_on(provider)
    assert is_in(browser) and Staff.objects.get(username="shen") and not Staff.objects.filter(username="renamed")
    provider.person |= {"sub": "another", "preferred_username": "shen"}
    assert sign_on(provider)[1].status_code == 409


@pytest.mark.parametrize("name", ["", "沈一", "a b/c", "x" * 300, "../../etc", "<script>"])
def test_strange_names_become_user_names(world, provider, name):
    provider.person |= {"preferred_username": name, "name": name}
    browser, _answer = sign_on(provider)
    assert is_in(browser)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", SocialAccount.objects.get().user.username)


def test_two_first_sign_ins_at_once_make_one_account(open_world, provider, at_once):
    about = sso.told(provider.claims("n"))
    admitted = at_once(*[lambda: sso.admit(about)] * 4)
    assert len({staff.pk for staff in admitted}) == 1 and SocialAccount.objects.count() == 1


# The second factor


def test_a_provider_that_asked_for_a_second_factor_is_believed(world, provider, settings):
    settings.DEMO = False
    for amr in (["pwd", "mfa"], ["otp"], ["hwk", "user"]):
        provider.person["amr"] = amr
        browser, _answer = sign_on(provider)
        assert is_in(browser), amr


@pytest.mark.parametrize("amr", [None, ["pwd"], [], "mfa", ["sms"]])
def test_any_other_leads_to_a_second_factor_of_ours(world, provider, settings, amr):
    settings.DEMO = False
    provider.person["amr"] = amr
    browser, _answer = sign_on(provider)
    assert browser.get("/")["Location"] == "/staff/me/security/"
    Authenticator.objects.create(user=Staff.objects.get(username="shen"), type="totp", data={"secret": "x"})
    other, answer = sign_on(provider)
    assert answer["Location"] == "/login/second-factor/" and not is_in(other)


def test_what_one_provider_vouched_for_is_not_the_next_persons(world, provider, settings):
    settings.DEMO = False
    provider.person["amr"] = ["mfa"]
    browser, _answer = sign_on(provider)
    browser.post("/logout/")
    browser.post("/login/", {"username": "lin", "password": PASSWORD})
    assert browser.get("/")["Location"] == "/staff/me/security/"


# Confirmation


def confirmed(browser):
    answer = browser.get("/staff/me/security/key/")
    return answer.status_code == 200 or not answer["Location"].startswith("/staff/me/confirm/")


def test_a_sign_on_confirms_from_when_the_provider_saw_the_person(world, provider):
    assert confirmed(sign_on(provider)[0])
    provider.person["auth_time"] = int(time.time()) - 3600  # a silent sign-on of an open session there
    browser, _answer = sign_on(provider)
    assert is_in(browser) and not confirmed(browser)
    provider.person["auth_time"] = None
    browser, _answer = sign_on(provider)
    assert is_in(browser) and not confirmed(browser)


def test_one_confirms_by_being_seen_there_anew(world, provider):
    provider.person["auth_time"] = int(time.time()) - 3600
    browser, _answer = sign_on(provider)
    page = browser.get("/staff/me/confirm/?next=/users/").content.decode()
    assert "/login/sso/?again=1" in page and 'name="password"' not in page
    provider.person.pop("auth_time")
    sessions = StaffSession.objects.count()
    _browser, answer = sign_on(provider, browser, "/login/sso/?again=1&next=/users/")
    assert answer["Location"] == "/users/" and confirmed(browser)
    assert provider.asked[-1]["prompt"] == "login" and provider.asked[-1]["max_age"] == "0"
    assert StaffSession.objects.count() == sessions  # it is the same session


def test_a_provider_that_does_not_say_when_confirms_nothing(world, provider):
    provider.person["auth_time"] = None
    browser, _answer = sign_on(provider)
    _browser, answer = sign_on(provider, browser, "/login/sso/?again=1&next=/users/")
    assert answer["Location"].startswith("/staff/me/confirm/") and not confirmed(browser)


def test_somebody_else_at_the_provider_confirms_nothing(world, provider):
    provider.person["auth_time"] = int(time.time()) - 3600
    browser, _answer = sign_on(provider)
    provider.person |= {"sub": "another", "preferred_username": "other", "auth_time": int(time.time())}
    _browser, answer = sign_on(provider, browser, "/login/sso/?again=1&next=/users/")
    assert answer.status_code == 403 and not confirmed(browser)


# Connecting an account that has a password


def connect(provider, browser):
    page = browser.post("/staff/me/security/sso/")
    assert page.status_code == 200
    away = re.search(r'href="(http://127[^"]+)"', page.content.decode())[1].replace("&amp;", "&")
    return browser.get(provider.visit(away))


def test_one_connects_ones_account_and_then_comes_in_by_it(world, provider, login):
    lin = login("lin")
    answer = connect(provider, lin)
    assert answer["Location"] == "/staff/me/security/"
    assert SocialAccount.objects.get().user == world.lin and provider.asked[-1]["prompt"] == "login"
    browser, _answer = sign_on(provider)
    assert browser.session["_auth_user_id"] == str(world.lin.pk)
    provider.person["groups"] = ["law"]
    sign_on(provider)
    assert Staff.objects.get(username="lin").role == "compliance_officer"


def test_connecting_needs_a_form_a_confirmation_and_a_person_who_has_none_here(world, provider, login):
    lin = login("lin")
    assert lin.get("/staff/me/security/sso/").status_code == 405
    guarded = Client(enforce_csrf_checks=True)
    guarded.force_login(world.bai, backend="django.contrib.auth.backends.ModelBackend")
    assert guarded.post("/staff/me/security/sso/").status_code == 403
    session = lin.session
    session["confirmed_at"] -= 400
    session.save()
    assert lin.post("/staff/me/security/sso/")["Location"].startswith("/staff/me/confirm/")
    sign_on(provider)
    answer = connect(provider, login("xu"))
    assert answer.status_code == 409 and not SocialAccount.objects.filter(user=world.xu).exists()


def test_the_connection_is_taken_away_unless_it_is_the_only_way_in(world, provider, login):
    lin = login("lin")
    connect(provider, lin)
    assert lin.post("/staff/me/security/sso/end/").status_code == 302 and not SocialAccount.objects.exists()
    browser, _answer = sign_on(provider)
    assert browser.post("/staff/me/security/sso/end/").status_code == 409 and SocialAccount.objects.exists()


def test_who_is_signed_in_is_not_taken_away_by_a_link(world, provider, login):
    lin = login("lin")
    assert lin.get("/login/sso/")["Location"] == "/" and is_in(lin)


def test_only_a_whole_configuration_passes_the_start_up_check(settings):
    settings.OIDC_ISSUER = "http://sso.example.cn"
    settings.OIDC_CLIENT_ID = ""
    settings.OIDC_ROLES = {"a": "admin"}
    settings.DEMO = False
    assert [found.id for found in sso.sso_is_whole()] == ["accounts.E001", "accounts.E002"]
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID = "https://sso.example.cn", "x"
    assert sso.sso_is_whole() == []


def test_nobody_connects_twice(world, provider):
    sso.connect(uid="u", by=world.lin)
    for by, uid in ((world.lin, "v"), (world.bai, "u")):
        with pytest.raises(Refusal) as refused:
            sso.connect(uid=uid, by=by)
        assert refused.value.status == 409
