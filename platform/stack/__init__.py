"""The embedded default: PostgreSQL and Valkey from wheels, and the processes of Mingjian, kept alive by one supervisor.

Knows nothing of Django or of the applications: the settings ask `stack.addresses` where the servers are, and everything
else here works from a Procfile and a data directory.
"""


class Refused(Exception):
    """Something cannot be started; the text is one sentence for the person who asked for it."""
