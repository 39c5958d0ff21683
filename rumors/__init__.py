"""Rumor cases: verify, refute, tell, report, close (DS-11a)."""
