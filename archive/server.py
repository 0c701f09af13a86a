"""The web service as a process: gunicorn over the application.

Knows sockets and workers; nothing of recordings. Logs carry the route, never the address that
was asked for.
"""

from __future__ import annotations

import ctypes
import logging

from flask import Flask
from gunicorn.app.base import BaseApplication

from archive.app import create_app
from archive.assembly import assemble
from archive.config import Config

MMAP_THRESHOLD, TRIM_THRESHOLD, ARENA_MAX = -3, -1, -8  # parameters of mallopt(3)
KEPT_BYTES = 64 * 1024 * 1024


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with the archive's settings; the application is made in each worker process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__()

    def load_config(self) -> None:
        """No file and no environment of gunicorn's own: the archive's settings alone."""
        options = {
            "bind": f"{self._config.listen}:{self._config.port}",
            "workers": self._config.web_workers,
            "threads": self._config.web_threads,
            "worker_class": "gthread",
            "keepalive": 30,
            "timeout": 120,
            "graceful_timeout": 20,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "warning",
            "proc_name": "contact-archive",
            "limit_request_line": 4094,
            "limit_request_fields": 64,
            "preload_app": False,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application, in the worker process."""
        keep_freed_memory()
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
        assembly = assemble(self._config, pool_size=self._config.web_threads)
        return create_app(assembly.archive, assembly.people)


def keep_freed_memory() -> None:
    """Has glibc keep freed buffers for the next request instead of handing them back.

    A megabyte that comes back from the kernel costs 256 page faults, several times what is then
    done with it (measured: a copy 1.15 against 0.06 ms). Without glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(ARENA_MAX, 2)  # else every thread keeps memory of its own
        mallopt(MMAP_THRESHOLD, KEPT_BYTES // 4)
        mallopt(TRIM_THRESHOLD, KEPT_BYTES)


def serve(config: Config) -> None:
    """Serves until stopped."""
    Server(config).run()
