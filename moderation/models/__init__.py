"""What moderation keeps: items and what was found in them, the queue and decisions, the library, policies, trials."""

from moderation.models.imports import FeatureImport, FeatureImportRow
from moderation.models.items import Content, ExtractedText, Finding, Medium, Submission
from moderation.models.library import Feature, Library, SourceUnit, TextBand
from moderation.models.policies import PolicyVersion, ShadowVerdict
from moderation.models.review import ClaimEvent, Decision, Lease, StatementOfReasons, Task
from moderation.models.trials import Backtest, BacktestPart, Classifier, Evaluation

__all__ = [
    "Backtest",
    "BacktestPart",
    "ClaimEvent",
    "Classifier",
    "Content",
    "Decision",
    "Evaluation",
    "ExtractedText",
    "Feature",
    "FeatureImport",
    "FeatureImportRow",
    "Finding",
    "Lease",
    "Library",
    "Medium",
    "PolicyVersion",
    "ShadowVerdict",
    "SourceUnit",
    "StatementOfReasons",
    "Submission",
    "Task",
    "TextBand",
]
