"""Evidence packages of a complaint case: what goes in, how far one is, saving and removing it."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, abort, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from archive import permissions
from archive.errors import BadFields, BadRequest, CaseClosed
from archive.evidence import choosing
from archive.evidence.packages import Package
from archive.model import Purpose, Scope
from archive.web import desk, show

pages = Blueprint("evidence", __name__)


@pages.get("/cases/<number>/evidence")
def listing(number: str) -> str:
    """The packages of the case, and the form that asks for one."""
    archive = desk.archive_()
    file = archive.case_file(g.actor, number)
    found = archive.evidence_of(g.actor, number)
    return render_template(
        "evidence.html",
        case=file.case,
        found=found,
        choices=choosing.choices(file, customer_pattern=archive.config.customer_pattern),
        working=[package for package in found if package.state in {"waiting", "building"}],
        names=archive.names(package.asked_by for package in found),
        days=archive.config.evidence_days,
        may_unmask=permissions.may(g.actor, Scope.UNMASKED),
    )


@pages.post("/cases/<number>/evidence")
def ask(number: str) -> AnyResponse:
    """Asks for a package of the chosen recordings."""
    form = request.form
    try:
        desk.archive_().ask_evidence(
            g.actor,
            number,
            recordings=[UUID(each) for each in form.getlist("id")],
            language=form.get("language") or show.language(),
            masked_originals="masked_originals" in form,
        )
    except BadFields:
        flash(_("Choose at least one call or email."))
    except CaseClosed:
        flash(_("The case is closed; reopen it first."))
    except ValueError:
        raise BadRequest(reason="not a recording's id") from None
    return redirect(url_for("evidence.listing", number=number), 303)


@pages.post("/cases/<number>/evidence/<uuid:id>/save")
def save(number: str, id: UUID) -> Response:
    """The ZIP, to be saved; noted in the audit log before its first byte leaves."""
    package = _of_case(number, id)
    opened = desk.archive_().open_evidence(g.actor, id, purpose=Purpose.COMPLAINT.value)
    response = Response(opened.read(0, opened.length), mimetype="application/zip")
    response.headers["Content-Disposition"] = f'attachment; filename="{package.file_name}"'
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.content_length = opened.length
    return response


@pages.post("/cases/<number>/evidence/<uuid:id>/remove")
def remove(number: str, id: UUID) -> AnyResponse:
    """Ends a package before its days are over."""
    _of_case(number, id)
    desk.archive_().end_evidence(g.actor, id)
    flash(_("The package was removed."))
    return redirect(url_for("evidence.listing", number=number), 303)


def _of_case(number: str, id: UUID) -> Package:
    found = [p for p in desk.archive_().evidence_of(g.actor, number) if p.id == id]
    if not found:
        abort(404)
    return found[0]
