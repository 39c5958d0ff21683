"""Where an address lies (GEN-10): the province in China, the country elsewhere, from an offline database in MaxMind's
format that the operator supplies (REGION_DATABASE). Without one, or where it says nothing, the answer is empty."""

from __future__ import annotations

import ipaddress
import os
import threading
import time
from typing import Any

import maxminddb
import structlog
from django.conf import settings

log = structlog.get_logger("regions")
LOOK_AGAIN = 30.0  # seconds after which a process looks whether the file was replaced

# GB/T 2260 divisions by their ISO 3166-2:CN code, as accounts show them.
PROVINCES = {
    "AH": "安徽", "BJ": "北京", "CQ": "重庆", "FJ": "福建", "GD": "广东", "GS": "甘肃", "GX": "广西", "GZ": "贵州",
    "HA": "河南", "HB": "湖北", "HE": "河北", "HI": "海南", "HL": "黑龙江", "HN": "湖南", "JL": "吉林", "JS": "江苏",
    "JX": "江西", "LN": "辽宁", "NM": "内蒙古", "NX": "宁夏", "QH": "青海", "SC": "四川", "SD": "山东", "SH": "上海",
    "SN": "陕西", "SX": "山西", "TJ": "天津", "XJ": "新疆", "XZ": "西藏", "YN": "云南", "ZJ": "浙江",
}  # fmt: skip
OF_CHINA = {"HK": "中国香港", "MO": "中国澳门", "TW": "中国台湾"}
LONGEST = 40

_lock = threading.Lock()
_state: tuple[float, tuple[Any, ...], maxminddb.Reader | None] = (0.0, (), None)


def normal_address(text: str) -> str | None:
    """An IP address in its one spelling, IPv4 inside IPv6 unpacked; None for anything else."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            return None
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
    return str(address)


def region_of(address: str) -> str:
    """The region to show for an IP address, in Chinese; "" for a private or unknown one. Never raises: a database that
    is missing or broken costs the region and nothing else."""
    normal = normal_address(address)
    if normal is None or not ipaddress.ip_address(normal).is_global:
        return ""
    reader = _reader()
    if reader is None:
        return ""
    try:
        return _in_words(reader.get(normal))[:LONGEST]
    except Exception as wrong:
        # Damaged data can end in any exception of the decoder, a recursion without end included.
        log.warning("region_unreadable", error=type(wrong).__name__)
        return ""


def available() -> bool:
    """Whether a readable database is in place."""
    return _reader() is not None


def forget() -> None:
    """Drop what this process remembers of the database."""
    global _state
    _state = (0.0, (), None)


def _reader() -> maxminddb.Reader | None:
    global _state
    looked, stamp, reader = _state
    if looked and time.monotonic() - looked < LOOK_AGAIN:
        return reader
    with _lock:
        looked, stamp, reader = _state
        if looked and time.monotonic() - looked < LOOK_AGAIN:
            return reader
        now = _stamp()
        if now != stamp:
            # The reader before is left to its last user: another thread may be in the middle of a look-up.
            reader = _opened() if now else None
        _state = (time.monotonic(), now, reader)
    return reader


def _stamp() -> tuple[Any, ...]:
    path = settings.REGION_DATABASE
    if not path:
        return ()
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (path, found.st_ino, found.st_size, found.st_mtime_ns)


def _opened() -> maxminddb.Reader | None:
    try:
        # By reading, not by mapping: a mapped file that is written over kills the process that reads it.
        return maxminddb.open_database(settings.REGION_DATABASE, maxminddb.MODE_FILE)
    except Exception as wrong:
        log.error("region_database_unreadable", error=type(wrong).__name__)
        return None


def _in_words(record: Any) -> str:
    if not isinstance(record, dict):
        return ""
    country = record.get("country")
    country = country if isinstance(country, dict) else {}
    code = country.get("iso_code")
    if code in OF_CHINA:
        return OF_CHINA[code]
    if code == "CN":
        divisions = record.get("subdivisions")
        first = divisions[0] if isinstance(divisions, list) and divisions else {}
        first = first if isinstance(first, dict) else {}
        return PROVINCES.get(str(first.get("iso_code", "")), "") or _name(first) or "中国"
    return _name(country) or str(code or "")


def _name(part: dict[str, Any]) -> str:
    names = part.get("names")
    names = names if isinstance(names, dict) else {}
    return str(names.get("zh-CN") or names.get("en") or "")
