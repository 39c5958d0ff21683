"""PDQ: bit for bit the reference's hash, the same under what copies go through, different for different pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest

from moderation import pdq
from tests.moderation import pictures

# Number and size of a drawn picture with its hash and quality by Meta's C++ reference (pdqhash 0.2.8).
REFERENCE = [
    (1, 320, 240, "ffe51f8ee2f01281b1019861130ca2ed2d7ef7831cea464cca7c84dcb7b78c71"),
    (2, 1024, 768, "dadc9ff4a47aaca9fa125e4664ad2972682664b6d16d06b15b529ec93d114953"),
    (3, 64, 64, "4207ab9b424451fcafc0c5bada46bac737ecfa60ecf85e4671bda321173a0117"),
    (4, 97, 511, "f4216090c3e813eecc9529da9f212b7d0ffcfe9f295b0eed7a038893070e4a4b"),
    (5, 2000, 1500, "896ec91c1ee36ff133cc25487ff88d33c1c51eaf627cb14dcf825cb6402f4228"),
    (6, 40, 30, "24f81ef81a2d16392cf93b50c3dce7d6a1c781e4c1d6a7f45eac56ad662d0807"),
]


def plane(picture):
    return pdq.luma(picture.tobytes(), picture.shape[1], picture.shape[0])


def hash_of(picture):
    return pdq.of_plane(plane(picture))[0]


@pytest.mark.parametrize(("number", "width", "height", "expected"), REFERENCE)
def test_the_hash_is_the_references(number, width, height, expected):
    code, quality = pdq.of_rgb(pictures.drawn(number, width, height).tobytes(), width, height)
    # On another processor a frequency that lies on the median may fall to its other side.
    assert pdq.distance(code, pdq.parse(expected)) <= 2
    assert quality == 100


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("mirrored", lambda p: p[:, ::-1]),
        ("upside down", lambda p: p[::-1]),
        ("turned by 180°", lambda p: p[::-1, ::-1]),
        ("transposed", lambda p: p.transpose(1, 0, 2)),
        ("turned by 90°", lambda p: np.rot90(p, -1)),
        ("turned by 270°", lambda p: np.rot90(p)),
        ("transposed across", lambda p: np.rot90(p, 2).transpose(1, 0, 2)),
    ],
)
def test_a_turned_pictures_hash_is_the_one_of_that_turn(name, turn):
    picture = pictures.drawn(7, 640, 480)
    turned, _quality = pdq.turned(plane(picture))
    assert pdq.distance(hash_of(np.ascontiguousarray(turn(picture))), turned[name]) <= 1
    assert pdq.distance(hash_of(picture), turned[name]) > 60


def edited(picture, how):
    from PIL import Image, ImageEnhance, ImageFilter

    image = Image.fromarray(picture)
    if how == "jpeg 20":
        image = Image.open(io.BytesIO(pictures.jpeg(picture, 20)))
    elif how == "half size":
        image = image.resize((image.width // 2, image.height // 2))
    elif how == "squeezed":
        image = image.resize((256, 256))
    elif how == "brighter":
        image = ImageEnhance.Brightness(image).enhance(1.3)
    elif how == "blurred":
        image = image.filter(ImageFilter.GaussianBlur(2))
    elif how == "grey":
        image = image.convert("L").convert("RGB")
    return np.asarray(image)


@pytest.mark.parametrize("how", ["jpeg 20", "half size", "squeezed", "brighter", "blurred", "grey"])
def test_an_edited_copy_stays_within_31_bits(how):
    for number in range(10, 15):
        picture = pictures.drawn(number, 640, 480)
        assert pdq.distance(hash_of(picture), hash_of(edited(picture, how))) <= pdq.SAME


def test_different_pictures_are_far_apart():
    codes = [hash_of(pictures.drawn(number)) for number in range(100, 140)]
    apart = [pdq.distance(a, b) for at, a in enumerate(codes) for b in codes[:at]]
    assert min(apart) > 2 * pdq.SAME


def test_a_plain_picture_says_that_there_is_little_in_it():
    grey = np.full((200, 300, 3), 128, dtype=np.uint8)
    slope = np.repeat(np.linspace(0, 255, 300).astype(np.uint8)[None, :, None], 200, axis=0).repeat(3, axis=2)
    assert pdq.of_plane(plane(grey))[1] == 0
    assert pdq.of_plane(plane(slope))[1] < pdq.GOOD


@pytest.mark.parametrize("bar", [0, 255])
def test_bars_at_the_edges_are_cut_off_before_looking(bar):
    picture = pictures.drawn(3, 640, 360)
    boxed = np.full((640, 700, 3), bar, dtype=np.uint8)
    boxed[140:500, 30:670] = picture
    forms, quality = pdq.forms(plane(boxed))
    assert pdq.distance(dict(forms)["without bars"], hash_of(picture)) <= 10
    assert len(forms) == 16
    assert quality == 100


def test_a_picture_without_bars_or_with_nothing_but_bars_is_left_whole():
    whole = plane(pictures.drawn(3))
    assert pdq.trimmed(whole) is whole
    black = np.zeros((300, 300), dtype=np.float32)
    assert pdq.trimmed(black) is black
    black[140:160, 140:160] = 255  # what is left would be too little to go by
    assert pdq.trimmed(black) is black


def test_what_is_no_picture_is_refused():
    with pytest.raises(pdq.NotAPicture):
        pdq.of_rgb(b"\0" * 10, 2, 2)
    with pytest.raises(pdq.NotAPicture):
        pdq.of_rgb(bytes(4 * 4 * 3), 4, 4)
    for value in ("", "00" * 31, "zz" * 32, "0x" + "00" * 31 + "0"):
        with pytest.raises(ValueError):
            pdq.parse(value)
