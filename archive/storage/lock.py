"""Object lock: which objects a store is asked to keep, how, and until when.

Knows prefixes of keys and S3's words for it; nothing of requests, credentials or recordings.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

GOVERNANCE = "GOVERNANCE"  # the eraser's credential may delete before the time
COMPLIANCE = "COMPLIANCE"  # nobody may
SEALED = ("recordings/",)
WRITE_ONCE = ("certificates/", "journal/", "audit/")
WRITE_ONCE_DAYS = 3653


@dataclass(frozen=True, slots=True)
class Rule:
    """How an object is locked, and the instant (UTC) until which."""

    mode: str
    until: datetime


def rule_for(key: str, *, days: int, now: datetime) -> Rule | None:
    """The lock of a new object; None where it gets none. `days` 0: nothing is locked."""
    if not days:
        return None
    if key.startswith(WRITE_ONCE):
        return Rule(COMPLIANCE, now + timedelta(days=WRITE_ONCE_DAYS))
    if key.startswith(SEALED):
        return Rule(GOVERNANCE, now + timedelta(days=days))
    return None


def headers(rule: Rule | None, body: bytes) -> dict[str, str]:
    """What a PUT of `body` says of its lock; with it S3 wants the body's MD5."""
    if rule is None:
        return {}
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return {
        "Content-MD5": base64.b64encode(digest).decode(),
        "x-amz-object-lock-mode": rule.mode,
        "x-amz-object-lock-retain-until-date": f"{rule.until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
