"""Honey records (security.md §4): users that nobody is. Whoever looks for one, opens or takes one away has no honest
reason to, and people are told at once. Only the database knows which they are; no page or export says so."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterable
from datetime import date, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from stdnum import numdb
from stdnum.cn import ric

from accounts import numbers, sealing
from accounts.models import HoneyUser, Identity, User
from core import alarms, audit, crypto
from core.errors import Refusal
from core.options import option
from core.roles import check
from governance.models import Service

MOST_AT_ONCE = 200
_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗"
_GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰梅鑫波宇浩然欣怡子轩雨桐"
_NICKS = ("云", "山", "海", "小鹿", "橘子", "阿", "晚风", "星", "木", "青", "夏", "南")
_rng = random.SystemRandom()


def plant(*, service: Service, count: int, by: Any) -> int:
    """Add invented users with a verified identity to a service; returns how many. Their numbers have the right check
    digit and belong to nobody living. The ledger says how many were planted, never which."""
    check(by, "honey.plant")
    if not 1 <= count <= MOST_AT_ONCE:
        raise Refusal("honey_count", f"1-{MOST_AT_ONCE}")
    shapes = list(
        User.objects.filter(service=service, honey=None).order_by("-pk").values_list("external_id", flat=True)[:50]
    )
    with transaction.atomic():
        for _ in range(count):
            _one(service, shapes)
        audit.record(action="honey.planted", subject=f"service:{service.pk}", by=by, data={"count": count})
    return count


def touched(*, user_ids: Iterable[UUID], how: str, by: Any) -> bool:
    """Ring `honey_touched` in the caller's transaction for every honey record among these users."""
    found = list(HoneyUser.objects.filter(pk__in=list(user_ids)).values_list("pk", flat=True))
    for pk in found:
        alarms.ring(kind="honey_touched", subject=f"user:{pk}", by=by, detail=how)
    return bool(found)


def _one(service: Service, shapes: list[str]) -> None:
    user = User.objects.create(
        service=service,
        external_id=_unused_id(service, shapes),
        kind="person",
        display_name=secrets.choice(_NICKS)
        + secrets.choice(_GIVEN)
        + secrets.choice(["", str(_rng.randrange(10, 99))]),
        identity_status="verified",
        minor=False,
    )
    number = _nobodys_number()
    identity = Identity(user=user, method="id_number", state="verified", check_state="match")
    # The way a signed match of the verification service leaves a record behind.
    identity.verified_by_method = "verification_service"
    identity.decided_at = identity.checked_at = Now()
    if days := int(option("identity_expiry_days")):
        identity.expires_at = Now() + timedelta(days=days)
    sealing.seal_into(identity, number=number, name=_name())
    identity.number_digest = crypto.digest(numbers.for_digest("id_number", number), "identity.id_number")
    identity.save(force_insert=True)
    for action, data in (("user.registered", {"kind": "person"}), ("identity.submitted", {"method": "id_number"})):
        audit.record(action=action, subject=f"user:{user.pk}", by="system:registration", data=data)
    audit.record(action="user.identity_verified", subject=f"user:{user.pk}", by="system:verifier")
    HoneyUser.objects.create(user=user)


def _name() -> str:
    return secrets.choice(_SURNAMES) + "".join(secrets.choice(_GIVEN) for _ in range(_rng.choice((1, 2, 2))))


def _unused_id(service: Service, shapes: list[str]) -> str:
    """An external id of the same shape as those that the service gives its own users."""
    while True:
        shape = secrets.choice(shapes) if shapes else "u" + "0" * 8
        digits = sum(c.isdigit() for c in shape)
        made = (
            "".join(_like(c) for c in shape)
            if digits >= 6
            else f"{shape[:8].rstrip('0123456789')}{_rng.randrange(10**8):08}"
        )
        if not User.objects.filter(service=service, external_id=made).exists():
            return made


def _like(character: str) -> str:
    if character.isdigit():
        return secrets.choice("0123456789")
    if character in "abcdef":
        return secrets.choice("abcdef")  # so that hexadecimal stays hexadecimal
    return character


def _nobodys_number() -> str:
    """An ID number that passes every check of form and belongs to nobody living: the date of birth in it lies in the
    first years of the 20th century. The mask hides it; who sees the date has rung already."""
    born = date(1900, 1, 1) + timedelta(days=_rng.randrange(8 * 365))
    body = f"{secrets.choice(_counties())}{born:%Y%m%d}{_rng.randrange(1, 999):03}"
    return body + ric.calc_check_digit(body + "0")


@cache
def _counties() -> list[str]:
    """The codes of counties that were there at all times, as far as the list knows."""
    return [
        province + county
        for _length, province, _high, _props, counties in numdb.get("cn/loc").prefixes
        for _county_length, county, _county_high, props, _none in counties
        if not county.endswith("00") and "[" not in props.get("county", "[")
    ]
