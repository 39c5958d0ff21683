"""Addresses of this app."""

from __future__ import annotations

from django.urls import path

from rumors import public, views

urlpatterns = [
    path("rumors/", views.case_list, name="rumors"),
    path("rumors/new/", views.new_case, name="rumor_new"),
    path("rumors/<uuid:pk>/", views.case_page, name="rumor_case"),
    path("rumors/<uuid:pk>/<slug:name>/", views.act, name="rumor_act"),
    path("public/refutations/", public.refutation_list, name="public_refutations"),
    path("public/refutations/atom.xml", public.RefutationFeed(), name="public_refutations_feed"),
    path("public/refutations/<slug:number>/", public.refutation_page, name="public_refutation"),
    path("public/refutations/<slug:number>/v<int:version>/", public.refutation_page, name="public_refutation_version"),
]
