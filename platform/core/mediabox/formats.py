"""What may be opened, told from the first bytes alone and never from a name (M4, M7, M8, M12).

Everything here reads plain bytes with plain Python and imports nothing: both sides of the box use it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEAD = 64 * 1024  # bytes that `recognise` wants to see
TAIL = 128 * 1024  # a ZIP's directory of contents ends in its last 64 KiB, so look a little further


class Format(NamedTuple):
    """A format on the allow-list: who opens it (`pillow` is the one plugin, `demuxer` the one demuxer that may)."""

    name: str
    media_type: str
    pillow: str = ""
    demuxer: str = ""
    whitelist: str = ""  # the demuxer's whole name, as FFmpeg's format_whitelist wants it


JPEG = Format("jpeg", "image/jpeg", pillow="JPEG")
PNG = Format("png", "image/png", pillow="PNG")
GIF = Format("gif", "image/gif", pillow="GIF")
WEBP = Format("webp", "image/webp", pillow="WEBP")
MP4 = Format("mp4", "video/mp4", demuxer="mp4", whitelist="mov,mp4,m4a,3gp,3g2,mj2")
M4A = Format("m4a", "audio/mp4", demuxer="m4a", whitelist="mov,mp4,m4a,3gp,3g2,mj2")
MOV = Format("mov", "video/quicktime", demuxer="mov", whitelist="mov,mp4,m4a,3gp,3g2,mj2")
MATROSKA = Format("matroska", "video/x-matroska", demuxer="matroska", whitelist="matroska,webm")
WEBM = Format("webm", "video/webm", demuxer="webm", whitelist="matroska,webm")
MP3 = Format("mp3", "audio/mpeg", demuxer="mp3", whitelist="mp3")
WAV = Format("wav", "audio/wav", demuxer="wav", whitelist="wav")
OGG = Format("ogg", "audio/ogg", demuxer="ogg", whitelist="ogg")
FLAC = Format("flac", "audio/flac", demuxer="flac", whitelist="flac")
FORMATS = {
    one.name: one for one in (JPEG, PNG, GIF, WEBP, MP4, M4A, MOV, MATROSKA, WEBM, MP3, WAV, OGG, FLAC)
}  # fmt: skip

# Codecs by the name of what is coded, and the decoders that may be asked for it. FFmpeg's own list of decoders is long
# and is where its holes are found (M8): a stream of any other codec is refused before a decoder is opened.
CODECS = {
    "h264": "h264", "hevc": "hevc", "vp8": "vp8", "vp9": "vp9", "av1": "libdav1d", "mjpeg": "mjpeg",
    "aac": "aac", "mp3": "mp3,mp3float", "opus": "opus", "vorbis": "vorbis", "flac": "flac",
    **{name: name for name in (
        "pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le",
        "pcm_f32be", "pcm_f64le", "pcm_alaw", "pcm_mulaw",
    )},
}  # fmt: skip
DECODERS = ",".join(CODECS.values())

FLAGS = {
    "animated": "moves",
    "alpha": "is transparent in places",
    "cover": "carries a cover picture",
    "cover_not_decodable": "its cover picture could not be decoded",
    "credentials_unreadable": "its content credentials could not be read",
    "data_stream": "carries data beside picture and sound",
    "frames_broken": "some of its frames could not be decoded",
    "gps": "says where it was made",
    "metadata_cut": "its metadata was too much to keep",
    "more_frames_than_looked_at": "not all parts of it could be looked at",
    "odd_shape": "was stretched to be looked at",
    "remote_manifest_not_fetched": "names content credentials elsewhere, which were not fetched",
    "second_magic": "is a file of another kind as well",
    "several_sounds": "has more than one sound track",
    "several_videos": "has more than one video track",
    "sound_broken": "its sound could not be decoded to the end",
    "sound_cut": "its sound was not read to the end",
    "subtitles": "carries subtitles or attached files",
    "trailing_data": "something follows after its end",
    "truncated": "ends early",
    "xmp_refused": "its XMP was not read",
}
# With any of these something in the file was not looked at: machines can't call it clean, a person decides.
NOT_ALL_SEEN = frozenset({
    "cover_not_decodable", "frames_broken", "more_frames_than_looked_at", "second_magic", "several_sounds",
    "several_videos", "sound_broken", "sound_cut", "subtitles", "trailing_data", "truncated",
})  # fmt: skip

_EBML = b"\x1aE\xdf\xa3"
_PICTURE_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"}
_VIDEO_BRANDS = {
    b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"iso7", b"iso8", b"iso9", b"mp41", b"mp42", b"avc1",
    b"M4V ", b"M4VH", b"M4VP", b"dash", b"mp71", b"3gp4", b"3gp5", b"3gp6", b"3gp7", b"3g2a", b"MSNV", b"f4v ",
    b"hvc1", b"av01", b"XAVC",
}  # fmt: skip
# Named when turned away, so that the record says what came; what isn't here is just "unknown".
_OTHERS = (
    ("svg", re.compile(rb"<svg[\s>]|<!doctype\s+svg", re.I)),
    ("html", re.compile(rb"<(?:!doctype\s+html|html|head|body|script|iframe)\b", re.I)),
    ("m3u8", re.compile(rb"\A\s*#EXTM3U")),
    ("ffconcat", re.compile(rb"\A\s*(?:ffconcat\s+version|file\s+['\"/a-z])", re.I)),
    ("mpd", re.compile(rb"<MPD[\s>]")),
    ("sdp", re.compile(rb"\Av=0\r?\n")),
    ("xml", re.compile(rb"\A\s*<\?xml")),
)
_OTHER_MAGIC = (
    (b"II*\x00", "tiff"), (b"MM\x00*", "tiff"), (b"II+\x00", "tiff"), (b"MM\x00+", "tiff"), (b"BM", "bmp"),
    (b"8BPS", "psd"), (b"SIMPLE  =", "fits"), (b"%!PS", "eps"), (b"\xc5\xd0\xd3\xc6", "eps"), (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"), (b"\x00\x00\x01\x00", "ico"), (b"\xff\x0a", "jxl"), (b"\x00\x00\x00\x0cJXL ", "jxl"),
    (b"\x00\x00\x00\x0cjP  ", "jpeg2000"), (b"\xff\x4f\xff\x51", "jpeg2000"), (b"FLV\x01", "flv"),
    (b"0&\xb2u\x8ef\xcf\x11", "asf"), (b"G@", "mpegts"), (b"\x00\x00\x01\xba", "mpegps"), (b"gimp xcf", "xcf"),
    (b"\x7fELF", "elf"), (b"MZ", "exe"), (b"{\\rtf", "rtf"), (b".snd", "au"), (b"FORM", "aiff"), (b"#!AMR", "amr"),
)  # fmt: skip


def recognise(head: bytes) -> Format | str:
    """The format of a file that begins with `head` (its first 64 KiB, or all of it), or in one word why not."""
    if not head:
        return "empty"
    for magic, known in (
        (b"\xff\xd8\xff", JPEG), (b"\x89PNG\r\n\x1a\n", PNG), (b"GIF87a", GIF), (b"GIF89a", GIF), (b"fLaC", FLAC),
        (b"OggS\x00", OGG),
    ):  # fmt: skip
        if head.startswith(magic):
            return known
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return WAV
    if head[:4] == _EBML:
        return _matroska(head)
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return MOV
    if head[:3] == b"ID3" or _mp3_frames(head):
        return MP3
    return _turned_away(head)


def _matroska(head: bytes) -> Format | str:
    if b"webm" in head[:64]:
        return WEBM
    return MATROSKA if b"matroska" in head[:64] else "ebml"


def _by_brand(head: bytes) -> Format | str:
    size = int.from_bytes(head[:4])
    major = head[8:12]
    brands = {major, *(head[at : at + 4] for at in range(16, min(size, 256, len(head)), 4))}
    if major in _PICTURE_BRANDS:
        return "avif" if b"avif" in brands or b"avis" in brands else "heic"
    if major in (b"M4A ", b"M4B ", b"M4P "):
        return M4A
    if major == b"qt  ":
        return MOV
    return MP4 if brands & _VIDEO_BRANDS else "isobmff"


_BITRATES = {  # kbit/s of MPEG 1 and of MPEG 2
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _mp3_length(head: bytes, at: int) -> int:
    """How long the MPEG layer III frame at this place is; 0 if there is none."""
    if at + 4 > len(head) or head[at] != 0xFF or head[at + 1] & 0xE0 != 0xE0:
        return 0
    version, layer = (head[at + 1] >> 3) & 3, (head[at + 1] >> 1) & 3
    bitrate, rate = head[at + 2] >> 4, (head[at + 2] >> 2) & 3
    if version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return 0
    kbit = _BITRATES[3 if version == 3 else 2][bitrate]
    return (144 if version == 3 else 72) * kbit * 1000 // _RATES[version][rate] + ((head[at + 2] >> 1) & 1)


def _mp3_frames(head: bytes) -> bool:
    # One header is eleven set bits: too easily met. Three in a row are not met by chance.
    at = 0
    for _ in range(3):
        length = _mp3_length(head, at)
        if not length:
            return False
        at += length
    return True


def _turned_away(head: bytes) -> str:
    for magic, name in _OTHER_MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF":
        return "avi" if head[8:12] == b"AVI " else "riff"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n\x00")[:4096]
    for name, pattern in _OTHERS:
        if pattern.search(text):
            return name
    return "unknown"


# A polyglot is a picture to us and a script, an archive or a document to somebody else (M11). These are long enough not
# to stand in compressed data by chance.
_SECOND = re.compile(
    rb"<!doctype\s+html|<html[\s>]|<script[\s>]|<svg[\s>]|<iframe[\s>]|<\?php\s|%PDF-[12]\.\d|PK\x05\x06.{18}|"
    rb"\x7fELF[\x01\x02][\x01\x02]\x01|Rar!\x1a\x07|7z\xbc\xaf\x27\x1c|\xfd7zXZ\x00|This program cannot be run in DOS",
    re.I | re.S,
)
_SECOND_AT_THE_END = re.compile(rb"PK\x03\x04|\xff\xd8\xff[\xdb\xe0\xe1]|\x89PNG\r\n\x1a\n|GIF8[79]a|ftyp|MZ\x90\x00")


def has_second_magic(data: bytes | memoryview, *, after_the_end: bool = False) -> bool:
    """Whether a file of another kind begins, or a ZIP ends, in these bytes; `after_the_end`: they follow the end of the
    first file, where even a short mark is no chance."""
    return bool(_SECOND.search(data) or (after_the_end and _SECOND_AT_THE_END.search(data)))
