"""Whether every template compiles and every sentence of the pages is there in every language.

`python -m archive.web.check` exits 1 and names what is missing; `--update` brings the
translation files up to date with the sources first.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment, FileSystemLoader, TemplateError

from archive.web import assets

LANGUAGES = ("fi", "en")
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")


def sentences() -> Catalog:
    """Every sentence that templates and pages say."""
    catalog = Catalog()
    for folder, method in (
        (assets.templates(), [("**.html", "jinja2")]),
        (assets.PACKAGE / "web", [("**.py", "python")]),
    ):
        found = extract_from_dir(
            folder,
            method,
            {"**.html": {"trim_blocks": "true", "lstrip_blocks": "true"}},
            keywords={"_": None, "gettext": None, "ngettext": (1, 2)},
            strip_comment_tags=True,
        )
        for _file, _line, message, _comments, context in found:
            catalog.add(message, context=context)
    return catalog


def problems() -> Iterator[str]:
    """What is wrong, one sentence each."""
    yield from template_problems()
    wanted = sentences()
    for language in LANGUAGES:
        with path(language).open("rb") as lines:
            catalog = read_po(lines, locale=language)
        yield from translation_problems(language, wanted, catalog)


def template_problems() -> Iterator[str]:
    """Templates that do not compile."""
    folder = assets.templates()
    environment = Environment(
        loader=FileSystemLoader(folder), extensions=["jinja2.ext.i18n"], autoescape=True
    )
    for name in environment.list_templates():
        try:
            environment.parse(environment.loader.get_source(environment, name)[0], name)  # type: ignore[union-attr]
        except TemplateError as error:
            yield f"{name}: {error}"


def translation_problems(language: str, wanted: Catalog, catalog: Catalog) -> Iterator[str]:
    """Sentences that are missing, empty, fuzzy, left over, or lose a placeholder."""
    for message in wanted:
        if not message.id:
            continue
        found = catalog.get(message.id, message.context)
        if found is None or not all(_forms(found)):
            yield f"{language}: not translated: {_name(message)}"
        elif found.fuzzy:
            yield f"{language}: fuzzy: {_name(message)}"
        elif any(_holes(form) - _holes(_name(message)) for form in _forms(found)):
            yield f"{language}: unknown placeholder: {_name(message)}"
    for message in catalog:
        if message.id and wanted.get(message.id, message.context) is None:
            yield f"{language}: no longer said: {_name(message)}"


def update() -> None:
    """Adds new sentences to each language's file, drops old ones; English says them as they are."""
    wanted = sentences()
    for language in LANGUAGES:
        file = path(language)
        catalog = Catalog(locale=language, domain="messages")
        if file.exists():
            with file.open("rb") as lines:
                catalog = read_po(lines, locale=language, domain="messages")
        catalog.update(wanted, no_fuzzy_matching=True)
        catalog.obsolete.clear()
        if language == "en":
            _say_as_it_is(catalog)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as out:
            write_po(out, catalog, sort_output=True, no_location=True, omit_header=True, width=96)


def path(language: str) -> Path:
    """The translation file of the language."""
    return assets.TRANSLATIONS / language / "LC_MESSAGES" / "messages.po"


def _say_as_it_is(catalog: Catalog) -> None:
    for message in catalog:
        if message.id:
            message.string = message.id


def _forms(message: Message) -> tuple[str, ...]:
    string = message.string
    return tuple(string) if isinstance(string, list | tuple) else (str(string),)


def _name(message: Message) -> str:
    return str(message.id[1] if isinstance(message.id, list | tuple) else message.id)


def _holes(sentence: str) -> set[str]:
    return set(PLACEHOLDER.findall(sentence))


def main(arguments: list[str]) -> int:
    """Prints the problems; 1 if there are any."""
    if "--update" in arguments:
        update()
    found = list(problems())
    sys.stdout.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
