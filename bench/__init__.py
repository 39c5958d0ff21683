"""Benchmarks: each prints its figure beside a named baseline measured in the same run, and the ratio."""
