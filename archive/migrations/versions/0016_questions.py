"""Questions to the audit log are one look-up in an index each, however long it is."""

from alembic import op

revision = "0016"
down_revision = "0015"

UP = """
-- Entries are read newest first by id, so each index ends with it.
drop index audit_by_recording, audit_by_actor;
create index audit_by_recording on audit_event (recording_id, id) where recording_id is not null;
create index audit_by_actor on audit_event (actor_id, id);
create index audit_by_verb on audit_event (verb, id);
create index audit_by_purpose on audit_event (purpose, id) where purpose is not null;
create index audit_by_time on audit_event using brin (at);
-- Of whom an entry is: keyed digests in its detail.
create index audit_by_subject on audit_event using gin ((detail -> 'subjects'))
    where detail ? 'subjects';
"""

DOWN = """
drop index audit_by_time, audit_by_subject, audit_by_purpose, audit_by_verb,
    audit_by_recording, audit_by_actor;
create index audit_by_recording on audit_event (recording_id, at);
create index audit_by_actor on audit_event (actor_id, at);
"""


def upgrade() -> None:
    """Makes the indexes."""
    op.execute(UP)


def downgrade() -> None:
    """Drops them for those before."""
    op.execute(DOWN)
