"""Devices that a service saw its users with, by keyed digest: enough to find accounts that share one."""

from __future__ import annotations

from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from accounts.models import User, UserDevice
from core import crypto

LONGEST = 200


def digest(device: str) -> bytes:
    """The keyed digest that stands for a device id of a service; the id itself is kept nowhere."""
    return crypto.digest(device.strip(), "device")


def seen(*, user: User, device: str) -> None:
    """A user was seen with this device, now by the database's clock; the caller has a transaction open."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_userdevice (user_id, digest) VALUES (%s, %s)"
            " ON CONFLICT (user_id, digest) DO UPDATE SET last_seen = statement_timestamp()",
            [user.pk, digest(device)],
        )


def sharing(user: User, *, most: int) -> QuerySet[User]:
    """Other users that were seen with a device of this user: `most` at most, the newest accounts first. Looks at this
    user's newest 20 devices only, so that a shop's terminal doesn't make the question endless."""
    newest = list(user.devices.order_by("-last_seen").values_list("digest", flat=True)[:20])
    return users_of([bytes(one) for one in newest], but=user.pk, most=most)


def users_of(digests: list[bytes], *, but: UUID, most: int) -> QuerySet[User]:
    """Users seen with one of these devices, except one."""
    with_one = UserDevice.objects.filter(digest__in=digests).exclude(user_id=but).order_by("-user_id")
    return (
        User.objects.filter(pk__in=with_one.values("user_id")[: most * 3])
        .select_related("service")
        .order_by("-pk")[:most]
    )
