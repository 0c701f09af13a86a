"""Log-in at the organisation's own identity provider, by OpenID Connect.

The authorization code flow with PKCE. Knows the protocol and who the provider says somebody is;
nothing of the archive's people, their sessions or its pages. Of tokens nothing is kept.
"""
