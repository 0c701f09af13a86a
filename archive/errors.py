"""Every exception of the archive. Knows nothing of HTTP frameworks, storage or people.

An exception's docstring is its message: `{field}` names are filled from the keyword
arguments it was raised with. `status` is the HTTP answer, `exit_code` the command's.
Messages never carry personal data: fields are ids, names of settings or of form fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that is wrong: its name and what was expected instead (never its value)."""

    field: str
    expected: str


class ArchiveError(Exception):
    """The archive could not do what was asked."""

    status = 500
    exit_code = 1
    retry_after_s: int | None = None

    def __init__(self, *, errors: Sequence[FieldError] = (), **facts: object) -> None:
        self.errors = tuple(errors)
        self.facts = facts
        first_paragraph = (type(self).__doc__ or "").strip().split("\n\n")[0]
        self.message = " ".join(first_paragraph.split()).format_map(_Lenient(facts))
        super().__init__(self.message)


class _Lenient(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "…"


# -- what the caller did ---------------------------------------------------------------


class BadFields(ArchiveError):
    """Some fields are missing or not understood; nothing was stored."""

    status = 422
    exit_code = 2


class WrongPartOrder(ArchiveError):
    """The part `metadata` (JSON) must come first, then the part `audio`."""

    status = 422
    exit_code = 2


class TooManySearches(ArchiveError):
    """{most} searches are saved already; one must be deleted first."""

    status = 409


class BadRequest(ArchiveError):
    """The request is not understood: {reason}."""

    status = 400
    exit_code = 2


class PurposeRequired(ArchiveError):
    """A purpose is required: one of verification, complaint, quality, access-request, authority."""

    status = 400
    exit_code = 2


class CaseRequired(ArchiveError):
    """This purpose needs the number of an open case that the recording belongs to."""

    status = 403
    exit_code = 13


class NotLoggedIn(ArchiveError):
    """Log in, or send a valid token in the Authorization header."""

    status = 401
    exit_code = 13


class BadCredentials(ArchiveError):
    """User name or password is wrong."""

    status = 401
    exit_code = 13


class ProviderAway(ArchiveError):
    """The identity provider does not answer: {reason}. Try again in a moment."""

    status = 503
    exit_code = 13
    retry_after_s = 5


class ProviderRefused(ArchiveError):
    """The log-in at the identity provider was not accepted: {reason}."""

    status = 401
    exit_code = 13


class NotLetIn(ArchiveError):
    """The identity provider knows this person, but nothing gives them a right here."""

    status = 403
    exit_code = 13


class TooManyAttempts(ArchiveError):
    """Too many failed attempts. Wait {wait_s} seconds and try again."""

    status = 429
    exit_code = 13
    retry_after_s = 60


class Forbidden(ArchiveError):
    """Your group or token may not do this ({verb})."""

    status = 403
    exit_code = 13


class SourceMismatch(ArchiveError):
    """The token was made for another source."""

    status = 403
    exit_code = 13


class NotFound(ArchiveError):
    """There is no such recording, or it is not visible to you."""

    status = 404
    exit_code = 14


class ReferenceConflict(ArchiveError):
    """This source reference is already known with other content."""

    status = 409
    exit_code = 15


class OlderThanRetention(ArchiveError):
    """The contact is more than one year old; it is not stored."""

    status = 410
    exit_code = 16


class ReferenceErased(ArchiveError):
    """This reference was erased before; it is not stored again."""

    status = 410
    exit_code = 16


class TooLarge(ArchiveError):
    """The recording is larger than the limit of {limit_bytes} bytes."""

    status = 413
    exit_code = 17


class FetchRefused(ArchiveError):
    """The content that a vCon points to was not fetched: {reason}."""

    status = 422
    exit_code = 71


class RecordingHeld(ArchiveError):
    """Recording {id} is under a legal hold and cannot be erased."""

    status = 409
    exit_code = 12


class AlreadyHeld(ArchiveError):
    """The recording is already held for this case, or already restricted."""

    status = 409
    exit_code = 19


class SecondPersonNeeded(ArchiveError):
    """Whoever asked for it cannot confirm it; another person must."""

    status = 409
    exit_code = 25


class HoldReleased(ArchiveError):
    """The hold has been released already; hold the recording again instead."""

    status = 409
    exit_code = 26


class HoldBeingPlaced(ArchiveError):
    """A hold of the case is being placed just now. Try again in a minute."""

    status = 409
    exit_code = 27


class ConsequencesChanged(ArchiveError):
    """What closing the case would do has changed since it was shown. Look at it again."""

    status = 409
    exit_code = 28


class TooLateToUndo(ArchiveError):
    """An outcome is taken back by the person who recorded it, on the same day."""

    status = 409
    exit_code = 64


class CaseClosed(ArchiveError):
    """The complaint case is closed; reopen it first."""

    status = 409
    exit_code = 29


# -- what the surroundings did ---------------------------------------------------------


class StoreUnavailable(ArchiveError):
    """The object store does not answer. Nothing was kept; try again."""

    status = 503
    exit_code = 20
    retry_after_s = 5


class DeletionRefused(StoreUnavailable):
    """The object store keeps {n} objects that were to be deleted: object lock or a legal hold is
    on them, or ARCHIVE_STORE_ERASER_ACCESS_KEY may not delete them."""

    exit_code = 84


class NoObjectLock(ArchiveError):
    """ARCHIVE_OBJECT_LOCK_DAYS is set, but bucket {bucket} has no object lock ({reason}). Make a
    bucket with versioning and object lock, or unset it."""

    exit_code = 85


class CatalogueUnavailable(ArchiveError):
    """The catalogue database does not answer. Nothing was kept; try again."""

    status = 503
    exit_code = 21
    retry_after_s = 5


class Saturated(ArchiveError):
    """The service is at its limit. Try again in a moment."""

    status = 429
    exit_code = 22
    retry_after_s = 2


class DiskFull(ArchiveError):
    """There is no space left. Nothing was kept; try again when there is."""

    status = 507
    exit_code = 23
    retry_after_s = 60


class ObjectMissing(ArchiveError):
    """Object {key} is not in the store."""

    status = 500
    exit_code = 24


# -- seal and keys ---------------------------------------------------------------------


class SealBroken(ArchiveError):
    """Sealed bytes do not open: {reason}."""

    status = 500
    exit_code = 30


class KeyDestroyed(ArchiveError):
    """Key {name} has been destroyed."""

    status = 404
    exit_code = 31


class KeyMissing(ArchiveError):
    """Key {name} is not in the keys directory."""

    status = 500
    exit_code = 32


class RootKeyUnusable(ArchiveError):
    """The root key cannot be used: {reason}."""

    status = 500
    exit_code = 33


class RootKeyAway(RootKeyUnusable):
    """The root key does not answer: {reason}. Nothing was lost; try again."""

    status = 503
    exit_code = 84
    retry_after_s = 5


class KeyConflict(ArchiveError):
    """Another key of the name {name} is here already; nothing was written over it."""

    status = 409
    exit_code = 35


class RecoveryKeyMissing(ArchiveError):
    """There is no recovery key to seal key backups to. Make one: archive keys recovery-key FILE."""

    exit_code = 36


class RecoveryKeyUnusable(ArchiveError):
    """The recovery key cannot be used: {reason}."""

    exit_code = 37


class KeyBackupUnusable(ArchiveError):
    """The key backup {path} cannot be used: {reason}."""

    exit_code = 38


class RotationStopped(ArchiveError):
    """The rotation of the root key stopped: {reason}. Both root keys stay in use; run it again."""

    exit_code = 39


class BackupUnusable(ArchiveError):
    """The backup in {path} cannot be used: {reason}."""

    exit_code = 80


class ExportUnusable(ArchiveError):
    """The export in {path} cannot be used: {reason}."""

    exit_code = 87


class BackupRunning(ArchiveError):
    """Another backup, or a rotation of the root key, is at work."""

    status = 409
    exit_code = 81


class NotEmpty(ArchiveError):
    """Backups and exports go into an empty installation, and this one has {what}."""

    exit_code = 82


class RestoreUnfinished(ArchiveError):
    """A restore into {path} was begun and not finished. Run `archive restore` (or import) again."""

    exit_code = 83


class SweepTooLarge(ArchiveError):
    """A sweep would delete {n} of {total} objects, more than one in a hundred: nothing was deleted.
    Look at them (`archive sweep --dry-run`); if they are to go, `archive sweep --however-many`."""

    exit_code = 86


class CohortClosed(ArchiveError):
    """The day {day} has expired; nothing more can be stored under it."""

    status = 410
    exit_code = 34


# -- parts and settings ----------------------------------------------------------------


class BadSetting(ArchiveError):
    """Setting {name}: {reason}."""

    exit_code = 40


class HomeInUse(ArchiveError):
    """{home} is in use by another archive (process {pid}). Stop that one, or set ARCHIVE_HOME."""

    exit_code = 41


class PartFailed(ArchiveError):
    """{part} did not start: {reason}."""

    exit_code = 42


class NotRunning(ArchiveError):
    """No archive is running in {home}. Start it with `archive up`, or set ARCHIVE_DATABASE_URL
    and ARCHIVE_STORE_URL."""

    exit_code = 43


class IndexDamaged(ArchiveError):
    """The index of {month} cannot be read ({reason}); it is being rebuilt."""

    status = 503
    exit_code = 50
    retry_after_s = 5


class IndexBusy(ArchiveError):
    """Another process has been writing to the search index for too long; try again."""

    status = 503
    exit_code = 51
    retry_after_s = 2


class ClockSuspect(ArchiveError):
    """The clock cannot be trusted ({reason}); nothing was erased."""

    exit_code = 60


class NotProven(ArchiveError):
    """Recording {id}: never held, or not proven."""

    status = 404
    exit_code = 62


class SomethingLeft(ArchiveError):
    """Recording {id} is certified as destroyed, but something of it is left."""

    status = 409
    exit_code = 63


class MediaUnusable(ArchiveError):
    """The media could not be processed ({code})."""

    exit_code = 70


class ExpiryRunning(ArchiveError):
    """Another expiry run is at work."""

    status = 409
    exit_code = 61


class NameTaken(ArchiveError):
    """There is a user of this name already."""

    status = 409
    exit_code = 18


class StaleForm(ArchiveError):
    """The form belongs to another session or came from elsewhere. Reload the page and try again."""

    status = 403
    exit_code = 13
