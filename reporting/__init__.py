"""Bundles for authorities: exports of a period that verify without us."""
