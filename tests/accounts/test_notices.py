"""What users are told (GEN-12): the words of that day, everywhere the same, in the transaction of what they tell; by
e-mail where there is an address and a mail server, and nothing personal on the way."""

from __future__ import annotations

import smtplib
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone, translation

from accounts import measures, notices
from accounts.models import Measure, Notice
from core import audit, links, outbox, vault
from core.ids import uuid7
from core.models import Job, OutboxEvent, WebhookDelivery
from core.webhooks import register_endpoint
from tests.world import work

ADDRESS = "shiming@example.cn"


@pytest.fixture
def reachable(world, settings):
    """Wen has left an address, and the house has a mail server."""
    settings.MAIL, settings.PUBLIC_URL = "smtp://mail.example.cn", "https://desk.example.cn"
    subject = f"user:{world.wen.pk}"
    world.wen.contact_sealed = vault.seal(ADDRESS, subject=subject, context=f"{subject}:contact")
    world.wen.contact_masked = "s***@example.cn"
    world.wen.save(update_fields=["contact_sealed", "contact_masked"])
    return world.wen


def put(world, user=None, **given):
    given = {"kind": "suspend", "ground": "发布诈骗广告", "until_lifted": True} | given
    return measures.apply(user=user or world.wen, by=world.xu, **given)


def test_the_notice_of_a_measure_says_everything_it_must(world):
    end = timezone.now() + timedelta(days=7)
    measure = put(
        world, kind="limit", functions=["writing"], clause="服务协议 3.2", ends_at=end, until_lifted=None,
        remedy="删除广告内容", material="整改说明", severity=2,
    )  # fmt: skip
    notice = measure.notices.get()
    assert notice.kind == "measure_applied"
    shown = f"{end.astimezone(timezone.get_fixed_timezone(480)):%Y-%m-%d %H:%M}"
    for said in ("wen", "图言", "智能写作", "发布诈骗广告", "服务协议 3.2", "删除广告内容", "整改说明", shown):
        assert said in notice.body, said
    last = (measure.appeal_until - timedelta(seconds=1)).astimezone(timezone.get_fixed_timezone(480))
    assert f"{last:%Y-%m-%d}" in notice.body


def test_the_webhook_carries_the_same_words_and_the_link_that_opens_them(world, settings):
    settings.PUBLIC_URL = "https://desk.example.cn"
    endpoint, _secret = register_endpoint(service_id=world.service.pk, url="https://example.cn/hook", by=world.fang)
    measure = put(world)
    notice = measure.notices.get()
    event = OutboxEvent.objects.get(topic="notice.created", subject=str(world.wen.pk))
    assert event.service_id == world.service.pk
    token = links.make("notice", notice.pk)
    assert event.payload == {
        "id": str(notice.pk), "user": "wen", "kind": "measure_applied", "title": notice.title, "body": notice.body,
        "status_url": f"https://desk.example.cn/public/appeal/{token}/",
    }  # fmt: skip
    outbox.relay()
    sent = WebhookDelivery.objects.get(endpoint=endpoint, topic="notice.created", subject=str(world.wen.pk))
    assert token in sent.body


def test_without_a_public_address_the_link_is_relative(world, settings):
    settings.PUBLIC_URL = ""
    notice = put(world).notices.get()
    assert notices.status_url(notice) == f"/public/appeal/{links.make('notice', notice.pk)}/"


def test_the_words_are_in_the_users_language_whatever_the_desk_speaks(world):
    with translation.override("en"):
        english = put(world, ground="理由").notices.get()
        assert "Tuyan Studio" not in english.body and "图言" in english.body
        assert translation.get_language() == "en"
    chinese = put(world, ground="理由").notices.get()
    assert [w for w in english.body.splitlines() if "理由" in w] == [
        w for w in chinese.body.splitlines() if "理由" in w
    ]


@pytest.mark.parametrize(
    "typed", ["{{ user.pk }} {% now 'Y' %}", "%(account)s %s 100%", "{0} {user}", "<b>x</b>\r\nBcc: a@b.cn"]
)
def test_what_somebody_typed_is_never_a_template(world, typed):
    notice = put(world, ground=typed, remedy=typed).notices.get()
    assert notice.body.count(typed) == 2


def test_the_words_stay_as_they_were(world):
    notice = put(world).notices.get()
    before = (notice.title, notice.body)
    Measure.objects.filter(pk=notice.measure_id).update(ground="later")
    notice.refresh_from_db()
    assert (notice.title, notice.body) == before


def test_an_act_that_fails_tells_nobody(world, monkeypatch):
    def broken(*_args, **_more):
        raise RuntimeError("after the measure, before the end")

    monkeypatch.setattr(notices.outbox, "emit", broken)
    with pytest.raises(RuntimeError):
        put(world)
    assert not world.wen.measures.exists() and not Notice.objects.filter(user=world.wen).exists()


