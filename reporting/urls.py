"""Addresses of this app."""

from __future__ import annotations

from django.urls import path

from reporting import views

urlpatterns = [
    path("reports/", views.reports, name="reports"),
    path("reports/<uuid:pk>/", views.bundle_page, name="bundle"),
    path("reports/<uuid:pk>/download", views.download, name="bundle_download"),
    path("reports/<uuid:pk>/retry", views.retry, name="bundle_retry"),
]
