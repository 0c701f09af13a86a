"""What `auth` is made of: passwords, attempts, second factors, machine tokens, the commitment.

Knows people by id and name; nothing of recordings, pages or HTTP.
"""
