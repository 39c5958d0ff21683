"""Every address of the product on one page."""

from __future__ import annotations

from django.contrib.auth import views as auth_views
from django.urls import include, path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts.api import urls as accounts_api
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
    path("login/", auth_views.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("i18n/language/", set_language, name="set_language"),
    path("appearance/theme/", appearance.set_theme, name="set_theme"),
]
for app in ("accounts", "moderation", "rumors", "reporting"):
    urlpatterns.append(path("", include(f"{app}.urls")))
