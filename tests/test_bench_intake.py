"""The benchmark of mail measures what it says, on a few messages."""

from __future__ import annotations

import pytest

from archive.bench import ON_REQUEST, intake


@pytest.mark.timeout(300)
def test_the_receiver_s_memory_is_looked_at_while_it_receives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("archive.bench._until_idle", lambda port: None)
    found = intake.mail_memory(1, messages=60)
    assert found.id in ON_REQUEST and found.better == "lower"
    assert found.detail["before_mib"] > 10 and found.detail["per_s"] > 0
    assert found.value < 64
    assert found.detail["by_quarter_mib"][-1] == found.detail["after_mib"]
    assert len(found.detail["by_quarter_mib"]) == 4
