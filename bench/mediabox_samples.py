"""Small media of every format that the box opens, made on the spot: whole ones, and building blocks for hostile ones."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import numpy as np
from PIL import Image

GPS = 0x8825


def picture(width: int = 160, height: int = 120, mode: str = "RGB") -> Image.Image:
    """Something to see: stripes, a square and a slope."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0] = np.linspace(0, 255, width, dtype=np.uint8)
    pixels[:, :, 1] = np.linspace(255, 0, height, dtype=np.uint8)[:, None]
    pixels[height // 4 : height // 2, width // 4 : width // 2] = 255
    return Image.fromarray(pixels).convert(mode)


def image(kind: str, shown: Image.Image | None = None, **options: Any) -> bytes:
    """A picture's file; `kind` as Pillow names it."""
    target = io.BytesIO()
    (shown or picture()).save(target, kind, **options)
    return target.getvalue()


def animated(kind: str, frames: int = 8) -> bytes:
    """A moving picture's file."""
    shown = [picture().rotate(20 * number) for number in range(frames)]
    return image(kind, shown[0], save_all=True, append_images=shown[1:], duration=100, loop=0)


def film(
    container: str,
    video: str = "",
    sound: str = "",
    *,
    frames: int = 30,
    rate: int = 15,
    size: tuple[int, int] = (160, 120),
    step: Fraction | None = None,
    streams: int = 1,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """A video's or a sound's file. `step`: the time between frames, if not that of the rate; `streams`: sound tracks."""
    target = io.BytesIO()
    with av.open(target, "w", format=container) as out:
        out.metadata.update(metadata or {})
        picture_stream: Any = None
        if video:
            picture_stream = out.add_stream(video, rate=rate, options=options or {})
            picture_stream.width, picture_stream.height = size
            picture_stream.pix_fmt = "yuvj420p" if video == "mjpeg" else "yuv420p"
            picture_stream.codec_context.gop_size = 10
        sounds: list[Any] = [out.add_stream(sound, rate=48_000) for _ in range(streams)] if sound else []
        if picture_stream is not None:
            if step:
                picture_stream.codec_context.time_base = step
            for number in range(frames):
                shown = np.roll(np.asarray(picture(*size)), 3 * number, axis=1)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shown), format="rgb24")
                frame.pts = number
                frame.time_base = step or Fraction(1, rate)
                out.mux(picture_stream.encode(frame))
            out.mux(picture_stream.encode())
        for stream in sounds:
            _tone(out, stream, frames / rate)
    return target.getvalue()


def _tone(out: Any, stream: Any, seconds: float) -> None:
    times = np.arange(int(48_000 * seconds)) / 48_000
    wave = (np.sin(2 * np.pi * 440 * times) * 12_000).astype(np.int16)[None, :]
    whole = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    whole.rate = 48_000
    context = stream.codec_context
    fitting = av.AudioResampler(context.format, context.layout, 48_000)
    queue = av.AudioFifo()
    for part in [*fitting.resample(whole), *fitting.resample(None)]:
        part.pts = None
        queue.write(part)
    while part := queue.read(context.frame_size or 1024):
        out.mux(stream.encode(part))
    if part := queue.read(0, partial=True):
        out.mux(stream.encode(part))
    out.mux(stream.encode())


WHOLE: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: image("JPEG", exif=_exif(), comment=b"made here"),
    "progressive_jpeg": lambda: image("JPEG", progressive=True),
    "png": lambda: image("PNG", picture(mode="RGBA")),
    "gif": lambda: animated("GIF"),
    "webp": lambda: image("WEBP"),
    "animated_webp": lambda: animated("WEBP"),
    "apng": lambda: animated("PNG"),
    "mp4": lambda: film("mp4", "libx264", "aac"),
    "hevc_mp4": lambda: film("mp4", "libx265", "aac", options={"x265-params": "log-level=none"}),
    "mov": lambda: film("mov", "mjpeg", "pcm_s16le"),
    "matroska": lambda: film("matroska", "libx264", "flac"),
    "vp8_webm": lambda: film("webm", "libvpx", "libopus"),
    "vp9_webm": lambda: film("webm", "libvpx-vp9", "libopus"),
    "av1_webm": lambda: _in_ordinary_time(lambda: film("webm", "libsvtav1", "libopus")),
    "mp3": lambda: film("mp3", sound="libmp3lame"),
    "wav": lambda: film("wav", sound="pcm_s16le"),
    "ogg": lambda: film("ogg", sound="libopus"),
    "flac": lambda: film("flac", sound="flac"),
    "m4a": lambda: film("ipod", sound="aac"),
}


