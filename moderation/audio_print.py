"""A fingerprint of sound that survives encoding, loudness, noise and cuts (Haitsma and Kalker, "A highly robust audio
fingerprinting system", 2002), of mono sound of 16 bits at 16 kHz, as the box hands it out.

Each 32 ms, a window of 384 ms gives 32 bits: for 33 bands between 300 and 3,000 Hz, spaced evenly to the ear, bit m
says whether the step in energy from band m to band m + 1 grew since the window before. Windows with next to nothing to be
heard in them give 0, which counts as nothing.

Two sounds are compared over stretches of 4 s (STRETCH prints): the share of bits that differ is 0 for the same samples,
about 0.5 for different sounds, and up to 0.3 for copies: below 0.1 after MP3 at 64 kbit/s or AAC at 48, at any volume,
cut anywhere; 0.2 with noise as loud as the sound. Speed or pitch changed by more than about 2 % isn't found, nor sound
beneath other, louder sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core import mediabox

RATE = 16_000
HOP = 512  # samples, 32 ms
WINDOW = 6_144  # samples, 384 ms
STRETCH = 125  # prints, 4 s
SAME = 0.30  # share of bits that may differ over a stretch (option `max_error`)
SHORTEST = 63  # prints that something must be heard in (2 s): with less there is nothing to tell it by
LONGEST = 30 * 60  # seconds of sound that are listened to

_BANDS = 33
_LOW, _HIGH = 300.0, 3000.0
_SILENCE = 1e-6  # of the loudest window's energy (60 dB below it): next to nothing
_FLOOR = 1e-9  # of full scale (90 dB below it): nothing, even where everything is as soft
_AT_ONCE = 512  # windows transformed together: 24 MB

Prints = npt.NDArray[np.uint32]


class NotASound(ValueError):
    """There is no sound to take a fingerprint of; the text says why, for people."""


def of_pcm(sound: bytes, *, offset: int = 0) -> Prints:
    """The prints of mono sound, signed 16 bits little-endian at 16 kHz, from sample `offset` on; none where it is shorter
    than a window."""
    samples = np.frombuffer(sound, dtype="<i2", count=min(len(sound) // 2, LONGEST * RATE))[offset:]
    if len(samples) < WINDOW + HOP:
        return np.zeros(0, dtype=np.uint32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    energy = np.empty((len(windows), _BANDS), dtype=np.float32)
    for at in range(0, len(windows), _AT_ONCE):
        some = windows[at : at + _AT_ONCE].astype(np.float32)
        some *= _HANN / 32768.0
        spectrum = np.fft.rfft(some, axis=1)[:, : _EDGES[-1]]
        power = spectrum.real**2 + spectrum.imag**2
        energy[at : at + len(some)] = np.add.reduceat(power, _EDGES[:-1], axis=1)
    steps = np.diff(energy, axis=1)
    grew = (steps[1:] - steps[:-1]) < 0  # the step down from band to band grew
    prints = np.packbits(grew, axis=1).view(">u4").reshape(-1).astype(np.uint32)
    loud = energy[1:].sum(axis=1)
    prints[loud <= max(_SILENCE * float(loud.max()), _FLOOR * WINDOW**2)] = 0
    return prints


def heard(prints: Prints) -> int:
    """In how many of the prints something is to be heard."""
    return int(np.count_nonzero(prints))


def of_file(path: Path | str) -> dict[str, list[int]]:
    """What an entry of the kind `audio` keeps in its `data`: the prints of a file's sound, opened in the box. Raises
    NotASound where there is none, or less than two seconds of it, and what the box raises."""
    return of_boxed(mediabox.open_up(path, frames=1))


def of_boxed(boxed: mediabox.Boxed) -> dict[str, list[int]]:
    """The same for a file that is open already."""
    prints = of_pcm(boxed.sound or b"")
    if heard(prints) < SHORTEST:
        raise NotASound("less than two seconds of sound")
    return {"prints": prints.tolist()}


def parse(values: Sequence[int]) -> Prints:
    """The prints of an entry's data. Raises ValueError for what is none."""
    prints = np.array(values, dtype=np.int64)
    if prints.ndim != 1 or not len(prints) or prints.min() < 0 or prints.max() > 0xFFFFFFFF:
        raise ValueError("prints are numbers of 32 bits")
    return prints.astype(np.uint32)


def _edges() -> npt.NDArray[np.intp]:
    """Where the bands begin and end, in steps of the spectrum."""
    at = np.round(np.geomspace(_LOW, _HIGH, _BANDS + 1) * WINDOW / RATE).astype(np.intp)
    return np.asarray(at)


_EDGES = _edges()
_HANN = np.hanning(WINDOW).astype(np.float32)
