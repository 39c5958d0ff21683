"""Django's PostgreSQL backend, but for one thing: whether an idle connection still lives is asked of its socket first.

Django sends `SELECT 1` at the start of every request (CONN_HEALTH_CHECKS). A server that went away has closed the
socket, and a closed socket is readable; so only a readable one is asked with a real query.
"""

from __future__ import annotations

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """The backend named by settings (`core.postgres`)."""

    def is_usable(self) -> bool:
        """True when the connection is open and idle, or answers a query."""
        connection = self.connection
        if connection is None or connection.closed:
            return False
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return not poll.poll(0) or super().is_usable()
