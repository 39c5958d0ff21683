from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from accounts import identities, schema  # noqa: F401
        from core import context

        context.badge("users", lambda: identities.waiting().count())
