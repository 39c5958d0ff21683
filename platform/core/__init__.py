"""The ground every app stands on: ledger, jobs and outbox, gates, evidence, states, calendar, crypto, roles, errors."""
