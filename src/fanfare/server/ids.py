"""Names that nobody can guess."""

from __future__ import annotations

import re
import secrets
import string

ALPHABET = string.ascii_lowercase + string.digits
LENGTH = 26
"""134 bits."""


def new_id() -> str:
    """26 characters of a to z and 0 to 9: fit for URLs, file names and headers as they are."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def is_id(text: str) -> bool:
    """Whether it has the shape of one."""
    return re.fullmatch(f"[a-z0-9]{{{LENGTH}}}", text) is not None
