"""The checks that ship with the product; importing this module registers them."""

from moderation.checks import (  # noqa: F401
    audio_print,
    classifier,
    consent,
    exact,
    external_classifier,
    fraud,
    image_hash,
    links,
    media,
    near_text,
    news_source,
    ocr,
    patterns,
    personal_data,
    speech,
    terms,
    video_hash,
)
