"""Video and sound, by PyAV with the one demuxer that the first bytes name and the codecs of the allow-list (M3, M4, M8).
Runs in the box.

A file is walked through once, packet by packet: what it says of its length, its rate and its end is not believed. The
sound is decoded on the way; afterwards frames are sought out evenly over the whole.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Iterator
from typing import IO, Any

import av
import av.audio.stream
import av.filter
import av.subtitles.stream
import av.video.stream
from av.error import FFmpegError
from av.stream import Disposition

from core.mediabox import images
from core.mediabox.boxed import Frame, Limits, Refused, Undecodable
from core.mediabox.formats import CODECS, DECODERS, Format, recognise

MOST_PACKETS = 2_000_000
MOST_STREAMS = 64  # beyond this the demuxer itself gives up
DECODED_PIXELS = 6_000_000_000  # of the frames on the way to those wanted; beyond it key frames are taken instead
RATE = 16_000
LONGEST_SOUND = 1800 * RATE * 2
MOST_SOUND_ERRORS = 200
_LONGEST_VALUE = 4096


def decode(opened: IO[bytes], known: Format, *, frames: int, sound: bool, limits: Limits, cpu: float) -> dict[str, Any]:
    """Size, length, frames, sound, metadata, codecs and flags. `cpu`: processor seconds after which no more frames are
    sought. Raises Refused and Undecodable."""
    try:
        container = av.open(
            opened,
            "r",
            format=known.demuxer,
            container_options={
                "format_whitelist": known.whitelist,
                "codec_whitelist": DECODERS,
                "protocol_whitelist": "none",
                "max_streams": str(MOST_STREAMS),
            },
            metadata_errors="replace",
        )
    except (FFmpegError, ValueError, UnicodeError) as exc:
        raise Undecodable(f"broken {known.name}: {type(exc).__name__}") from exc
    with container:
        try:
            return _Film(container, known, limits, cpu).decoded(frames, sound)
        except FFmpegError as exc:
            raise Undecodable(f"broken {known.name}: {type(exc).__name__}") from exc


class _Film:
    def __init__(self, container: Any, known: Format, limits: Limits, cpu: float):
        self.container = container
        self.known = known
        self.limits = limits
        self.until = time.process_time() + cpu
        self.flags: list[str] = []
        self.codecs: dict[str, str] = {}
        self.videos: list[Any] = []
        self.sounds: list[Any] = []
        self.covers: list[Any] = []
        self.cover_packet: bytes | None = None
        self.times: list[tuple[int, bool]] = []  # of the packets of the first video: when, key frame or not
        self.packets: dict[int, int] = {}
        self.first: float | None = None
        self.last = 0.0
        self._sort_out()

    def decoded(self, wanted: int, sound: bool) -> dict[str, Any]:
        said = (self.container.duration or 0) / 1_000_000
        if said > self.limits.seconds:
            raise Refused(f"longer than {self.limits.seconds / 60:.0f} minutes")
        ear = _Ear(self.flags) if sound and self.sounds else None
        self._walk(ear)
        seconds = max(0.0, self.last - (self.first or 0.0))
        self._check_walked(seconds, said)
        heard = ear.finish() if ear else None
        if ear and not heard:
            self.flags.append("sound_broken")
        taken = self._frames(wanted, seconds) if self.videos else []
        if self.videos and not taken:
            raise Undecodable(f"no frame of the {self.known.name} could be decoded")
        size = (0, 0)
        if taken:
            stream = self.videos[0]
            size = (stream.codec_context.width, stream.codec_context.height)
            if (taken[0].width > taken[0].height) != (size[0] > size[1]) and taken[0].width != taken[0].height:
                size = (size[1], size[0])  # turned upright
        elif not heard and sound:
            raise Undecodable(f"no sound of the {self.known.name} could be decoded")
        cover = self._cover()
        if cover and not taken:
            size = (round(cover[0].width / cover[0].scale), round(cover[0].height / cover[0].scale))
        return {
            "kind": "video" if self.videos else "audio",
            "width": size[0],
            "height": size[1],
            "seconds": round(seconds, 3),
            "frames": taken + cover,
            "sound": heard,
            "metadata": {"tags": self._tags()},
            "flags": self.flags,
            "codecs": self.codecs,
            "count": len(self.times),
        }

    def _sort_out(self) -> None:
        streams = list(self.container.streams)
        if len(streams) > self.limits.streams:
            raise Refused(f"more than {self.limits.streams} streams")
        for stream in streams:
            if stream.type == "video" and stream.disposition & Disposition.attached_pic:
                self.covers.append(stream)
            elif stream.type in ("video", "audio"):
                self._admit(stream)
            elif stream.type == "data":
                self.flags.append("data_stream")
            else:
                self.flags.append("subtitles")
        if not (self.videos or self.sounds):
            raise Refused("neither picture nor sound")
        if len(self.videos) > 1:
            self.flags.append("several_videos")
        if len(self.sounds) > 1:
            self.flags.append("several_sounds")

    def _admit(self, stream: Any) -> None:
        context = stream.codec_context
        name = context.codec.canonical_name if context is not None else "unknown"
        if name not in CODECS:
            raise Refused(f"codec {name}")
        if stream.duration and stream.time_base and stream.duration * stream.time_base > self.limits.seconds:
            raise Refused(f"longer than {self.limits.seconds / 60:.0f} minutes")
        if stream.type == "video":
            if context.width * context.height > self.limits.pixels:
                raise Refused(f"more than {self.limits.pixels // 1_000_000} million pixels")
            self.videos.append(stream)
        else:
            self.sounds.append(stream)
        context.thread_count = 1
        context.thread_type = "NONE"
        self.codecs.setdefault(stream.type, name)

    def _walk(self, ear: _Ear | None) -> None:
        number = 0
        for packet in self.container.demux(*self.videos, *self.sounds, *self.covers):
            number += 1
            if number > MOST_PACKETS:
                raise Refused("too many packets")
            stream = packet.stream
            if packet.size == 0 and packet.dts is None:
                continue
            self.packets[stream.index] = self.packets.get(stream.index, 0) + 1
            if self.covers and stream in self.covers:
                if self.cover_packet is None:
                    self.cover_packet = bytes(packet)
                continue
            if packet.is_corrupt:
                raise Undecodable("ends early")
            self._note_time(packet, stream)
            if ear and stream is self.sounds[0]:
                ear.hear(packet)

    def _note_time(self, packet: Any, stream: Any) -> None:
        when = packet.pts if packet.pts is not None else packet.dts
        if when is None or not stream.time_base:
            return
        if self.videos and stream is self.videos[0]:
            self.times.append((when, packet.is_keyframe))
        begins = float(when * stream.time_base)
        ends = float((when + max(0, packet.duration or 0)) * stream.time_base)
        self.first = begins if self.first is None else min(self.first, begins)
        self.last = max(self.last, ends)
        if ends - self.first > self.limits.seconds + 1:
            raise Refused(f"longer than {self.limits.seconds / 60:.0f} minutes")

    def _check_walked(self, seconds: float, said: float) -> None:
        if not all(self.packets.get(stream.index) for stream in (*self.videos, *self.sounds)):
            raise Undecodable("ends early")
        # Of an MP3 or an Ogg without an index the length is guessed, so nothing follows from it.
        if self.known.name not in ("mp3", "ogg") and said - seconds > max(1.0, said * 0.02):
            self.flags.append("truncated")
        for stream in self.videos:
            if self.packets[stream.index] > self.limits.rate * max(seconds, 1.0):
                raise Refused(f"more than {self.limits.rate:.0f} frames a second")

    def _frames(self, wanted: int, seconds: float) -> list[Frame]:
        wanted = max(1, min(wanted, images.MOST_FRAMES, len(self.times) or 1))
        stream = self.videos[0]
        targets = self._targets(wanted)
        keys = sorted(when for when, key in self.times if key) or [targets[0]]
        taken: list[Frame] = []
        broken = 0
        reading: Iterator[Any] = iter(())
        place: int | None = None  # the time of the frame that was decoded last
        frame = None
        for target in targets:
            if time.process_time() > self.until:
                self.flags.append("more_frames_than_looked_at")
                break
            key = keys[max(0, bisect.bisect_right(keys, target) - 1)]
            try:
                if place is None or place < key or place > target:
                    self.container.seek(key, stream=stream, backward=True)
                    stream.codec_context.flush_buffers()
                    reading = self._decoding(stream)
                    frame = None
                while frame is None or frame.pts is None or frame.pts < target:
                    following = next(reading, None)
                    if following is None:
                        break
                    frame = following
                    place = frame.pts
                    if time.process_time() > self.until:
                        break
            except FFmpegError:
                broken += 1
                place = None
                continue
            if frame is None:
                broken += 1
                place = None
                continue
            broken += bool(frame.is_corrupt)
            taken.append(self._frame(frame, stream))
        if broken:
            self.flags.append("frames_broken")
        return taken

    def _decoding(self, stream: Any) -> Iterator[Any]:
        for packet in self.container.demux(stream):
            yield from packet.decode()

    def _targets(self, wanted: int) -> list[int]:
        """The times of the frames to look at: in the middle of equal parts; at the nearest key frame in each part where
        decoding all on the way would cost too much."""
        times = sorted(when for when, _key in self.times)
        low, high = times[0], times[-1]
        exact = sorted(
            {times[min(len(times) - 1, int((2 * i + 1) * len(times) / (2 * wanted)))] for i in range(wanted)}
        )
        keys = sorted(when for when, key in self.times if key)
        if not keys:
            return exact
        positions = {when: number for number, when in enumerate(times)}
        on_the_way, before = 0, 0
        for target in exact:
            key = keys[max(0, bisect.bisect_right(keys, target) - 1)]
            on_the_way += positions[target] - max(before, positions[key])
            before = positions[target]
        context = self.videos[0].codec_context
        if on_the_way * context.width * context.height <= DECODED_PIXELS:
            return exact
        half = (high - low) / (2 * wanted)
        chosen = set()
        for target in exact:
            at = bisect.bisect_left(keys, target)
            nearest = min(keys[max(0, at - 1) : at + 1], key=lambda key: abs(key - target))
            chosen.add(nearest if abs(nearest - target) <= half else target)
        return sorted(chosen)

    def _frame(self, frame: Any, stream: Any) -> Frame:
        if frame.width * frame.height > self.limits.pixels:
            raise Refused(f"more than {self.limits.pixels // 1_000_000} million pixels")
        scale = min(1.0, images.LARGEST_MOVING / max(frame.width, frame.height))
        width = max(images.SMALLEST, round(frame.width * scale))
        height = max(images.SMALLEST, round(frame.height * scale))
        if min(round(frame.width * scale), round(frame.height * scale)) < images.SMALLEST:
            self.flags.append("odd_shape")
        small = frame.reformat(width=width, height=height, format="rgb24", threads=1)
        plane = small.planes[0]
        rgb, width, height = images.raw_frame(bytes(plane), width, height, plane.line_size, round(frame.rotation))
        begins = self.first or 0.0
        seconds = float((frame.pts or 0) * stream.time_base) - begins
        return Frame(round(max(0.0, seconds), 3), width, height, rgb, scale)

    def _cover(self) -> list[Frame]:
        if self.cover_packet is None:
            return []
        self.flags.append("cover")
        known = recognise(self.cover_packet)
        try:
            if isinstance(known, str) or not known.pillow:
                raise Undecodable("cover")
            found = images.decode(self.cover_packet, known, frames=1, limits=self.limits)
        except (Refused, Undecodable):
            self.flags.append("cover_not_decodable")
            return []
        self.flags += [flag for flag in found["flags"] if flag in ("trailing_data", "second_magic", "truncated")]
        frames: list[Frame] = found["frames"]
        return frames

    def _tags(self) -> dict[str, str]:
        tags: dict[str, str] = {}
        for source in (self.container.metadata, *(stream.metadata for stream in self.container.streams)):
            for name, value in list(source.items())[:100]:
                if "location" in name.lower() or "gps" in name.lower():
                    self.flags.append("gps")
                else:
                    tags.setdefault(str(name)[:64], str(value)[:_LONGEST_VALUE])
        return tags


class _Ear:
    """Sound as mono s16le at 16 kHz, in bounded memory."""

    def __init__(self, flags: list[str]):
        self.flags = flags
        self.parts: list[bytes] = []
        self.size = 0
        self.errors = 0
        self.graph: Any = None
        self.shape: tuple[Any, ...] = ()

    def hear(self, packet: Any) -> None:
        """Decode a packet of the sound track."""
        if self.size >= LONGEST_SOUND or self.errors > MOST_SOUND_ERRORS:
            return
        try:
            for frame in packet.decode():
                self._take(frame)
        except FFmpegError:
            self.errors += 1

    def finish(self) -> bytes | None:
        """All that was heard; None if nothing."""
        try:
            self._flush()
        except FFmpegError:
            self.errors += 1
        # An encoder's first frames, cut out of a longer sound, may not decode; more than that is damage.
        if self.errors > 2:
            self.flags.append("sound_broken")
        if self.size >= LONGEST_SOUND:
            self.flags.append("sound_cut")
        return b"".join(self.parts)[:LONGEST_SOUND] or None

    def _take(self, frame: Any) -> None:
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self.shape:
            self._flush()
            self.shape = shape
            self.graph = self._new_graph(frame)
        frame.pts = None
        self.graph.push(frame)
        self._pull()

    def _new_graph(self, frame: Any) -> Any:
        graph = av.filter.Graph()
        graph.threads = 1  # the box has no second thread to give
        source = graph.add(
            "abuffer",
            sample_rate=str(frame.sample_rate),
            sample_fmt=frame.format.name,
            channel_layout=frame.layout.name,
            time_base=f"1/{frame.sample_rate}",
        )
        target = graph.add("aformat", sample_rates=str(RATE), sample_fmts="s16", channel_layouts="mono")
        sink = graph.add("abuffersink")
        source.link_to(target)
        target.link_to(sink)
        graph.configure()
        return graph

    def _flush(self) -> None:
        if self.graph is not None:
            self.graph.push(None)
            self._pull()
            self.graph = None

    def _pull(self) -> None:
        while self.size < LONGEST_SOUND:
            try:
                frame = self.graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            part = bytes(frame.planes[0])[: frame.samples * 2]
            self.parts.append(part)
            self.size += len(part)
