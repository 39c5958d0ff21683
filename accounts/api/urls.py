"""Addresses of the API of accounts, below /api/v1/."""

from __future__ import annotations

from django.urls import URLPattern, path

from accounts.api import acceptances, appeals, gates, identities, requests, uploads, users, webhooks

urlpatterns: list[URLPattern] = [
    path("users", users.UsersView.as_view()),
    path("users/<str:external_id>", users.UserView.as_view()),
    path("users/<str:external_id>/identity", identities.IdentityView.as_view()),
    path("users/<str:external_id>/requests", requests.PersonRequestsView.as_view()),
    path("users/<str:external_id>/identity/code", identities.CodeView.as_view()),
    path("users/<str:external_id>/identity/code/resend", identities.ResendView.as_view()),
    path("users/<str:external_id>/acceptances", acceptances.AcceptancesView.as_view()),
    path("documents", acceptances.DocumentsView.as_view()),
    path("uploads", uploads.UploadsView.as_view()),
    path("appeals", appeals.AppealsView.as_view()),
    path("gates", gates.GatesView.as_view()),
    path("webhooks", webhooks.EndpointsView.as_view()),
    path("webhooks/<str:pk>", webhooks.EndpointView.as_view()),
]
