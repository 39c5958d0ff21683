"""The named cast that every test plays with. All of it is invented.

Provider 图言智作 runs the service "tuyan" with the functions "writing" (text) and "portrait" (faces, consent prompt).
At the desk: Lin and Bai (moderators), Xu (senior), Zhou (identity admin), Chen (compliance), He (auditor), Fang (admin).
Users: Wen (verified), Liu (never verified), Qian (verified, suspended). Another service, "other", has its own user Ma.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from django.core.management import call_command

from accounts import identities, keys, measures, users
from accounts.models import ApiClient, Staff, User
from core import jobs, jsonbody
from core.errors import Refusal
from core.ids import uuid7
from governance.models import Category, Function, Provider, Service
from moderation import intake, library
from moderation.models import Submission

USCC = "91990000TUYAN0007P"
ID_NUMBER = "110101190001029823"  # right check digit, birth in January 1900: nobody living
OTHER_ID_NUMBER = "310101190001049848"
SCAM = "加入我们刷单返佣，日赚五百，做一单返一单"  # severity 3 in the starter library: goes to a person
BLOCKED = "测试专用违禁词甲"  # severity 4, only in this world
CLEAN = "秋天的旧书店里有阳光和灰尘"
PASSWORD = "correct horse battery"


@dataclass
class World:
    """Everything the tests name."""

    service: Service
    other_service: Service
    writing: Function
    portrait: Function
    lin: Staff
    bai: Staff
    xu: Staff
    zhou: Staff
    chen: Staff
    he: Staff
    fang: Staff
    wen: User
    liu: User
    qian: User
    ma: User
    client: ApiClient
    key: str
    staff: dict[str, Staff] = field(default_factory=dict)

    def body(self, text: str = CLEAN, **changes: Any) -> dict[str, Any]:
        """A submission's body; `changes` replace or add members."""
        return {
            "external_id": f"item-{uuid7().hex[-12:]}",
            "user": self.wen.external_id,
            "function": "writing",
            "technology": "text",
            "input": {"text": "写一段话"},
            "output": {"text": text},
            **changes,
        }

    def take(self, text: str = CLEAN, **changes: Any) -> Submission:
        """Hand an item in through intake; it is in screening."""
        answer = intake.take(
            service=self.service,
            lines=[intake.read_line(jsonbody.encode(self.body(text, **changes)))],
            by="client:test",
        )[0]
        if isinstance(answer, Refusal):
            raise answer
        return Submission.objects.get(pk=answer.id)

    def submit(self, text: str = CLEAN, **changes: Any) -> Submission:
        """Hand an item in and have it screened."""
        item = self.take(text, **changes)
        work()
        item.refresh_from_db()
        return item


def work() -> None:
    """Do everything that is due, as the workers and the courier would."""
    while jobs.work("work", seconds=10.0) + jobs.work("courier", seconds=10.0) + jobs.work("media", seconds=10.0):
        pass


def build() -> World:
    """Raise the world in an empty database, through the real commands."""
    if not Category.objects.exists():  # a transactional test before this one emptied the database
        call_command("bootstrap", stdout=StringIO())
    provider = Provider.objects.create(name="图言智作", name_en="Tuyan", uscc=USCC)
    service = Service.objects.create(provider=provider, code="tuyan", name="图言", name_en="Tuyan Studio")
    other = Service.objects.create(provider=provider, code="other", name="别家", name_en="Other")
    writing = Function.objects.create(
        service=service, code="writing", name="智能写作", name_en="Writing", kind="dialogue", technologies=["text"]
    )
    portrait = Function.objects.create(
        service=service,
        code="portrait",
        name="人像焕新",
        name_en="Portrait",
        kind="face",
        technologies=["biometric_image_video"],
        edits_biometrics=True,
    )
    Function.objects.create(
        service=other, code="writing", name="写作", name_en="Writing", kind="dialogue", technologies=["text"]
    )
    cast = {
        name: Staff(username=name, display_name=shown, role=role)
        for name, shown, role in (
            ("lin", "林溪", "moderator"),
            ("bai", "白薇", "moderator"),
            ("xu", "许岚", "senior_moderator"),
            ("zhou", "周予", "identity_admin"),
            ("chen", "陈默", "compliance_officer"),
            ("he", "何然", "auditor"),
            ("fang", "方知", "admin"),
        )
    }
    for person in cast.values():
        person.set_password(PASSWORD)
        person.save(force_insert=True)
    people = [
        users.register(service=s, external_id=e, kind="person", display_name=d, by="client:test")[0]
        for s, e, d in (
            (service, "wen", "闻歌"),
            (service, "liu", "柳絮"),
            (service, "qian", "钱塘"),
            (other, "ma", "马灯"),
        )
    ]
    wen, liu, qian, ma = people
    for user, number in ((wen, ID_NUMBER), (qian, OTHER_ID_NUMBER), (ma, ID_NUMBER)):
        identity = identities.submit(user=user, method="id_number", name="试名", number=number, by="client:test")
        identities.verify(identity_id=identity.pk, by=cast["zhou"])
    measures.apply(user=qian, kind="suspend", ground="多次提交诈骗内容", by=cast["zhou"])
    for value, category, severity in (("刷单返佣", "fraud.part_time", 3), (BLOCKED, "drugs.sale", 4)):
        feature = library.propose(value=value, category=category, severity=severity, by=cast["lin"])
        library.approve(feature_id=feature.pk, by=cast["xu"])
    client = keys.create_client(service=service, name="generator", by=cast["fang"])
    _key, secret = keys.issue_key(client=client, scopes=list(keys.SCOPES), by=cast["fang"])
    work()
    for user in people:
        user.refresh_from_db()
    return World(
        service=service,
        other_service=other,
        writing=writing,
        portrait=portrait,
        wen=wen,
        liu=liu,
        qian=qian,
        ma=ma,
        client=client,
        key=secret,
        staff=cast,
        **cast,
    )
