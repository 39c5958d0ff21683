"""The composition root: settings, urls, wsgi, celery. It imports everything and is imported by nobody."""

from config.celery import app as celery_app  # every process that sends tasks must know this application

__all__ = ["celery_app"]
