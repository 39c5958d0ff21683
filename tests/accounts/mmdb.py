"""Writes tiny databases in MaxMind's format, so that the reader meets real files and no test downloads one."""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path
from typing import Any

MARKER = b"\xab\xcd\xefMaxMind.com"


def write(path: Path, networks: dict[str, Any], *, version: int = 6) -> None:
    """A database of networks (IPv4 ones at ::/96, as MaxMind has them) with their records, 24 bits a pointer."""
    nodes: list[list[Any]] = [[None, None]]
    for text, record in networks.items():
        network = ipaddress.ip_network(text)
        bits = f"{int(network.network_address):0{network.max_prefixlen}b}"[: network.prefixlen]
        if version == 6 and network.version == 4:
            bits = "0" * 96 + bits
        at = 0
        for bit in bits[:-1]:
            if nodes[at][int(bit)] is None:
                nodes.append([None, None])
                nodes[at][int(bit)] = len(nodes) - 1
            at = nodes[at][int(bit)]
        nodes[at][int(bits[-1])] = ("data", record)
    data = b""
    tree = b""
    for pair in nodes:
        for branch in pair:
            if branch is None:
                pointer = len(nodes)
            elif isinstance(branch, tuple):
                pointer = len(nodes) + 16 + len(data)
                data += encode(branch[1])
            else:
                pointer = branch
            tree += pointer.to_bytes(3, "big")
    metadata = {
        "node_count": ("uint32", len(nodes)), "record_size": ("uint16", 24), "ip_version": ("uint16", version),
        "database_type": "Test-City", "languages": ["zh-CN", "en"], "binary_format_major_version": ("uint16", 2),
        "binary_format_minor_version": ("uint16", 0), "build_epoch": ("uint64", 1_700_000_000), "description": {"en": "test"},
    }  # fmt: skip
    path.write_bytes(tree + b"\x00" * 16 + data + MARKER + encode(metadata))


def encode(value: Any) -> bytes:
    """A value of the format's data section."""
    if isinstance(value, tuple):
        kind, number = value
        raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
        return _control({"uint16": 5, "uint32": 6, "uint64": 9}[kind], len(raw)) + raw
    if isinstance(value, str):
        raw = value.encode()
        return _control(2, len(raw)) + raw
    if isinstance(value, dict):
        return _control(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(encode(v) for v in value)
    return _control(3, 8) + struct.pack(">d", value)


def _control(kind: int, size: int) -> bytes:
    extended = b"" if kind < 8 else bytes([kind - 7])
    first = (kind << 5) if kind < 8 else 0
    if size < 29:
        return bytes([first | size]) + extended
    assert size < 285
    return bytes([first | 29]) + extended + bytes([size - 29])


def city(country: str, name: str = "", division: str = "", division_name: str = "") -> dict[str, Any]:
    """A record as the City databases have them."""
    record: dict[str, Any] = {
        "country": {"iso_code": country, "names": {"en": country, **({"zh-CN": name} if name else {})}}
    }
    if division:
        record["subdivisions"] = [{"iso_code": division, "names": {"zh-CN": division_name, "en": division}}]
    return record
