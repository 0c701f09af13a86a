"""A sender or reader with a token, over Flask's test client and the real parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from flask.testing import FlaskClient

from archive import audit, catalogue, worker
from archive.archive import Archive
from archive.db import transaction
from archive.errors import StoreUnavailable
from archive.storage import Store


@dataclass
class Machine:
    """One token's view of the service."""

    archive: Archive
    client: FlaskClient
    headers: dict[str, str]

    def get(self, path: str, headers: dict[str, str] | None = None) -> Any:
        return self.client.get(path, headers=self.headers | (headers or {}))

    def post(self, path: str, body: Any) -> Any:
        return self.client.post(path, json=body, headers=self.headers)

    def patch(self, path: str, body: Any) -> Any:
        return self.client.patch(path, json=body, headers=self.headers)

    def content(self, id: str) -> Any:
        return self.get(f"/api/v1/recordings/{id}/content", {"X-Archive-Purpose": "verification"})

    def work(self) -> None:
        """Everything that waits is described and indexed."""
        worker.until_idle(self.archive, most_s=60)

    def refusals(self) -> dict[str, int]:
        """Reasons and counts of what was refused."""
        with transaction(self.archive.engine) as connection:
            found = catalogue.refusals(connection, since=self.archive.now().date().replace(day=1))
        return {row["reason"]: row["n"] for row in found}

    def audit(self, id: str) -> list[dict[str, Any]]:
        """Audit entries of a recording, oldest first."""
        with transaction(self.archive.engine) as connection:
            found = audit.entries(connection, audit.Asked(recording_id=UUID(id)), limit=1000)
        return [asdict(entry) for entry in reversed(found)]

    def limit(self, **changes: Any) -> None:
        """Changes settings of the running archive."""
        self.archive.config = replace(self.archive.config, **changes)

    @contextmanager
    def store_away(self) -> Iterator[None]:
        """The service's store answers nothing, as behind a cut cable."""
        kept = self.archive.store
        self.archive.store = self.archive.vault.store = _Away()  # type: ignore[assignment]
        try:
            yield
        finally:
            self.archive.store = self.archive.vault.store = kept


class _Away:
    """Stands for a store that does not answer: every call ends as the real one's would."""

    def __getattr__(self, name: str) -> Any:
        assert hasattr(Store, name)

        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise StoreUnavailable()

        return refuse
