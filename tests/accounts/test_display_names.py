"""Names that would pass for an authority, the media or the platform (GEN-10)."""

from __future__ import annotations

import os

import pytest

from accounts import display_names, users


@pytest.fixture(autouse=True)
def fresh():
    display_names.forget()
    yield
    display_names.forget()


@pytest.mark.parametrize(
    "name",
    [
        "某市公安",
        "公 安 局",
        "公·安",
        "公\u200b安",
        "新华社记者",
        "图言官方",
        "ＯＦＦＩＣＩＡＬ",
        "O f f i c i a l",
        "Admin_01",
        "客服小王",
        "图言",
        " 图 言 ",
        "tuyan studio",
        "图言智作",
    ],
)
def test_a_person_may_not_be_called_so(world, api, name):
    answer = api.post("users", {"external_id": "new", "kind": "person", "display_name": name})
    assert (answer.status_code, answer.json()["code"]) == (422, "display_name_reserved")
    assert answer.json()["errors"][0]["field"] == "display_name"
    assert not world.service.users.filter(external_id="new").exists()
    changed = api.client.patch("/api/v1/users/wen", {"display_name": name}, content_type="application/json")
    assert (changed.status_code, changed.json()["code"]) == (422, "display_name_reserved")
    world.wen.refresh_from_db()
    assert world.wen.display_name == "闻歌"


@pytest.mark.parametrize(
    "name", ["闻歌", "公安县人", "爱画图言的人", "Badminton Club", "an unofficial fan", "😀", "公园安静", "___"]
)
def test_other_names_are_nobodys_business(world, api, name):
    assert api.post("users", {"external_id": "new", "kind": "person", "display_name": name}).status_code == 201


def test_an_organisation_may_and_whoever_verifies_it_is_told(world, api):
    answer = api.post("users", {"external_id": "org", "kind": "organization", "display_name": "某市公安局"})
    assert answer.status_code == 201
    user = users.find(service=world.service, external_id="org")
    assert display_names.finding(user) == "公安"
    assert display_names.finding(world.wen) == ""


def test_the_list_is_the_operators_and_a_change_is_picked_up(world, settings, tmp_path, monkeypatch):
    path = tmp_path / "names.txt"
    path.write_text("# ours\n某某商会\n-某某商会之友\n\n", encoding="utf-8")
    settings.RESERVED_NAMES = str(path)
    display_names.forget()
    assert display_names.reserved_word("某某商会会长", world.service) == "某某商会"
    assert display_names.reserved_word("某某商会之友", world.service) == ""
    assert display_names.reserved_word("某市公安", world.service) == ""
    path.write_text("公安\n", encoding="utf-8")
    os.utime(path, ns=(1, 1))
    now = display_names.time.monotonic
    monkeypatch.setattr(display_names.time, "monotonic", lambda: now() + 59)
    assert display_names.reserved_word("某市公安", world.service) == "公安"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff"])
def test_a_list_that_cannot_be_read_leaves_the_shipped_one_in_force(world, settings, tmp_path, content):
    path = tmp_path / "names.txt"
    if content is not None:
        path.write_bytes(content)
    settings.RESERVED_NAMES = str(path)
    display_names.forget()
    assert display_names.reserved_word("某市公安", world.service) == "公安"


def test_an_empty_entry_reserves_nothing(world):
    assert display_names.read("\n  \n-\n···\n") == display_names.Reserved((), ())
