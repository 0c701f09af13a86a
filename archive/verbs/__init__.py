"""What the archive does with recordings: one module for each part of a recording's life."""
