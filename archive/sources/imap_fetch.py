"""`archive fetch-mail`: every folder of every account, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from archive.archive import Archive
from archive.sources.imap_accounts import Account
from archive.sources.imap_folder import FolderReader


class MailFetcher:
    """Keeps folders read until `stop`."""

    def __init__(self, archive: Archive, accounts: Iterable[Account]) -> None:
        self._readers = [
            FolderReader(archive, account, folder)
            for account in accounts
            for folder in account.folders
        ]
        self._stop = threading.Event()

    def run(self) -> None:
        """Until `stop`; what is being read is finished."""
        threads = [
            threading.Thread(target=reader.run, args=(self._stop,)) for reader in self._readers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def once(self) -> int:
        """Reads what is there now, folder after folder; how many messages were new."""
        return sum(reader.once() for reader in self._readers)

    def stop(self) -> None:
        """Asks every reader to end after its message."""
        self._stop.set()
