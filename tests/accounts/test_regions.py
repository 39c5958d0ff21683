"""Where an address lies (GEN-10), from an offline database."""

from __future__ import annotations

import os
import threading

import pytest

from accounts import regions
from tests.accounts import mmdb
from tests.accounts.mmdb import city

NETWORKS = {
    "1.0.1.0/24": city("CN", "中国", "GD", "广东省"),
    "1.0.2.0/24": city("CN", "中国"),
    "1.0.3.0/24": city("CN", "中国", "ZZ", "某地"),
    "1.0.4.0/24": city("HK", "香港"),
    "1.0.5.0/24": city("TW", "台湾"),
    "1.0.6.0/24": city("MO"),
    "1.0.7.0/24": city("JP", "日本", "13", "东京都"),
    "1.0.8.0/24": city("FR"),
    "1.0.9.0/24": {"country": "CN", "region": "Beijing"},
    "1.0.10.0/24": {"country": {"iso_code": "CN"}, "subdivisions": "nonsense"},
    "1.0.11.0/24": ["no", "record"],
    "1.0.12.0/24": city("US", "很" * 60),
    "2400:da00::/32": city("CN", "中国", "BJ", "北京市"),
    "10.0.0.0/8": city("CN", "中国", "SH", "上海市"),
}


@pytest.fixture(autouse=True)
def fresh():
    regions.forget()
    yield
    regions.forget()


@pytest.fixture
def database(tmp_path, settings):
    path = tmp_path / "regions.mmdb"
    mmdb.write(path, NETWORKS)
    settings.REGION_DATABASE = str(path)
    return path


@pytest.mark.parametrize(
    ("address", "region"),
    [
        ("1.0.1.7", "广东"),
        ("::ffff:1.0.1.7", "广东"),
        (" 1.0.1.7 ", "广东"),
        ("1.0.2.7", "中国"),
        ("1.0.3.7", "某地"),
        ("1.0.4.7", "中国香港"),
        ("1.0.5.7", "中国台湾"),
        ("1.0.6.7", "中国澳门"),
        ("1.0.7.7", "日本"),
        ("1.0.8.7", "FR"),
        ("2400:da00::1", "北京"),
        ("1.0.200.7", ""),  # not in the database
        ("10.1.2.3", ""),  # private, whatever the database says
        ("127.0.0.1", ""),
        ("::1", ""),
        ("fe80::1", ""),
        ("fe80::1%eth0", ""),
        ("1.0.9.7", ""),  # a record of another make
        ("1.0.10.7", "中国"),
        ("1.0.11.7", ""),
        ("", ""),
        ("example.cn", ""),
        ("1.0.1.7/24", ""),
        ("\x00", ""),
    ],
)
def test_a_province_in_china_a_country_elsewhere_and_nothing_for_what_is_unknown(database, address, region):
    assert regions.region_of(address) == region


def test_a_name_never_outgrows_its_column(database):
    assert regions.region_of("1.0.12.7") == "很" * 40


def test_every_division_of_the_standard_has_its_name():
    assert len(regions.PROVINCES) == 31 and len(set(regions.PROVINCES.values())) == 31


def test_without_a_database_the_answer_is_empty(settings, tmp_path):
    for path in ("", str(tmp_path / "nothing.mmdb"), str(tmp_path)):
        settings.REGION_DATABASE = path
        regions.forget()
        assert regions.region_of("1.0.1.7") == "" and not regions.available()


def test_an_ipv4_database_is_asked_for_ipv4_only(tmp_path, settings):
    path = tmp_path / "v4.mmdb"
    mmdb.write(path, {"1.0.1.0/24": city("CN", "中国", "GD", "广东省")}, version=4)
    settings.REGION_DATABASE = str(path)
    assert (regions.region_of("1.0.1.7"), regions.region_of("2400:da00::1")) == ("广东", "")


def test_a_replaced_file_is_picked_up_within_a_minute(database, monkeypatch):
    assert regions.region_of("1.0.1.7") == "广东"
    fresh = database.with_suffix(".new")
    mmdb.write(fresh, {"1.0.1.0/24": city("CN", "中国", "ZJ", "浙江省")})
    os.replace(fresh, database)
    now = regions.time.monotonic
    assert regions.region_of("1.0.1.7") == "广东"  # remembered for a while
    monkeypatch.setattr(regions.time, "monotonic", lambda: now() + 59)
    assert regions.LOOK_AGAIN < 59 and regions.region_of("1.0.1.7") == "浙江"
    database.unlink()
    monkeypatch.setattr(regions.time, "monotonic", lambda: now() + 120)
    assert regions.region_of("1.0.1.7") == ""


def test_a_file_written_over_in_place_breaks_nothing(database, monkeypatch):
    assert regions.region_of("1.0.1.7") == "广东"
    database.write_bytes(b"\x00" * 64)
    assert regions.region_of("1.0.1.7") in ("", "广东")
    now = regions.time.monotonic
    monkeypatch.setattr(regions.time, "monotonic", lambda: now() + 60)
    assert regions.region_of("1.0.1.7") == ""
    mmdb.write(database, NETWORKS)
    monkeypatch.setattr(regions.time, "monotonic", lambda: now() + 120)
    assert regions.region_of("1.0.1.7") == "广东"


def test_no_damage_to_the_file_breaks_a_request(database):
    whole = database.read_bytes()
    # Cut off at every length, and every byte of the data and metadata turned over: an answer, never an exception.
    start = whole.index(b"country") - 4
    damaged = [whole[:length] for length in range(0, len(whole), 97)]
    damaged += [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(start, len(whole), 5)]
    answers = set()
    for number, content in enumerate(damaged):
        database.write_bytes(content)
        os.utime(database, ns=(number, number))
        regions.forget()
        for address in ("1.0.1.7", "2400:da00::1"):
            answers.add(regions.region_of(address))
    assert all(isinstance(answer, str) and len(answer) <= 40 for answer in answers) and "" in answers


def test_many_threads_ask_while_the_file_changes(database):
    answers: list[str] = []

    def ask():
        for _ in range(60):
            answers.append(regions.region_of("1.0.1.7"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        fresh = database.with_suffix(".new")
        mmdb.write(fresh, NETWORKS)
        os.replace(fresh, database)
        regions.forget()
    for thread in threads:
        thread.join(30)
    assert set(answers) == {"广东"} and len(answers) == 240