def test_lifting_is_told_with_its_reason_and_expiry_is_not_told_again(world):
    measure = put(world)
    measures.lift(measure_id=measure.pk, reason="核实有误", by=world.chen)
    lifted = measure.notices.get(kind="measure_lifted")
    assert "核实有误" in lifted.body
    ending = put(world, ends_at=timezone.now() + timedelta(days=1), until_lifted=None)
    Measure.objects.filter(pk=ending.pk).update(ends_at=timezone.now() - timedelta(seconds=1))
    measures.expire_due()
    assert [n.kind for n in ending.notices.all()] == ["measure_applied"]


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("identity_rejected", {"reason": "姓名与号码不符"}),
        ("identity_again", {"reason": "资料已变更", "until": datetime(2030, 5, 7, 16, tzinfo=UTC)}),
        ("request_answered", {"reason": "资料已更正"}),
    ],
)
def test_other_kinds_are_told_without_a_measure(world, kind, given):
    notice = notices.tell(user=world.wen, kind=kind, **given)
    assert given["reason"] in notice.body and notice.title and notice.measure is None
    if "until" in given:
        assert "2030-05-07" in notice.body


def test_an_unknown_kind_is_a_mistake_of_the_caller(world):
    with pytest.raises(KeyError):
        notices.tell(user=world.wen, kind="gossip")


# By e-mail


def test_a_user_with_an_address_gets_the_same_words_by_mail(world, reachable):
    notice = put(world).notices.get()
    job = Job.objects.get(kind="notice.email")
    assert (job.subject, job.payload) == (str(notice.pk), {})
    work()
    (letter,) = mail.outbox
    assert letter.recipients() == [ADDRESS] and letter.subject == notice.title
    assert letter.body.startswith(notice.body) and notices.status_url(notice) in letter.body
    notice.refresh_from_db()
    assert notice.emailed_at is not None
    assert not Job.objects.filter(kind="notice.email").exists()


def test_without_a_mail_server_or_an_address_there_is_no_job(world, reachable, settings):
    put(world, user=world.liu)
    settings.MAIL = ""
    put(world)
    assert not Job.objects.filter(kind="notice.email").exists()


def test_a_contact_that_is_no_address_or_was_erased_ends_the_job_quietly(world, reachable):
    subject = f"user:{world.wen.pk}"
    world.wen.contact_sealed = vault.seal("13800138000", subject=subject, context=f"{subject}:contact")
    world.wen.save(update_fields=["contact_sealed"])
    put(world)
    work()
    vault.shred([subject])
    put(world)
    work()
    assert mail.outbox == [] and not Job.objects.filter(kind="notice.email").exists()
    assert not Notice.objects.exclude(emailed_at=None).exists()


class Stubborn(EmailBackend):
    """A mail server that says what the test wants."""

    answer: Exception | None = None

    def send_messages(self, messages):
        if self.answer:
            raise self.answer
        return super().send_messages(messages)


@pytest.fixture
def server(settings, monkeypatch):
    settings.EMAIL_BACKEND = f"{__name__}.Stubborn"
    return lambda answer: monkeypatch.setattr(Stubborn, "answer", answer)


def test_a_mail_server_that_is_away_is_tried_again_and_not_counted_as_failure(world, reachable, server, caplog, capsys):
    server(smtplib.SMTPServerDisconnected(f"lost {ADDRESS}"))
    notice = put(world).notices.get()
    for _round in range(5):
        Job.objects.filter(kind="notice.email").update(due_at=timezone.now() - timedelta(seconds=1))
        work()
    job = Job.objects.get(kind="notice.email")
    assert job.attempts == 0 and job.due_at > timezone.now()
    server(None)
    Job.objects.filter(pk=job.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    work()
    notice.refresh_from_db()
    assert notice.emailed_at is not None and len(mail.outbox) == 1
    out = capsys.readouterr()
    assert ADDRESS not in caplog.text + out.out + out.err


def test_a_refused_address_is_given_up_at_once_and_stands_in_the_ledger_without_the_address(
    world, reachable, server, caplog
):
    server(smtplib.SMTPRecipientsRefused({ADDRESS: (550, b"no such user")}))
    notice = put(world).notices.get()
    work()
    assert not Job.objects.filter(kind="notice.email").exists()
    event = next(e for e in audit.of(f"user:{world.wen.pk}") if e.action == "notice.not_emailed")
    assert ADDRESS not in str(event.data) + event.reason + caplog.text
    notice.refresh_from_db()
    assert notice.emailed_at is None


def test_a_mail_server_that_stays_away_is_given_up_after_a_day(world, reachable, server):
    server(OSError("no route"))
    notice = put(world).notices.get()
    Notice.objects.filter(pk=notice.pk).update(created_at=timezone.now() - timedelta(days=2))
    work()
    assert not Job.objects.filter(kind="notice.email").exists()
    assert [e.action for e in audit.of(f"user:{world.wen.pk}")][-1] == "notice.not_emailed"


# Links


def test_a_link_of_another_purpose_or_a_changed_one_leads_nowhere(world):
    notice = put(world).notices.get()
    good = links.make("notice", notice.pk)
    assert notices.behind(good).pk == notice.pk
    for bad in (
        links.make("request", notice.pk),
        links.make("notice", uuid7()),
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        "",
        "x",
    ):
        assert notices.behind(bad) is None, bad
