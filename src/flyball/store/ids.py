"""Identifiers: random where nothing repeats, derived where a retry must give the same one."""

from __future__ import annotations

import hashlib
import os
import time


def new_id() -> str:
    """32 hex digits that sort by the millisecond they were made in (48-bit time, 80 random bits; compare RFC 9562, UUIDv7)."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def derived_id(*parts: str) -> str:
    """32 hex digits determined by `parts`: the same call always gives the same id."""
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()
