"""A small OpenID provider on a real local socket: discovery, keys, authorization with PKCE, tokens signed RS256."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "mingjian", "s3cret-of-the-client"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Provider:
    """What it says about whoever signs in is set by the tests: `person` are claims, `sign` makes the token."""

    def __init__(self) -> None:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider._get(self)

            def do_POST(self) -> None:
                provider._post(self)

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        self.person: dict[str, Any] = {
            "sub": "248289",
            "preferred_username": "shen",
            "name": "沈一",
            "groups": ["desk"],
        }
        self.description: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.asked: list[dict[str, str]] = []
        self.tokens: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def close(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def signed(self, claims: dict[str, Any], *, key: Any = KEY, kid: str = "one") -> str:
        """A token as it should be."""
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid})

    def claims(self, nonce: str, **changes: Any) -> dict[str, Any]:
        """The claims of a fresh token; a change to None takes a claim away."""
        now = int(time.time())
        whole = {
            "iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "auth_time": now, "nonce": nonce,
            **self.person, **changes,
        }  # fmt: skip
        return {name: value for name, value in whole.items() if value is not None}

    def visit(self, address: str) -> str:
        """What a browser does at the provider: signs in and is sent back; answers the address it is sent to."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}" == self.issuer and parts.path == "/authorize"
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert asked["response_type"] == "code" and asked["client_id"] == CLIENT
        assert "openid" in asked["scope"].split()
        self.asked.append(asked)
        code = secrets.token_urlsafe(8)
        self._codes[code] = asked
        return asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"]})

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        if request.path == "/.well-known/openid-configuration":
            found = {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            }
            _answer(request, 200, {**found, **self.description})
        elif request.path == "/keys":
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
            _answer(request, 200, {"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]})
        else:
            _answer(request, 404, {})

    def _post(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"])).decode()
        given = {name: values[0] for name, values in parse_qs(body).items()}
        asked = self._codes.pop(given.get("code", ""), None)  # a code is good once
        proof = base64.urlsafe_b64encode(hashlib.sha256(given.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        if (
            asked is None
            or given["client_id"] != CLIENT
            or given["client_secret"] != SECRET
            or given["redirect_uri"] != asked["redirect_uri"]
            or asked.get("code_challenge_method") != "S256"
            or proof.decode() != asked["code_challenge"]
        ):
            return _answer(request, 400, {"error": "invalid_grant"})
        self.tokens.append(self.sign(self.claims(asked.get("nonce", ""))))
        _answer(request, 200, {"access_token": "at", "token_type": "Bearer", "id_token": self.tokens[-1]})


def _answer(request: BaseHTTPRequestHandler, status: int, document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
