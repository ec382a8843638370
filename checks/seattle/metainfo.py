"""The signed list of an update site's files: `metainfo`, lines `<relative name> <SHA-1> <size>` and a signature line at its end.

Source: softwareupdater.py, writemetainfo.py and seattlelib's signeddata and rsa modules, and a captured metainfo. The signature line is
`!<e> <n>!<timestamp>!<expiration>!<sequence>!<destination>! <number> ...`; what is signed is everything before its last "!". Times there are
seconds since 1900; here they are seconds since 1970.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import NamedTuple

from checks.seattle.errors import Malformed, quoted
from checks.seattle.keys import PublicKey, parse_key

LARGEST = 4 << 20
LARGEST_SOURCE = 1 << 20
MOST_FILES = 50_000
SECONDS_1900_TO_1970 = 2_208_988_800
_LONGEST_NAME = 1000
_LONGEST_FIELD = 200
# Twice what Seattle's own update key has; a modulus and exponent of 8,192 bits take a second or two.
_MOST_KEY_BITS = 8192
_LONGEST_NUMBER = 4300
_TIME = re.compile(rb"-?\d{1,12}(?:\.\d{1,9})?")
_SHA1 = re.compile(rb"[0-9a-f]{40}")


class Entry(NamedTuple):
    """One file of the site: its name below the site's folder, SHA-1 in hex digits, and size in bytes."""

    name: str
    sha1: str
    size: int


class Metainfo(NamedTuple):
    """A parsed metainfo. `signed` and `expires` are seconds since 1970, None where the signer gave none; `sequence` and `destination` are ""
    there: writemetainfo.py never gives these two.
    """

    entries: tuple[Entry, ...]
    key: PublicKey
    signed: float | None
    expires: float | None
    sequence: str
    destination: str
    text: bytes
    """What is signed."""
    signature: tuple[int, ...]

    def is_signed(self) -> bool:
        """Whether the signature is right, by the key that the metainfo itself names: whose key that is, the caller has to know."""
        return verify(self.text, self.key, self.signature)


class Pinned(NamedTuple):
    """What an installed softwareupdater.py trusts: the public key, and the site it updates from ("" where that can't be read)."""

    key: PublicKey
    url: str


def parse(data: bytes) -> Metainfo:
    """Return the metainfo that `data` is; its signature is not verified. Raises Malformed."""
    if len(data) > LARGEST:
        raise Malformed(f"a metainfo of {len(data)} bytes, {LARGEST} at most are taken")
    start = data[:1000].lstrip()
    if not start:
        raise Malformed("an empty metainfo" if len(data) <= 1000 else f"no metainfo: {quoted(data)}")
    if start.startswith(b"<"):
        raise Malformed(f"a web page and no metainfo: {quoted(start)}")
    text, _, numbers = data.rpartition(b"!")
    files, *fields = text.rsplit(b"!", 5)
    if len(fields) != 5 or not (files.endswith(b"\n") or not files) or any(b"\n" in field for field in fields):
        raise Malformed(f"not signed, the last line is no signature; it begins {quoted(data)}")
    key, signed, expires, sequence, destination = fields
    entries = _entries(files)
    if not entries:
        raise Malformed("a metainfo that lists no file")
    return Metainfo(
        entries,
        _key(key),
        _time(signed, "timestamp"),
        _time(expires, "expiration"),
        _word(sequence, "sequence number"),
        _word(destination, "destination"),
        text,
        _numbers(numbers),
    )


def _entries(files: bytes) -> tuple[Entry, ...]:
    found: dict[str, Entry] = {}
    for number, line in enumerate(files.split(b"\n"), 1):
        # The updater looks at the first character, before blanks are taken away.
        if line[:1] in (b"#", b"!") or not line.strip():
            continue
        entry = _entry(line, number)
        if found.setdefault(entry.name, entry) != entry:
            raise Malformed(f"line {number} lists a file again, and otherwise: {quoted(line)}")
        if len(found) > MOST_FILES:
            raise Malformed(f"a metainfo of more than {MOST_FILES} files")
    return tuple(found.values())


def _entry(line: bytes, number: int) -> Entry:
    words = line.split()
    if len(words) > 3 and _SHA1.fullmatch(words[-2]) and words[-1].isdigit():
        raise Malformed(
            f"line {number} has a name with blanks, which no updater can read (rename that file): {quoted(line)}"
        )
    if len(words) != 3:
        raise Malformed(f"line {number} is not 'name SHA-1 size': {quoted(line)}")
    name, sha1, size = words
    if not _SHA1.fullmatch(sha1):
        raise Malformed(f"line {number} has no SHA-1 of 40 hex digits: {quoted(sha1)}")
    if not (size.isdigit() and len(size) < 16):
        raise Malformed(f"line {number} has no size in bytes: {quoted(size)}")
    return Entry(_name(name, number), sha1.decode("ascii"), int(size))


