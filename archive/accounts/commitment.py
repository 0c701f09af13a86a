"""The confidentiality commitment: which version counts today, and who accepted which.

Its words are in the pages' languages (templates/commitment.html). Changed words are a new version,
which everybody is shown before anything else.
"""

from __future__ import annotations

VERSION = "2026-1"
