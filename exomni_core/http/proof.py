# SPDX-License-Identifier: GPL-3.0-or-later
"""A token and two random numbers in, proofs out that both sides know the token; it never travels.

The client sends its number, the engine process answers with its own and its proof, and only then
does the client send anything else, each request with a proof that is good for that one alone.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from dataclasses import dataclass
from typing import Final

from exomni_core.errors import InputError

CHALLENGE: Final = "/challenge"
SCHEME: Final = "Exomni-Proof"
_NONCE: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Challenge:
    """The random numbers of a connection: the client's and the engine process's, 64 hex digits."""

    client: str
    server: str

    def server_proof(self, token: str) -> str:
        """What only an engine process with this token can answer."""
        return self._prove(token, "server")

    def client_proof(self, token: str, method: str, path: str) -> str:
        """What only a client with this token can send with this request."""
        return self._prove(token, "client", method, path)

    def _prove(self, token: str, *parts: str) -> str:
        text = "\n".join(("exomni", self.client, self.server, *parts))
        return hmac.new(token.encode(), text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def new_nonce() -> str:
    """A random number that was never used."""
    return secrets.token_hex(32)


def is_nonce(value: object) -> bool:
    """Whether this has the form of `new_nonce`."""
    return isinstance(value, str) and _NONCE.fullmatch(value) is not None


def fingerprint_of(certificate: bytes) -> str:
    """SHA-256 of a certificate's DER bytes, as 64 hex digits."""
    return hashlib.sha256(certificate).hexdigest()


def parsed_fingerprint(text: str) -> str:
    """A fingerprint as people write it (AB:CD:…) -> 64 hex digits, '' for ''; else InputError."""
    plain = re.sub(r"[:\s]", "", text).lower()
    if plain and not _NONCE.fullmatch(plain):
        raise InputError(
            "the fingerprint is not 64 hex digits; copy the SHA-256 that exorender serve prints",
            field="fingerprint",
        )
    return plain


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
