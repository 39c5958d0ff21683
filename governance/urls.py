"""Addresses of this app: the public ones."""

from __future__ import annotations

from django.urls import path

from governance import public

urlpatterns = [
    path("public/", public.index, name="public"),
    path("public/documents/", public.document_list, name="public_documents"),
    path("public/documents/<slug:code>/", public.document, name="public_document"),
    path("public/documents/<slug:code>/v<int:number>/", public.document, name="public_document_version"),
    path("public/documents/<slug:code>/v<int:number>/text/", public.document_text, name="public_document_text"),
]
