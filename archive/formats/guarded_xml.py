"""XML of strangers: elements told one by one, within bounds; nothing fetched, nothing expanded.

A document type is refused, and with it every entity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from xml.parsers import expat


class XmlError(ValueError):
    """What was read will not do; the message says why and repeats nothing of it."""


class NotXmlError(XmlError):
    """No XML, or in an encoding that cannot be read."""


class DoctypeError(XmlError):
    """It has a document type."""


class TooLargeError(XmlError):
    """Nested too deeply, or of too many elements."""


class Builder(Protocol):
    """What the elements are told to."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""

    def text(self, data: str) -> None:
        """Some of the words within the newest one that is open."""

    def end(self, name: str) -> None:
        """It ends."""


def read(
    raw: bytes,
    builder: Builder,
    *,
    most_depth: int,
    most_elements: int | None = None,
    namespace_separator: str | None = None,
) -> None:
    """Tells the builder of every element; NotXmlError, DoctypeError, TooLargeError.

    With a separator, names are namespace and local name with it between.
    """
    guard = _Guard(builder, most_depth, most_elements)
    parser = expat.ParserCreate(namespace_separator=namespace_separator)
    parser.StartElementHandler = guard.start
    parser.EndElementHandler = guard.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(raw, True)
    except XmlError:
        raise
    except (expat.ExpatError, LookupError, ValueError):  # the last two: of the encoding it names
        raise NotXmlError("not XML") from None


class _Guard:
    def __init__(self, builder: Builder, most_depth: int, most_elements: int | None) -> None:
        self._builder = builder
        self._most_depth, self._most_elements = most_depth, most_elements
        self._depth = self._count = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._count += 1
        too_many = self._most_elements is not None and self._count > self._most_elements
        if self._depth >= self._most_depth or too_many:
            raise TooLargeError("nested too deeply" if not too_many else "too many elements")
        self._depth += 1
        self._builder.start(name, attributes)

    def end(self, name: str) -> None:
        self._depth -= 1
        self._builder.end(name)


def _refuse(*_: Any) -> None:
    raise DoctypeError("a document type")
