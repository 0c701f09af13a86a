"""What the audit of dependencies says: found ones fail, and silence is no clean bill."""

from __future__ import annotations

from tests.dependencies import told


def test_a_known_vulnerability_is_named_and_an_audit_of_nothing_is_said_to_be_one() -> None:
    clean = {"name": "flask", "version": "3.1.2", "vulns": []}
    bad = {"name": "minio", "version": "7.0.0", "vulns": [{"id": "PYSEC-1"}]}
    away = {"name": "whoosh3", "skip_reason": "not found"}
    assert told([clean, bad, away]) == (
        ["minio 7.0.0: PYSEC-1", "2 of 3 packages audited, 1 with vulnerabilities"],
        1,
    )
    assert told([clean])[1] == 0
    assert told([away, away]) == (
        ["no package was audited: PyPI's advisories cannot be reached from here"],
        0,
    )
