"""Who asks: bearer tokens → owners, by whom predictions and files are kept apart."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

ANYONE = ""
"""The one owner of a server without tokens."""


def owner_of(token: str) -> str:
    """The owner that a token stands for: it can be stored and logged, the token can't."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()[:32]


class Tokens:
    """The tokens of a server."""

    def __init__(self, tokens: Iterable[str]) -> None:
        # Digests are compared, all of them every time: neither how much of a token is right nor
        # which token it was shows in the time that it takes.
        self._digests = [_digest(token) for token in tokens]

    @property
    def are_needed(self) -> bool:
        """Whether the server has any token."""
        return bool(self._digests)

    def owner(self, authorization: str | None) -> str | None:
        """The owner that an Authorization header proves; None: no token, or an unknown one."""
        if not self._digests:
            return ANYONE
        kind, _, token = (authorization or "").strip().partition(" ")
        if kind.lower() not in {"bearer", "token"} or not token.strip():
            return None
        came = _digest(token.strip())
        is_known = False
        for digest in self._digests:
            is_known |= hmac.compare_digest(came, digest)
        return owner_of(token.strip()) if is_known else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
