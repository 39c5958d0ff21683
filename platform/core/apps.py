from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "core"
    verbose_name = "Core"

    def ready(self) -> None:
        from core import startup_checks, states, vault  # noqa: F401
        from core.models import WebhookEndpoint

        states.discover()
        vault.register_sealed(WebhookEndpoint, "secret", lambda row: f"webhook_endpoint:{row['pk']}:secret")
