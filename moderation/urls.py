"""Addresses of this app."""

from __future__ import annotations

from django.urls import URLPattern, path

from moderation import desk, feature_pages, overview, policy_pages, submission_pages

urlpatterns: list[URLPattern] = [
    path("", overview.overview, name="overview"),
    path("review/", desk.desk, name="review"),
    path("review/next", desk.take_next, name="review_next"),
    path("review/decide", desk.decide, name="review_decide"),
    path("review/skip", desk.skip, name="review_skip"),
    path("review/heartbeat", desk.heartbeat, name="review_heartbeat"),
    path("submissions/", submission_pages.submissions_list, name="submissions"),
    path("submissions/<uuid:pk>/", submission_pages.submission, name="submission"),
    path("features/", feature_pages.features, name="features"),
    path("features/propose", feature_pages.propose, name="feature_propose"),
    path("features/approve-list", feature_pages.approve_list, name="feature_approve_list"),
    path("features/<int:pk>/approve", feature_pages.approve, name="feature_approve"),
    path("features/<int:pk>/refuse", feature_pages.refuse, name="feature_refuse"),
    path("features/<int:pk>/retire", feature_pages.retire, name="feature_retire"),
    path("policies/", policy_pages.policies, name="policies"),
]
