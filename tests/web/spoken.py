"""What a screen reader would say of a page: Chromium's accessibility tree, in reading order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import CDPSession, Page

LANDMARKS = ("banner", "navigation", "search", "main", "complementary", "region", "form")
CONTROLS = (
    "button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "slider",
    "DisclosureTriangle", "spinbutton", "Date",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """One thing with a role. `states` holds what is not so by itself: focused, pressed, level …"""

    role: str
    name: str
    value: str
    states: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything there is to be said of a page, from its beginning to its end."""

    title: str
    said: tuple[Said, ...]

    def of(self, *roles: str) -> list[Said]:
        """What has one of the roles."""
        return [each for each in self.said if each.role in roles]

    def names(self, *roles: str) -> list[str]:
        """The names of what has one of the roles."""
        return [each.name for each in self.of(*roles)]

    def one(self, role: str, name: str) -> Said:
        """The only one of that role whose name begins so."""
        found = [each for each in self.of(role) if each.name.startswith(name)]
        assert len(found) == 1, (role, name, self.names(role))
        return found[0]

    @property
    def headings(self) -> list[tuple[int, str]]:
        """Level and words of each heading."""
        return [(int(each.states["level"]), each.name) for each in self.of("heading")]

    @property
    def landmarks(self) -> list[tuple[str, str]]:
        """Role and name of each landmark."""
        return [(each.role, each.name) for each in self.of(*LANDMARKS)]

    @property
    def nameless(self) -> list[str]:
        """Roles of what can be operated and has no name."""
        return [each.role for each in self.of(*CONTROLS) if not each.name.strip()]


def read(page: Page) -> Reading:
    """The page as it is now."""
    session: CDPSession = page.context.new_cdp_session(page)
    try:
        session.send("Accessibility.enable")
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    finally:
        session.detach()
    by_id = {node["nodeId"]: node for node in nodes}
    said: list[Said] = []

    def walk(node: dict[str, Any]) -> None:
        if not node.get("ignored"):
            said.append(_said(node))
        for child in node.get("childIds", ()):
            if child in by_id:
                walk(by_id[child])

    walk(nodes[0])
    return Reading(page.title(), tuple(said))


def _said(node: dict[str, Any]) -> Said:
    return Said(
        # Folded things of which one alone is open at a time are said as all others are.
        role=node.get("role", {}).get("value", "").removesuffix("Grouped"),
        name=node.get("name", {}).get("value", ""),
        value=str(node.get("value", {}).get("value", "")),
        states={p["name"]: p["value"].get("value") for p in node.get("properties", ())},
    )
