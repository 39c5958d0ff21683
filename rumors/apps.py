from django.apps import AppConfig


class RumorsConfig(AppConfig):
    name = "rumors"
    verbose_name = "Rumors"

    def ready(self) -> None:
        from core import context
        from moderation.decisions import register_choice
        from rumors import cases, desk

        register_choice(desk.CHOICE)
        context.badge("rumors", lambda: cases.unfinished().count())
