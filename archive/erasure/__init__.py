"""The end of recordings: the nightly run, early erasure, certificates and their proof."""
