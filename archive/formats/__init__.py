"""What is this file, and what does it say? Knows nothing of storage, keys, people or the catalogue.

call.py decodes audio, mail.py reads email, identifiers.py brings what people type to one form.
"""
