from importlib import import_module

from django.apps import AppConfig
from django.conf import settings


class ModerationConfig(AppConfig):
    name = "moderation"
    verbose_name = "Moderation"

    def ready(self) -> None:
        from core import outbox
        from moderation import (  # noqa: F401
            backtest_parts,
            brake,
            feature_imports,
            personal_data,
            reevaluation,
            screening,
        )
        from moderation.checks import shipped  # noqa: F401

        # An operator's own checks: modules that call `moderation.checks.register` when they are imported.
        for module in settings.CHECK_MODULES:
            import_module(module)
        outbox.subscribe("internal.user_may_publish", reevaluation.JOB)
        outbox.subscribe("gate.opened", reevaluation.JOB)
        outbox.subscribe("internal.acceptance_eased", reevaluation.JOB)
