"""Signed requests: what is signed is what arrives, in time, once; whatever the view reads afterwards is whole."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from accounts import counters, keys, signatures
from accounts.models import ApiKey
from core import crypto
from core.errors import Conflict
from core.models import AuditEvent, Evidence
from moderation.models import Content
from tests.conftest import Api

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"


@pytest.fixture
def signing(world):
    """A key with every scope that demands signatures: (key, secret)."""
    key = ApiKey.objects.get(prefix=world.key.split("_")[1])
    secret = keys.demand_signatures(key_id=key.pk, by=world.fang)[1]
    keys.forget()
    return secret


def send(world, secret, method, path, body=b"", *, query="", at=None, signature=None, content_type="application/json"):
    """A signed call; `signature` replaces the right one."""
    full = f"/api/v1/{path}"
    if signature is None:
        signature = signatures.sign(secret, int(at or time.time()), method.upper(), full, query, body)
    given = {"CONTENT_LENGTH": str(len(body))} | ({"HTTP_X_SIGNATURE": signature} if signature else {})
    return Client(HTTP_AUTHORIZATION=f"Bearer {world.key}").generic(
        method.upper(), full + (f"?{query}" if query else ""), body, content_type=content_type, **given
    )


def test_a_signed_call_is_answered_and_its_body_arrives_whole(world, signing):
    assert send(world, signing, "get", "users/wen").status_code == 200
    body = json.dumps({"external_id": "ni", "kind": "person", "display_name": "倪"}, ensure_ascii=False).encode()
    assert send(world, signing, "post", "users", body).status_code == 201
    answer = send(world, signing, "post", "submissions", json.dumps(world.body("一" * 5000)).encode())
    assert answer.status_code == 202
    assert "一" * 5000 in str(vars(Content.objects.get(submission=answer.json()["id"])))


def test_the_query_and_awkward_paths_are_signed_too(world, signing):
    assert send(world, signing, "get", "submissions", query="state=released&x=%E4%B8%80").status_code == 200
    assert (
        Client(HTTP_AUTHORIZATION=f"Bearer {world.key}")
        .get(
            "/api/v1/users/%E7%94%B2%3Fa%3Ab",
            HTTP_X_SIGNATURE=signatures.sign(signing, int(time.time()), "GET", "/api/v1/users/甲?a:b", "", b""),
        )
        .status_code
        == 404
    )  # taken; there is no such user


def test_a_signed_upload_with_files_arrives_whole(world, signing):
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20_000  # past what is held in memory
    meta = json.dumps({**world.body(), "technology": "biometric_image_video", "function": "portrait",
                       "consent_prompt_acknowledged": True, "output": {}})  # fmt: skip
    body = encode_multipart(
        BOUNDARY, {"meta": meta, "output_file": SimpleUploadedFile("o.png", picture, content_type="image/png")}
    )
    answer = send(world, signing, "post", "submissions", body, content_type=MULTIPART_CONTENT)
    assert answer.status_code == 202, answer.content
    assert Evidence.objects.get().size == len(picture)


def test_a_batch_arrives_whole(world, signing):
    body = b"\n".join(json.dumps(world.body(f"第{n}篇")).encode() for n in range(20))
    answer = send(world, signing, "post", "submissions/batch", body, content_type="application/x-ndjson")
    assert answer.status_code == 200 and len(answer.content.splitlines()) == 20


def test_unsigned_is_refused(world, signing):
    answer = send(world, signing, "get", "users/wen", signature="")
    assert (answer.status_code, answer.json()["code"]) == (401, "signature_required")
    assert answer["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s[:-1] + ("0" if s[-1] != "0" else "1"),
        lambda s: s.upper(),
        lambda s: s.replace("v1=", "v0="),
        lambda s: s + ",v1=" + "0" * 64,
        lambda s: s.replace("t=", "t=-"),
        lambda s: "nonsense",
        lambda s: f"t={int(time.time())},v1=" + "0" * 64,
        lambda s: "t=" + "9" * 12 + s[12:],
    ],
)
def test_a_wrong_signature_is_refused(world, signing, spoil):
    right = signatures.sign(signing, int(time.time()), "GET", "/api/v1/users/wen", "", b"")
    answer = send(world, signing, "get", "users/wen", signature=spoil(right))
    assert (answer.status_code, answer.json()["code"]) == (401, "signature_invalid")


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [("get", "users/liu", "", b""), ("post", "users/wen", "", b""), ("get", "users/wen", "a=1", b""),
     ("get", "users/wen", "", b"x")],
)  # fmt: skip
def test_a_signature_is_good_for_the_request_it_was_made_for(world, signing, method, path, query, body):
    other = signatures.sign(signing, int(time.time()), "GET", "/api/v1/users/wen", "", b"")
    assert send(world, signing, method, path, body, query=query, signature=other).status_code == 401


@pytest.mark.parametrize(("age", "status"), [(0, 200), (290, 200), (-290, 200), (310, 401), (-310, 401)])
def test_a_signature_holds_five_minutes(world, signing, age, status):
    assert send(world, signing, "get", "users/wen", at=time.time() - age).status_code == status


def test_a_signature_is_taken_once_by_all_processes_together(world, signing):
    signature = signatures.sign(signing, int(time.time()), "GET", "/api/v1/users/wen", "", b"")
    assert send(world, signing, "get", "users/wen", signature=signature).status_code == 200
    assert send(world, signing, "get", "users/wen", signature=signature).status_code == 401
    signatures.forget()  # another process
    assert send(world, signing, "get", "users/wen", signature=signature).status_code == 401


def test_without_the_cache_a_process_remembers_itself(world, signing, monkeypatch):
    def away(question):
        raise counters.Away

    monkeypatch.setattr(counters, "ask", away)
    signature = signatures.sign(signing, int(time.time()), "GET", "/api/v1/users/wen", "", b"")
    assert send(world, signing, "get", "users/wen", signature=signature).status_code == 200
    assert send(world, signing, "get", "users/wen", signature=signature).status_code == 401


def test_a_wrong_signature_uses_up_nothing(world, signing):
    right = signatures.sign(signing, int(time.time()), "GET", "/api/v1/users/wen", "", b"")
    assert send(world, signing, "get", "users/liu", signature=right).status_code == 401
    assert send(world, signing, "get", "users/wen", signature=right).status_code == 200


def test_the_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(signatures, "SEEN_HERE", 10)
    for number in range(30):
        assert signatures._first_time(f"{number:064x}-{time.monotonic()}")
    assert len(signatures._seen) == 10
    signatures.forget()


def test_refusals_of_signed_calls_keep_their_order(world, signing, monkeypatch):
    # 401 before 415, 400 and 403; only 413 may come first, as the body must be read for the signature.
    assert send(world, signing, "post", "users", b"{", signature="").status_code == 401
    assert send(world, signing, "post", "users", b"{").status_code == 400
    assert send(world, signing, "post", "users", b"{}", content_type="text/plain").status_code == 415
    monkeypatch.setattr(signatures, "LARGEST", 1000)
    assert send(world, signing, "post", "users", b"x" * 1001).status_code == 413
    assert send(world, signing, "post", "users", b"x" * 1001, signature="").status_code == 401


def test_a_key_that_does_not_demand_it_is_not_asked(world):
    assert Api(world.key).get("users/wen").status_code == 200


def test_the_secret_is_shown_once_sealed_and_bound_to_its_key(world, signing):
    key = ApiKey.objects.get(prefix=world.key.split("_")[1])
    assert signing.encode() not in bytes(key.signing_sealed)
    with pytest.raises(Conflict) as refused:
        keys.demand_signatures(key_id=key.pk, by=world.fang)
    assert refused.value.code == "already_signed"
    other, other_secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    ApiKey.objects.filter(pk=other.pk).update(signing_sealed=key.signing_sealed)
    with pytest.raises(crypto.Unreadable):
        signatures.opened(other.pk, bytes(key.signing_sealed))
    # A secret that doesn't open lets nobody in, signed or not.
    full = "/api/v1/users/wen"
    for secret in (signing, ""):
        sent = signatures.sign(secret, int(time.time()), "GET", full, "", b"")
        answer = Client(HTTP_AUTHORIZATION=f"Bearer {other_secret}").get(full, HTTP_X_SIGNATURE=sent)
        assert answer.status_code == 401
    assert not any(signing in str(event.data) for event in AuditEvent.objects.all())


def test_a_successor_signs_with_a_secret_of_its_own(world, signing):
    key = ApiKey.objects.get(prefix=world.key.split("_")[1])
    rotated = keys.rotate_key(key_id=key.pk, by=world.fang)
    assert rotated.signing and rotated.signing != signing
    full = "/api/v1/users/wen"
    client = Client(HTTP_AUTHORIZATION=f"Bearer {rotated.secret}")
    for secret, status in ((rotated.signing, 200), (signing, 401)):
        sent = signatures.sign(secret, int(time.time()), "GET", full, "", b"")
        assert client.get(full, HTTP_X_SIGNATURE=sent).status_code == status


def test_the_example_in_the_documents_signs_as_we_do(world, signing):
    section = DOCS.read_text(encoding="utf-8").split("### Signed requests", 1)[1]
    example: dict = {}
    exec(re.search(r"```python\n(.*?)```", section, re.S)[1], example)
    for method, path, query, body in (
        ("GET", "/api/v1/users/wen", "", b""),
        ("GET", "/api/v1/users/甲 :?", "", b""),
        ("POST", "/api/v1/users", "a=%20b", "正文".encode()),
    ):
        at = int(time.time())
        given = example["signed"](signing, method, path, query, body)
        assert given in {signatures.sign(signing, at + late, method, path, query, body) for late in (0, 1)}
    answer = Client(HTTP_AUTHORIZATION=f"Bearer {world.key}").get(
        "/api/v1/users/liu", HTTP_X_SIGNATURE=example["signed"](signing, "GET", "/api/v1/users/liu")
    )
    assert answer.status_code == 200
