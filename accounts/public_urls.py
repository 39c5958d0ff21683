"""Addresses of this app without login: the links that users are given."""

from __future__ import annotations

from django.urls import URLPattern, path

from accounts.pages import public, public_requests

urlpatterns: list[URLPattern] = [
    path("public/appeal/<str:token>/", public.appeal, name="public_appeal"),
    path("public/appeal/<str:token>/withdraw/", public.withdraw, name="public_appeal_withdraw"),
    path("public/request/<str:token>/", public_requests.request, name="public_request"),
    path("public/request/<str:token>/fetch/", public_requests.fetch, name="public_request_fetch"),
]
