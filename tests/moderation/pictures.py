"""Pictures, films and sounds that tests draw themselves: always the same for the same number, by whole numbers only."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np


def drawn(number: int, width: int = 320, height: int = 240) -> np.ndarray:
    """A picture of forty coloured rectangles and ellipses over a slope; RGB, 8 bits."""
    state = number * 2654435761 % 2**32

    def draw(most: int) -> int:
        nonlocal state
        state = (state * 1664525 + 1013904223) % 2**32
        return (state >> 8) % most

    across, down = np.arange(width)[None, :], np.arange(height)[:, None]
    picture = np.zeros((height, width, 3), dtype=np.int64)
    for colour in range(3):
        a, b = draw(200), draw(200)
        picture[:, :, colour] = 20 + (a * across) // width + (b * down) // height
    for _shape in range(40):
        x, y = draw(width), draw(height)
        wide, high = width // 20 + draw(width // 4), height // 20 + draw(height // 4)
        colour = np.array([draw(256), draw(256), draw(256)])
        if draw(2):
            picture[y : y + high, x : x + wide] = colour
        else:
            inside = (across - x) ** 2 * high**2 + (down - y) ** 2 * wide**2 < wide**2 * high**2 // 4
            picture[inside] = colour
    return picture.clip(0, 255).astype(np.uint8)


def music(number: int, seconds: float, rate: int = 16_000) -> np.ndarray:
    """Notes of some instruments with a little noise; mono, 16 bits."""
    draw = np.random.default_rng(number)
    total = int(seconds * rate)
    sound, at = np.zeros(total), 0
    while at < total:
        length = min(int(draw.uniform(0.1, 0.5) * rate), total - at)
        time = np.arange(length) / rate
        for _note in range(draw.integers(1, 4)):
            pitch = 110 * 2 ** (draw.integers(0, 48) / 12)
            fade = np.exp(-time * draw.uniform(1, 6))
            for overtone in range(1, 8):
                phase = draw.uniform(0, 6)
                sound[at : at + length] += np.sin(2 * np.pi * pitch * overtone * time + phase) / overtone * fade
        at += length
    sound += draw.normal(0, 0.02, total)
    return (sound / np.abs(sound).max() * 20_000).astype("<i2")


def encoded(sound: np.ndarray, codec: str, bit_rate: int, container: str) -> bytes:
    """A sound file."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=16_000)
        stream.bit_rate, stream.layout = bit_rate, "mono"
        frame = av.AudioFrame.from_ndarray(sound[None, :], format="s16", layout="mono")
        frame.rate = 16_000
        fit = av.AudioResampler(
            format=stream.codec_context.format.name,
            layout="mono",
            rate=16_000,
            frame_size=stream.codec_context.frame_size or None,
        )
        for part in [*fit.resample(frame), *fit.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return out.getvalue()


def decoded(file: bytes) -> np.ndarray:
    """A sound file's samples, mono, 16 bits at 16 kHz."""
    import av

    fit = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    with av.open(io.BytesIO(file)) as opened:
        parts = [part.to_ndarray()[0] for frame in opened.decode(audio=0) for part in fit.resample(frame)]
    return np.concatenate(parts)


def film(
    path: Path, pictures: list[np.ndarray], *, each: int = 10, rate: int = 10, sound: np.ndarray | None = None
) -> Path:
    """An MP4 (H.264, AAC) that shows each picture for `each` frames."""
    import av

    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=rate)
        video.width, video.height, video.pix_fmt, video.bit_rate = width, height, "yuv420p", 2_000_000
        ear = file.add_stream("aac", rate=16_000) if sound is not None else None
        if ear is not None:
            ear.layout = "mono"
        for picture in pictures:
            for _time in range(each):
                file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(video.encode(None))
        if ear is not None and sound is not None:
            frame = av.AudioFrame.from_ndarray(sound[None, :], format="s16", layout="mono")
            frame.rate = 16_000
            fit = av.AudioResampler(
                format=ear.codec_context.format.name,
                layout="mono",
                rate=16_000,
                frame_size=ear.codec_context.frame_size or None,
            )
            for part in [*fit.resample(frame), *fit.resample(None)]:
                file.mux(ear.encode(part))
            file.mux(ear.encode(None))
    return path


def png(picture: np.ndarray) -> bytes:
    """A picture as a PNG file."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


def jpeg(picture: np.ndarray, quality: int = 60) -> bytes:
    """A picture as a JPEG file."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=quality)
    return out.getvalue()
