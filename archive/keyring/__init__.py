"""Around the keys directory: root keys and their keepers, recovery, key backups, rotation."""
