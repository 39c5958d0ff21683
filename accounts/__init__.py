"""Who is who: staff and roles, API clients and keys, end users and their real identity, measures on accounts."""
