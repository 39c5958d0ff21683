from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from accounts import (  # noqa: F401
            alarm_mail,
            identities,
            import_run,
            invitations,
            person_bundle,
            presence,
            schema,
            sealed_columns,
            sign_in,
            sso,
            startup_checks,
        )
        from accounts.pages import banners
        from core import context

        context.banner(banners.lines)
        context.badge("users", lambda: identities.waiting().count())
