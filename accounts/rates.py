"""How often a key may call in a minute, and how often an address may try keys that don't exist.

A minute begins with the first call and is counted in Valkey for all processes together. So that a call doesn't cost a
question to Valkey, each process takes the allowance in slices of a 1,200th (50 ms of it at an even pace):

- never more than the limit is let through in a minute, to the call, however many processes there are;
- a process may be left with an unused part of its slice when the minute ends: of a limit of L at most L/1,200 - 1 calls
  per process are refused too early (below 2,400 a minute: none, each call asks);
- what was refused stays refused until the minute ends, without asking.

While Valkey is away each process counts for itself: then the limit holds per process.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from functools import cache
from typing import Any

from django.utils.crypto import salted_hmac

from accounts import counters
from core.options import option

SLICES = 1_200
MINUTE = 60.0
REMEMBERED = 10_000  # names; a flood of addresses must not fill the memory

# KEYS: the count; ARGV: the limit, how much is wanted. Answers how much is given and how long the minute still is.
TAKE = """
local used = tonumber(redis.call('GET', KEYS[1]) or '0')
local given = math.max(0, math.min(tonumber(ARGV[2]), tonumber(ARGV[1]) - used))
if given > 0 then
    redis.call('INCRBY', KEYS[1], given)
    if used == 0 then redis.call('PEXPIRE', KEYS[1], 60000) end
end
return {given, redis.call('PTTL', KEYS[1])}
"""


class _Share:
    """What this process still has of a name's allowance in the minute that runs."""

    __slots__ = ("left", "lock", "spent", "until")

    def __init__(self) -> None:
        self.left = 0
        self.until = 0.0
        self.spent = False
        self.lock = threading.Lock()


_shares: dict[str, _Share] = {}


def take(name: str, per_minute: int) -> float:
    """Count one call of `name`: 0.0 when it is within the limit, else the seconds until it may call again."""
    share = _shares.get(name)
    if share is None:
        if len(_shares) >= REMEMBERED:
            _drop_old()
        share = _shares.setdefault(name, _Share())
    with share.lock:
        now = time.monotonic()
        if now < share.until:
            if share.left > 0:
                share.left -= 1
                return 0.0
            if share.spent:
                return share.until - now
        _refill(share, name, per_minute, now)
        if share.left > 0:
            share.left -= 1
            return 0.0
        return max(0.001, share.until - now)


def _refill(share: _Share, name: str, per_minute: int, now: float) -> None:
    try:
        given, milliseconds = counters.ask(
            lambda client: _script()(
                keys=[f"mj:rate:{name}"], args=[per_minute, max(1, per_minute // SLICES)], client=client
            )
        )
    except counters.Away:
        share.left, share.until, share.spent = per_minute, now + MINUTE, True
        return
    # The time was taken before asking, so that our minute ends no later than Valkey's.
    share.left, share.until, share.spent = given, now + max(0, milliseconds) / 1000, given == 0


@cache
def _script() -> Any:
    return counters.script(TAKE)


def _drop_old() -> None:
    now = time.monotonic()
    for name in [name for name, share in list(_shares.items()) if share.until <= now]:
        _shares.pop(name, None)
    if len(_shares) >= REMEMBERED:
        _shares.clear()  # Valkey still knows


def wrong_key(address: str) -> float:
    """Count a key that doesn't exist against the address it came from: 0.0, or the seconds to wait once there were more
    than `key_guesses_per_minute`. What was tried is kept nowhere, the address only as a keyed digest."""
    return take(f"guess:{_place(address)}", int(option("key_guesses_per_minute")))


def _place(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        address = str(ipaddress.ip_network((parsed, 64), strict=False))  # whoever has one address there has all of them
    return salted_hmac("accounts.rates", address, algorithm="sha256").hexdigest()[:32]


def forget() -> None:
    """Drop what this process took and what it counted against addresses."""
    guesses = [f"mj:rate:{name}" for name in _shares if name.startswith("guess:")]
    _shares.clear()
    if guesses:
        with contextlib.suppress(counters.Away):  # they end by themselves within a minute
            counters.ask(lambda client: client.delete(*guesses))
