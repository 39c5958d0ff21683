"""XMP, read without trust: no document type, no entities, bounded size, depth and number (M13). Runs in the box."""

from __future__ import annotations

from xml.parsers import expat

MOST_BYTES = 1_000_000
MOST_DEPTH = 64
MOST_PROPERTIES = 200
LONGEST = 4096
_NAMES = {
    "http://purl.org/dc/elements/1.1/": "dc", "http://purl.org/dc/terms/": "dcterms",
    "http://ns.adobe.com/xap/1.0/": "xmp", "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://ns.adobe.com/tiff/1.0/": "tiff", "http://ns.adobe.com/exif/1.0/": "exif",
}  # fmt: skip
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


class _Refused(Exception):
    pass


def read(packet: bytes | str, flags: list[str]) -> dict[str, str]:
    """The properties by their names, e.g. {"dc:title": "…"}. A packet that declares a document type or an entity, or is
    too large or too deep, is not read: `xmp_refused` is added to `flags`."""
    data = packet.encode("utf-8", "replace") if isinstance(packet, str) else packet
    reader = _Reader()
    try:
        if len(data) > MOST_BYTES:
            raise _Refused
        reader.parse(data.strip(b"\x00 \r\n\t"))
    except (_Refused, expat.ExpatError, ValueError, UnicodeError):
        flags.append("xmp_refused")
        return {}
    if any(name.startswith("exif:GPS") for name in reader.found):
        flags.append("gps")
    return {name: value for name, value in reader.found.items() if not name.startswith("exif:GPS")}


class _Reader:
    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._path: list[str] = []
        self._text: list[str] = []

    def parse(self, data: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator="\n")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = _refuse
        parser.EntityDeclHandler = _refuse
        parser.ExternalEntityRefHandler = _refuse
        parser.Parse(data, True)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= MOST_DEPTH:
            raise _Refused
        self._path.append(tag)
        self._text.clear()
        if not tag.startswith("adobe:ns:meta"):
            for name, value in attributes.items():
                if not name.startswith((_RDF, "adobe:ns:meta", "http://www.w3.org/XML")):
                    self._note(name, value)

    def _end(self, tag: str) -> None:
        text = "".join(self._text).strip()
        self._text.clear()
        self._path.pop()
        if text:
            named = [one for one in (*self._path, tag) if not one.startswith((_RDF, "adobe:ns:meta"))]
            if named:
                self._note(named[-1], text)

    def _characters(self, text: str) -> None:
        if sum(map(len, self._text)) < LONGEST:
            self._text.append(text)

    def _note(self, name: str, value: str) -> None:
        if len(self.found) >= MOST_PROPERTIES:
            raise _Refused
        space, _line, local = name.rpartition("\n")
        short = f"{_NAMES[space]}:{local}" if space in _NAMES else f"{{{space}}}{local}" if space else local
        before = self.found.get(short)
        self.found[short] = (f"{before}, {value}" if before else value)[:LONGEST]


def _refuse(*_args: object) -> int:
    raise _Refused
