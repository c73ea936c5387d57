"""Who is asking: passwords, access tokens and refresh tokens."""
