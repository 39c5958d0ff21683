"""States are data: one table per machine, one `transition()`, and diagrams printed from the same tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from django.apps import apps
from django.utils.translation import gettext_lazy as _

from core import audit
from core.errors import Conflict

MACHINES: dict[str, Machine] = {}


@dataclass(frozen=True)
class Move:
    """One allowed change: by `action` from any of `sources` to `target`; `by` says in words who makes it."""

    action: str
    sources: tuple[str, ...]
    target: str
    by: str


@dataclass(frozen=True)
class Machine:
    """The states of one kind of record. Checked when it is made, so that a wrong table fails at start-up."""

    name: str
    states: tuple[str, ...]
    initial: str
    moves: tuple[Move, ...]
    final: tuple[str, ...] = ()
    words: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = set(self.states)
        used = {self.initial, *self.final, *(m.target for m in self.moves), *(s for m in self.moves for s in m.sources)}
        if used - known:
            raise ValueError(f"{self.name}: unknown states {sorted(used - known)}")
        seen = [(m.action, s) for m in self.moves for s in m.sources]
        if len(seen) != len(set(seen)):
            raise ValueError(f"{self.name}: an action leads to two states from one")
        if leaving := {s for m in self.moves for s in m.sources} & set(self.final):
            raise ValueError(f"{self.name}: moves out of final states {sorted(leaving)}")
        if unreachable := known - {self.initial} - {m.target for m in self.moves}:
            raise ValueError(f"{self.name}: unreachable states {sorted(unreachable)}")
        if self.name in MACHINES and MACHINES[self.name] != self:
            raise ValueError(f"two machines are named {self.name}")
        MACHINES[self.name] = self

    def target(self, state: str, action: str) -> str | None:
        """Where `action` leads from `state`, or None where it is not allowed."""
        for move in self.moves:
            if move.action == action and state in move.sources:
                return move.target
        return None

    def allowed(self, state: str) -> list[str]:
        """The actions that lead somewhere from `state`."""
        return [m.action for m in self.moves if state in m.sources]

    def mermaid(self) -> str:
        """The machine as a mermaid state diagram."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        for move in self.moves:
            lines += [f"    {source} --> {move.target}: {move.action} ({move.by})" for source in move.sources]
        lines += [f"    {state} --> [*]" for state in self.final]
        return "\n".join(lines)


def check_move(machine: Machine, state: str, action: str) -> str:
    """The state that `action` leads to; refuses with 409 and a sentence where the table does not allow it."""
    target = machine.target(state, action)
    if target is None:
        raise Conflict(
            "state_forbids",
            _("This can't be done any more: the record is “%(state)s” now.")
            % {"state": machine.words.get(state, state)},
            extra={"state": state, "action": action},
        )
    return target


def transition(
    machine: Machine,
    row: Any,
    action: str,
    *,
    by: Any,
    reason: str = "",
    data: dict[str, Any] | None = None,
    also: Iterable[str] = (),
    field_name: str = "state",
) -> Any:
    """Move a row that the caller has locked: checks the table, saves the state with the fields in `also`, writes the
    ledger. The audit action is `<machine>.<action>`, the subject `<machine>:<pk>`."""
    before = getattr(row, field_name)
    target = check_move(machine, before, action)
    setattr(row, field_name, target)
    row.save(update_fields=[field_name, *also])
    audit.record(
        action=f"{machine.name}.{action}",
        subject=f"{machine.name}:{row.pk}",
        by=by,
        reason=reason,
        data={"from": before, "to": target, **(data or {})},
    )
    return row


def discover() -> None:
    """Import every app's `states` module, so that all machines are known."""
    for config in apps.get_app_configs():
        name = f"{config.name}.states"
        if config.name == "core":
            continue
        try:
            import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name != name:
                raise
