"""A changed retention rule and what is stored: previewed, then applied.

Rules apply to arrivals at once. What is stored keeps the period it came under until `apply`
moves it: a further envelope in its new day, so that a rebuild and a restore keep to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from archive import audit, catalogue, corrections, retention
from archive.config import PREFIX, Config
from archive.db import reading, transaction
from archive.errors import BadSetting, KeyDestroyed, KeyMissing, NotFound
from archive.model import Actor
from archive.retention import Rules
from archive.vault import Vault

_PAGE = 2000


@dataclass(slots=True)
class Share:
    """What one rule changes: recordings that end earlier or later, and from when.

    `over` of the `shorter` are over at once and go next night; `held` of those are held and stay
    until their holds end. `first` is the earliest new day of the others.
    """

    rule: str  # "line:viat", "kind:call", or "" for the year
    days: int | None
    shorter: int = 0
    longer: int = 0
    over: int = 0
    held: int = 0
    first: date | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What applying the rules would change, rule by rule; nothing where all is as they say."""

    rules: tuple[Share, ...]
    recordings: int  # looked at

    @property
    def changes(self) -> int:
        """How many recordings would end on another day."""
        return sum(share.shorter + share.longer for share in self.rules)

    def as_json(self) -> dict[str, Any]:
        """In plain types."""
        shares = [
            asdict(share) | {"first": share.first.isoformat() if share.first else None}
            for share in self.rules
        ]
        return {"recordings": self.recordings, "changes": self.changes, "rules": shares}


@dataclass(slots=True)
class Applied:
    """What was moved, in numbers of recordings. `over` are ids of those over at once, `left` of
    those that could not be moved."""

    shorter: int = 0
    longer: int = 0
    over: list[UUID] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Due:
    id: UUID
    rule: str
    days: int | None
    old: datetime
    new: datetime
    held: bool


def rules_of(config: Config) -> Rules:
    """The rules of the settings. BadSetting."""
    try:
        return retention.rules(config.retention)
    except ValueError as error:
        raise BadSetting(name=PREFIX + "RETENTION", reason=str(error)) from None


def preview(engine: Engine, rules: Rules, *, now: datetime) -> Preview:
    """What `apply` would change now. Changes nothing."""
    shares = {name: Share(name, days) for name, days in _named(rules)}
    looked = 0
    for due in _stored(engine, rules, now=now):
        looked += 1
        share = shares[due.rule]
        if due.new == due.old:
            continue
        if due.new > due.old:
            share.longer += 1
        else:
            share.shorter += 1
            share.over += due.new <= now
            share.held += due.new <= now and due.held
        if due.new > now:
            day = retention.cohort_of(due.new)
            share.first = min(share.first or day, day)
    return Preview(tuple(shares.values()), looked)


def _named(rules: Rules) -> Iterator[tuple[str, int | None]]:
    yield from ((f"line:{name}", days) for name, days in sorted(rules.lines.items()))
    yield from ((f"kind:{name}", days) for name, days in sorted(rules.kinds.items()))
    yield "", None


def apply(
    vault: Vault,
    engine: Engine,
    actor: Actor,
    rules: Rules,
    *,
    now: Callable[[], datetime],
    progress: Callable[[int], None],
) -> Applied:
    """Moves every recording that the rules end on another day than it was to end.

    Resumable: what was moved is where it belongs, so a run that broke off is run again.
    """
    done = Applied()
    for due in _stored(engine, rules, now=now()):
        if due.new == due.old:
            continue
        with reading(engine) as connection:
            recording = catalogue.get(connection, due.id)
        if recording is None:
            continue
        try:
            corrections.keep_for(vault, engine, recording, due.days, now=now())
        except NotFound:
            continue  # erased, or corrected by somebody meanwhile: the next run meets it again
        except (KeyDestroyed, KeyMissing):
            done.left.append(str(due.id))
            continue
        done.shorter += due.new < due.old
        done.over += [due.id] if due.new <= now() else []
        done.longer += due.new > due.old
        progress(done.shorter + done.longer)
    with transaction(engine) as connection:
        counts = {"shorter": done.shorter, "longer": done.longer, "left": len(done.left)}
        audit.append(connection, at=now(), actor=actor, verb="retention-applied", detail=counts)
    return done


def _stored(engine: Engine, rules: Rules, *, now: datetime) -> Iterator[_Due]:
    """Every recording whose time is not over, with the end it has and the end it should have."""
    after: UUID | None = None
    while True:
        with reading(engine) as connection:
            rows = connection.execute(
                text("""select id, kind, line, occurred_at, received_at, expires_at,
                        exists (select from hold where recording_id = recording.id) as held
                    from recording
                    where expires_at > :now and erasing_at is null
                      and (cast(:after as uuid) is null or id > :after)
                    order by id limit :limit"""),
                {"now": now, "after": after, "limit": _PAGE},
            ).all()
        for row in rows:
            days = rules.days(kind=row.kind, line=row.line)
            new = retention.kept_until(row.occurred_at, row.received_at, days)
            yield _Due(
                row.id, _rule(rules, row.kind, row.line), days, row.expires_at, new, row.held
            )
        if len(rows) < _PAGE:
            return
        after = rows[-1].id


def _rule(rules: Rules, kind: str, line: str) -> str:
    if line in rules.lines:
        return f"line:{line}"
    return f"kind:{kind}" if kind in rules.kinds else ""
