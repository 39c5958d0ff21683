"""Measured figures as plain text, for the command line."""

from __future__ import annotations

from typing import Any


def table(figures: dict[str, Any]) -> str:
    """Precision, recall and F1 by label, what is held, and the confusion table."""
    labels = figures["labels"]
    wide = max([len(name) for name in labels] + [12])
    lines = [f"{'':{wide}}  precision  recall     F1   rows   held"]
    for name, row in labels.items():
        lines.append(
            f"{name:{wide}}  {_f(row['precision']):>9}  {_f(row['recall']):>6}  {_f(row['f1']):>5}  {row['rows']:>5}"
            f"  {_f(figures.get('held', {}).get(name)):>5}"
        )
    lines.append(f"accuracy {_f(figures['accuracy'])} of {figures['rows']} rows")
    by_field = figures.get("by_field")
    if by_field:
        lines += ["", f"by {by_field['field']}"]
        for value, held in by_field["held"].items():
            lines.append(f"{value:{wide}}  held {_f(held):>6}  found {_f(by_field['found'][value]):>6}")
    lines += ["", "right \\ said".ljust(wide) + "".join(f"  {name:>{max(7, len(name))}}" for name in labels)]
    for right, said in figures["confusion"].items():
        lines.append(right.ljust(wide) + "".join(f"  {said[name]:>{max(7, len(name))}}" for name in labels))
    return "\n".join(lines)


def _f(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"
