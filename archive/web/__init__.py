"""The pages: thin callers of the archive's verbs, in Finnish and English.

Imports its parts only when an application asks for them, so that the set-up commands in this
package (`assets`, `check`) run before and without the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask, Response

    from archive.errors import ArchiveError


def install(app: Flask) -> None:
    """Puts the gate, the pages, their templates and languages into the application."""
    from archive.web import pages

    pages.install(app)


def error_page(error: ArchiveError) -> Response:
    """What a person sees of an error: what happened, and what can be done now."""
    from archive.web import pages

    return pages.error_page(error)
