"""A person in front of the pages: follows links, fills in forms with what the page put there."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

PASSWORD = "sähköä riittää 2026"


@dataclass
class Visitor:
    """One browser. `page` is the last answer that was a page."""

    client: FlaskClient
    page: str = ""

    def get(self, path: str, **headers: str) -> TestResponse:
        """Asks for a page, following redirects."""
        return self._seen(self.client.get(path, headers=headers, follow_redirects=True))

    def submit(self, path: str, **fields: Any) -> TestResponse:
        """Sends a form of the last page, with the token that the page carries."""
        return self._seen(
            self.client.post(path, data={"csrf": self.csrf()} | fields, follow_redirects=True)
        )

    def post(self, path: str, **fields: Any) -> TestResponse:
        """Sends a form without following where it leads."""
        return self.client.post(path, data={"csrf": self.csrf()} | fields)

    def log_in(self, name: str, password: str = PASSWORD) -> TestResponse:
        """Logs in; the page is then the first one of the person's."""
        answer = self.client.post("/login", data={"name": name, "password": password})
        self.get("/")
        return answer

    def csrf(self) -> str:
        """The token in the last page's forms."""
        found = re.search(r'name="csrf" value="([^"]*)"', self.page)
        return found[1] if found else ""

    def links(self, pattern: str) -> list[str]:
        """Addresses on the last page that match."""
        addresses = [html.unescape(a) for a in re.findall(r'href="([^"]+)"', self.page)]
        return [a for a in addresses if re.search(pattern, a)]

    def verify(self, contact: str) -> TestResponse:
        """Types into the one field."""
        self.get("/verify")
        return self.submit("/verify", contact=contact)

    def _seen(self, answer: TestResponse) -> TestResponse:
        if answer.mimetype == "text/html":
            self.page = answer.get_data(as_text=True)
        return answer
