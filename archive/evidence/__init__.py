"""Evidence packages of complaint cases: what is in, built, kept, checked, ended."""
