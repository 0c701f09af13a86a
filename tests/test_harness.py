"""What the tests' own ground promises."""

from __future__ import annotations

import socket

import psycopg
import pytest

from archive.config import Config
from archive.storage import Store


@pytest.mark.parametrize("round_", [1, 2])
def test_every_test_finds_an_empty_bucket_and_database(
    store: Store, config: Config, round_: int
) -> None:
    assert list(store.list("")) == []
    store.put_bytes("a/b", b"left behind")
    with psycopg.connect(config.owner_url) as connection:
        connection.execute("create table left_behind ()")


def test_no_test_reaches_another_machine() -> None:
    with pytest.raises(RuntimeError, match="wanted to reach"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(RuntimeError, match="wanted to reach"):
        socket.getaddrinfo("example.org", 443)
