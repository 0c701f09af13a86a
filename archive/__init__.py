"""Contact archive: call and email recordings, sealed, found, opened, expired."""

__version__ = "0.1.0"
