"""Backups: making, keeping and restoring copies of catalogue, objects and keys."""