def _name(raw: bytes, number: int) -> str:
    """Return the name of a file below a folder: nothing that leads out of it, or that could harm a terminal."""
    name = raw.decode("utf-8", "surrogateescape")  # what is not UTF-8 is not printable then
    if not name.isprintable() or len(raw) > _LONGEST_NAME:
        raise Malformed(f"line {number} has a name no file should have: {quoted(raw)}")
    # What the path is taken for must be what is written: "a//b" or "./a" would be second names of one file.
    if "\\" in name or ".." in name.split("/") or name[0] == "/" or str(PurePosixPath(name)) != name or name == ".":
        raise Malformed(f"line {number} has a name outside the site's folder: {quoted(raw)}")
    return name


def _key(field: bytes) -> PublicKey:
    key = parse_key(field)
    if key.e >= key.n or not 16 < key.n.bit_length() <= _MOST_KEY_BITS:
        raise Malformed(f"signed with no key that can be used ({key.n.bit_length()} bits): {quoted(field)}")
    return key


def _time(field: bytes, what: str) -> float | None:
    if field == b"None":
        return None
    if not _TIME.fullmatch(field):
        raise Malformed(f"the signature's {what} is no time: {quoted(field)}")
    return float(field) - SECONDS_1900_TO_1970


def _word(field: bytes, what: str) -> str:
    if field == b"None":
        return ""
    if not (field and len(field) <= _LONGEST_FIELD and field.isascii() and field.decode("ascii").isprintable()):
        raise Malformed(f"the signature's {what} can't be read: {quoted(field)}")
    return field.decode("ascii")


def _numbers(field: bytes) -> tuple[int, ...]:
    words = field.split()
    if not (0 < len(words) <= 20 and all(word.isdigit() and len(word) <= _LONGEST_NUMBER for word in words)):
        raise Malformed(f"the signature is no number: {quoted(field.strip())}")
    return tuple(map(int, words))


def verify(text: bytes, key: PublicKey, signature: tuple[int, ...]) -> bool:
    """Whether `signature` is that of `text` by `key`: each number to the power e modulo n, without its first byte (1), gives a part of the SHA-1."""
    digest = hashlib.sha1(text, usedforsecurity=False).digest()
    # The signer cuts the digest into parts of this size: one part with any key in use.
    part = (key.n.bit_length() - 1) // 8 - 1
    if part < 1 or len(signature) != -(-len(digest) // part):
        return False
    signed = b""
    for number in signature:
        if number >= key.n:
            return False
        power = pow(number, key.e, key.n)
        raw = power.to_bytes((power.bit_length() + 7) // 8, "big")
        if raw[:1] != b"\1":
            return False
        signed += raw[1:]
    return signed == digest


def parse_pinned(source: bytes) -> Pinned:
    """Return what a softwareupdater.py trusts, as its text `source` says. Raises Malformed."""
    found = re.findall(rb"^softwareupdatepublickey[ \t]*=[ \t]*\{([^{}\n]{1,9000})\}", source, re.MULTILINE)
    keys = {_pinned_key(text) for text in found}
    if len(keys) != 1:
        raise Malformed("no line softwareupdatepublickey = {'e': ..., 'n': ...}" if not keys else "more than one key")
    urls = re.findall(rb"""^softwareurl[ \t]*=[ \t]*["']([!-~]{1,1000}?)["']""", source, re.MULTILINE)
    return Pinned(keys.pop(), urls[-1].decode("ascii") if urls else "")


def _pinned_key(text: bytes) -> PublicKey:
    pairs = re.fullmatch(
        rb"""[ \t]*["']([en])["'][ \t]*:[ \t]*(\d+)L?[ \t]*,[ \t]*["']([en])["'][ \t]*:[ \t]*(\d+)L?[ \t]*,?[ \t]*""",
        text,
    )
    if not pairs or pairs[1] == pairs[3]:
        raise Malformed(f"softwareupdatepublickey is not {{'e': ..., 'n': ...}}: {quoted(text)}")
    numbers = {pairs[1]: pairs[2], pairs[3]: pairs[4]}
    return parse_key(numbers[b"e"] + b" " + numbers[b"n"])