def _in_ordinary_time(make: Callable[[], bytes]) -> bytes:
    """What `make` answers, in a child: the AV1 encoder, run as root, gives its process the highest real-time priority
    and leaves it so; whatever that process started later would starve everything else on the machine."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as out:
                out.write(make())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as made:
        content = made.read()
    os.waitpid(child, 0)
    return content


@lru_cache(maxsize=len(WHOLE))
def whole(name: str) -> bytes:
    """A sound file of this kind."""
    return WHOLE[name]()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010E] = "a drawing"
    exif[0x0131] = "samples"
    exif.get_ifd(GPS).update({1: "N", 2: (31.0, 13.0, 49.0), 3: "E", 4: (121.0, 28.0, 10.0)})
    return exif


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG with its right checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A grey PNG of one colour with further chunks before its pixels. The pixels are compressed row by row."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(b"\x00" * (width + 1)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", rows), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def apng(frames: int, width: int, height: int) -> bytes:
    """An animated PNG of so many frames, each one colour."""
    rows = zlib.compress((b"\x00" * (width + 1)) * height, 9)
    control = lambda number: png_chunk(  # noqa: E731
        b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, 0, 1, 50, 0, 0)
    )
    parts = [
        png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        png_chunk(b"acTL", struct.pack(">II", frames, 0)),
        control(0),
        png_chunk(b"IDAT", rows),
    ]
    for number in range(1, frames):
        parts += [control(2 * number - 1), png_chunk(b"fdAT", struct.pack(">I", 2 * number) + rows)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + png_chunk(b"IEND", b"")


def gif(frames: int, width: int, height: int) -> bytes:
    """A GIF whose second frame comes again and again."""
    shown = [Image.new("RGB", (width, height), colour) for colour in ("red", "blue")]
    two = image("GIF", shown[0], save_all=True, append_images=shown[1:], duration=50)
    at = two.index(b"\x21\xf9", two.index(b"\x21\xf9") + 1)
    return two[:at] + two[at:-1] * (frames - 1) + b";"


def webp(frames: int, width: int, height: int) -> bytes:
    """A WebP whose second frame comes again and again."""
    two = image("WEBP", picture(width, height), save_all=True, append_images=[picture(width, height).rotate(90)])
    at = two.index(b"ANMF", two.index(b"ANMF") + 4)
    body = two[8:at] + two[at:] * (frames - 1)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    """A JPEG with one more segment at its beginning."""
    return jpeg[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data + jpeg[2:]


def with_xmp(jpeg: bytes, properties: str) -> bytes:
    """A JPEG with an XMP packet."""
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/" {properties}/></rdf:RDF></x:xmpmeta>'
    )
    return with_segment(jpeg, 0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + packet.encode())


def box_times(mp4: bytes, kinds: Iterable[bytes], duration: int) -> bytes:
    """An MP4 whose headers of these kinds (mvhd, mdhd, tkhd; version 0) say another duration."""
    data = bytearray(mp4)
    for kind in kinds:
        offset = {b"mvhd": 4 + 16, b"mdhd": 4 + 16, b"tkhd": 4 + 20}[kind]
        at = data.find(kind)
        while at >= 0:
            data[at + offset : at + offset + 4] = struct.pack(">I", duration)
            at = data.find(kind, at + 4)
    return bytes(data)
