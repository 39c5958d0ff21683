from django.apps import AppConfig


class ModerationConfig(AppConfig):
    name = "moderation"
    verbose_name = "Moderation"

    def ready(self) -> None:
        from core import outbox
        from moderation import reevaluation, screening  # noqa: F401

        outbox.subscribe("internal.user_may_publish", reevaluation.JOB)
        outbox.subscribe("gate.opened", reevaluation.JOB)
