"""How long recordings are kept, and what a changed rule would do to what is stored."""

from __future__ import annotations

from flask import Blueprint, g, render_template

from archive.web import desk

pages = Blueprint("rules", __name__)


@pages.get("/admin/retention")
def overview() -> str:
    """Today's rules, and how many recordings they would end on another day, from when."""
    return render_template("rules.html", found=desk.archive_().preview_rules(g.actor))
