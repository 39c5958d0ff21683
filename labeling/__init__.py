"""Explicit and implicit labels (GB 45438-2025)."""
