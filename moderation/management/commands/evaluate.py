"""`manage.py evaluate FILE.jsonl …`: screening measured on labelled lines (contract.md)."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.errors import Refusal
from moderation import classifiers, evaluation, labelled
from moderation.learning import artefact
from moderation.management.commands.train import renamed_labels
from moderation.measured_text import table
from moderation.models import Classifier, PolicyVersion


class Command(BaseCommand):
    """Parses, calls `evaluation`, renders."""

    help = 'Run screening (nothing is written) over lines {"text", "label"} and print how often it is right.'

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--model",
            action="append",
            default=[],
            metavar="NAME=ID or FILE",
            help="look with this model, not the active",
        )
        parser.add_argument("--no-model", action="store_true", help="look with no model at all")
        parser.add_argument("--train-on", nargs="+", type=Path, metavar="FILE", help="learn from these lines first")
        parser.add_argument("--cross-validate", type=int, metavar="K", help="learn from the other folds of this file")
        parser.add_argument(
            "--random-folds",
            action="store_true",
            help="deal near-duplicates at random instead of keeping them together",
        )
        parser.add_argument("--policy", type=int, metavar="N", help="judge by this version; default: the live one")
        parser.add_argument("--labels", type=Path, help='JSON {"their label": "our label"}')
        parser.add_argument("--by", default="", metavar="FIELD", help="count by a further field of the lines as well")
        parser.add_argument("--record", default="", metavar="NAME", help="keep the figures under this name")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = [bool(options[name]) for name in ("model", "no_model", "train_on", "cross_validate")]
        if sum(chosen) > 1:
            raise CommandError("choose one of --model, --no-model, --train-on and --cross-validate")
        logging.getLogger("checks").setLevel(logging.CRITICAL)  # a failed check is counted, not logged line by line
        renamed = renamed_labels(options["labels"])
        file = self._read(options["file"], renamed)
        if not file.lines:
            raise CommandError(f"{file.name} holds no line that can be measured")
        number = options["policy"]
        if number is not None and not PolicyVersion.objects.filter(pk=number).exists():
            raise CommandError(f"there is no policy version {number}")
        shared: dict[str, Any] = {"policy_number": number, "by_field": options["by"], "progress": self.show}
        try:
            if options["cross_validate"]:
                measured = evaluation.cross_validate(
                    file.lines, folds=options["cross_validate"], apart=not options["random_folds"], **shared
                )
            else:
                measured = evaluation.evaluate(file.lines, models=self._models(options, renamed), **shared)
            kept = None
            if options["record"]:
                kept = evaluation.record(
                    name=options["record"], measured=measured, file_digest=file.digest, by="system:evaluate"
                )
        except Refusal as refusal:
            raise CommandError(str(refusal.detail)) from refusal
        self.show(1, 1)
        if options["json"]:
            said = {
                "file": file.name,
                "digest": file.digest,
                "refused": [{"line": number, "why": why} for number, why in file.refused],
                "used": measured.used,
                "recorded": kept.pk if kept else None,
                **measured.figures,
            }
            self.stdout.write(json.dumps(said, ensure_ascii=False))
            return
        self.stdout.write(f"{file.name}  {len(file.lines)} lines  {len(file.refused)} refused")
        self.stdout.write(f"models: {', '.join(measured.used['models']) or 'none'}  policy v{measured.used['policy']}")
        self.stdout.write(table(measured.figures))

    def _read(self, path: Path, renamed: dict[str, str]) -> labelled.File:
        try:
            file = labelled.read(path, renamed)
        except OSError as missing:
            raise CommandError(f"there is no file {path}") from missing
        for number, why in file.refused:
            self.stderr.write(f"{file.name} line {number}: {why}")
        return file

    def _models(self, options: dict[str, Any], renamed: dict[str, str]) -> classifiers.Loaded | None:
        if options["no_model"]:
            return ()
        if options["train_on"]:
            lines = [line for path in options["train_on"] for line in self._read(path, renamed).lines]
            return (evaluation.acting(evaluation.learn(lines)),)
        if options["model"]:
            return tuple(self._model(said) for said in options["model"])
        return None

    def _model(self, said: str) -> classifiers.Acting:
        name, _equals, where = said.rpartition("=")
        try:
            if where.isdecimal():
                found = Classifier.objects.filter(pk=int(where)).first()
                if found is None:
                    raise CommandError(f"there is no model {where}")
                return classifiers.load(found)
            path = Path(where)
            if path.stat().st_size > artefact.MAX_BYTES:
                raise CommandError(f"{where} is too large")
            return evaluation.acting(artefact.read(path.read_bytes()), name or path.stem)
        except (OSError, artefact.Unreadable) as wrong:
            raise CommandError(f"{where} is no model that can be read: {wrong}") from wrong

    def show(self, done: int, total: int) -> None:
        """One progress bar on a terminal, nothing elsewhere."""
        if self.stderr.isatty():
            share = done / total if total else 1.0
            end = "\n" if done == total == 1 else ""
            self.stderr.write(f"\r|{'█' * int(share * 30):<30}| {share:4.0%}{end}", ending="")
