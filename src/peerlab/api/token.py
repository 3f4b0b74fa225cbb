"""Bearer tokens of the lab's own issuer: JSON Web Tokens signed with a secret of the lab (RFC 7519, HS256)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from enum import StrEnum
from pathlib import Path

import msgspec

from peerlab.api.certificate import write_private
from peerlab.errors import RuntimeFailure

AUDIENCE = "https://management.azure.com"
ISSUER = "https://peerlab.invalid/issuer"
LIFETIME = 12 * 3600
"""Seconds for which a token is good unless another time is asked for."""

SECRET = "issuer.key"


class Scope(StrEnum):
    """What a token is good for: the ARM paths, or Microsoft's side of the desk."""

    ARM = "user_impersonation"
    OPERATOR = "operator"


class Claims(msgspec.Struct, frozen=True):
    """What a token says. ``exp`` and ``iat`` are seconds since the epoch."""

    iss: str
    aud: str
    scp: str
    iat: int
    exp: int
    lab: str


class InvalidToken(Exception):
    """A bearer token is not good; the text says why."""


class Issuer:
    """Signs and checks tokens of one lab. The secret stands in ``directory`` and is made when there is none."""

    def __init__(self, directory: Path, lab: str) -> None:
        """Raises RuntimeFailure when the secret cannot be read or kept."""
        path = directory / SECRET
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            if not path.is_file():
                write_private(path, secrets.token_bytes(32))
            self._secret = path.read_bytes()
        except OSError as failure:
            raise RuntimeFailure(f"{path}: the issuer's secret cannot be read: {failure.strerror}") from failure
        self._lab = lab

    def issue(self, scope: Scope, now: int, lifetime: int = LIFETIME) -> str:
        """A token, good from ``now`` (seconds since the epoch) for ``lifetime`` seconds."""
        claims = Claims(iss=ISSUER, aud=AUDIENCE, scp=scope, iat=now, exp=now + lifetime, lab=self._lab)
        head = _encode(b'{"alg":"HS256","typ":"JWT"}')
        body = _encode(msgspec.json.encode(claims))
        return f"{head}.{body}.{_encode(self._sign(f'{head}.{body}'))}"

    def check(self, token: str, scope: Scope, now: int) -> Claims:
        """The claims of a good token. Raises InvalidToken."""
        signed, _, signature = token.rpartition(".")
        try:
            given = _decode(signature)
            claims = msgspec.json.decode(_decode(signed.partition(".")[2]), type=Claims)
        except (ValueError, binascii.Error, msgspec.MsgspecError) as wrong:
            raise InvalidToken("the token is malformed") from wrong
        if not hmac.compare_digest(given, self._sign(signed)):
            raise InvalidToken("the token was not issued by this lab")
        if claims.exp <= now:
            raise InvalidToken("the token has expired")
        if claims.lab != self._lab or claims.aud != AUDIENCE:
            raise InvalidToken("the token is for another lab")
        if claims.scp != scope:
            raise InvalidToken(f"the token's scope is {claims.scp}, not {scope}")
        return claims

    def _sign(self, text: str) -> bytes:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).digest()


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
