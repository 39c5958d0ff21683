"""What an API key looks like: `mj_<prefix>_<secret><checksum>`, all letters, digits and underscores.

The fixed beginning, the length and the checksum let secret scanners recognise a key that leaked without asking us and
without false alarms (ASVS 11.5.1; as GitHub's tokens do). Keys issued before there were checksums keep working: they
are shorter.
"""

from __future__ import annotations

import re
import secrets
import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET = 43  # base-62 digits: 256 random bits
CHECKSUM = 6  # base-62 digits: a CRC-32
PATTERN = r"mj_[0-9a-f]{10}_[0-9A-Za-z]{49}"  # for secret scanners (docs/operator.md)
_OLD_SECRET = 43  # secrets.token_urlsafe(32)


def new_key() -> tuple[str, str]:
    """A fresh prefix and the whole key that begins with it."""
    prefix = secrets.token_hex(5)
    body = f"mj_{prefix}_{random_text(SECRET)}"
    return prefix, body + checksum(body)


def random_text(length: int) -> str:
    """Random base-62 digits, 5.95 bits each."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def prefix_of(key: str) -> str:
    """The prefix by which a key is found; empty when this can't be one of our keys: a slip of the pen, or a guess that
    knows neither form. Costs no query."""
    parts = key.split("_", 2)
    if len(parts) != 3 or parts[0] != "mj" or not (parts[1].isascii() and parts[1].isalnum()):
        return ""
    if len(parts[2]) == _OLD_SECRET:
        return parts[1]
    return parts[1] if checksum(key[:-CHECKSUM]) == key[-CHECKSUM:] else ""


def named_prefix(typed: str) -> str:
    """The prefix that a person means who typed `mj_0123456789_…`, the prefix alone, or pasted a whole key."""
    found = re.match(r"\s*(?:mj_)?([0-9a-zA-Z]{4,16})(?:_.*|…|\s)*\Z", typed, re.DOTALL)
    return found[1] if found else ""


def checksum(body: str) -> str:
    """CRC-32 of a key without its checksum, in base 62. Guards against slips, not against people: anybody can make it."""
    rest = zlib.crc32(body.encode("utf-8", "surrogatepass"))
    digits = ""
    for _ in range(CHECKSUM):
        rest, digit = divmod(rest, 62)
        digits = ALPHABET[digit] + digits
    return digits
