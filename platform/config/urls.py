"""Every address of the product on one page."""

from __future__ import annotations

from django.contrib.auth import views as auth_views
from django.urls import include, path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts.api import urls as accounts_api
from accounts.pages import sign_in
from accounts.pages.invitation import invitation
from core import appearance, health_views
from moderation import api as moderation_api

api = [
    *accounts_api.urlpatterns,
    path("submissions", moderation_api.SubmissionsView.as_view()),
    path("submissions/batch", moderation_api.BatchView.as_view()),
    path("submissions/<str:pk>", moderation_api.SubmissionView.as_view()),
    path("submissions/<str:pk>/content", moderation_api.ContentView.as_view()),
]

urlpatterns = [
    path("api/v1/", include(api)),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api_docs"),
    path("healthz", health_views.alive, name="healthz"),
    path("readyz", health_views.ready, name="readyz"),
    path("metrics", health_views.metrics_page, name="metrics"),
    path("login/", sign_in.LoginView.as_view(), name="login"),
    path("login/", sign_in.LoginView.as_view(), name="account_login"),  # allauth's word for it
    path("login/second-factor/", sign_in.ask_second_factor, name="second_factor"),
    path("login/sso/", sign_in.start_sso, name="sso"),
    path("login/sso/callback/", sign_in.finish_sso, {"provider_id": "oidc"}, name="openid_connect_callback"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("invitation/<str:token>/", invitation, name="invitation"),
    path("i18n/language/", set_language, name="set_language"),
    path("appearance/theme/", appearance.set_theme, name="set_theme"),
]
urlpatterns.append(path("", include("accounts.public_urls")))
for app in ("governance", "accounts", "moderation", "rumors", "reporting"):
    urlpatterns.append(path("", include(f"{app}.urls")))
