"""A security key made of software, for tests: signs what a browser's key would sign."""

from __future__ import annotations

import base64
import json
import os
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

HERE = "http://localhost"


def text(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class SoftKey:
    """One credential. `count` is its signature counter."""

    def __init__(self, *, host: str = "localhost"):
        self.host = host
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.id = os.urandom(32)
        self.count = 0

    def make(self, options: dict[str, Any], *, origin: str = HERE) -> str:
        """The browser's answer to creation options."""
        public = ES256.from_cryptography_key(self.private.public_key())
        data = AuthenticatorData.create(
            sha256(self.host.encode()).digest(),
            AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.AT,
            self.count,
            AttestedCredentialData.create(Aaguid(bytes(16)), self.id, public),
        )
        attested = AttestationObject.create("none", data, {})
        client = CollectedClientData.create("webauthn.create", options["publicKey"]["challenge"], origin)
        return self._answer(client, {"attestationObject": text(bytes(attested))})

    def use(self, options: dict[str, Any], *, origin: str = HERE, count: int | None = None) -> str:
        """The browser's answer to request options."""
        self.count = self.count + 1 if count is None else count
        data = AuthenticatorData.create(sha256(self.host.encode()).digest(), AuthenticatorData.FLAG.UP, self.count)
        client = CollectedClientData.create("webauthn.get", options["publicKey"]["challenge"], origin)
        signature = self.private.sign(bytes(data) + client.hash, ec.ECDSA(hashes.SHA256()))
        return self._answer(client, {"authenticatorData": text(bytes(data)), "signature": text(signature)})

    def _answer(self, client: CollectedClientData, response: dict[str, str]) -> str:
        return json.dumps(
            {
                "id": text(self.id),
                "rawId": text(self.id),
                "type": "public-key",
                "clientExtensionResults": {},
                "response": {"clientDataJSON": text(bytes(client)), **response},
            }
        )
