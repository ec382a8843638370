"""Signs metainfo as writemetainfo.py does, with real RSA keys that the tests make: textbook RSA over a byte 1 and the SHA-1 of the text."""

from __future__ import annotations

import functools
import hashlib
import random
import time
from collections.abc import Mapping
from typing import NamedTuple

DAY = 86400
SINCE_1900 = 2_208_988_800
SMALL_PRIMES = [n for n in range(3, 1000, 2) if all(n % divisor for divisor in range(3, int(n**0.5) + 1, 2))]


class Key(NamedTuple):
    """An RSA key pair: `n` is the modulus, `e` the public and `d` the private exponent."""

    e: int
    n: int
    d: int

    @property
    def public(self) -> str:
        """The public half, as a .publickey file holds it."""
        return f"{self.e} {self.n}"

    def sign(self, text: bytes) -> str:
        """The signature of `text`: for each part of its SHA-1 a blank and a number."""
        digest = hashlib.sha1(text).digest()
        part = (self.n.bit_length() - 1) // 8 - 1
        parts = [digest[start : start + part] for start in range(0, len(digest), part)]
        return "".join(f" {pow(int.from_bytes(bytes([1]) + one, 'big'), self.d, self.n)}" for one in parts)


@functools.cache
def key(name: str = "site", bits: int = 512) -> Key:
    """A key of its own for each name, the same in every run."""
    source = random.Random(f"{name} {bits}")
    while True:
        p, q = _prime(source, bits // 2), _prime(source, bits - bits // 2)
        around = (p - 1) * (q - 1)
        if p != q and around % 65537 and (p * q).bit_length() == bits:
            return Key(65537, p * q, pow(65537, -1, around))


def _prime(source: random.Random, bits: int) -> int:
    while True:
        n = source.getrandbits(bits) | 3 << bits - 2 | 1
        if all(n % small for small in SMALL_PRIMES) and all(pow(base, n - 1, n) == 1 for base in (2, 3, 5, 7)):
            return n


def listing(files: Mapping[str, bytes]) -> str:
    """The lines of metainfo."""
    return "".join(f"{name} {hashlib.sha1(data).hexdigest()} {len(data)}\n" for name, data in files.items())


def metainfo(
    files: Mapping[str, bytes] | str,
    by: Key | None = None,
    *,
    signed: float | None = None,
    days: float | None = 30,
    sequence: str = "None",
    destination: str = "None",
) -> bytes:
    """A signed metainfo of `files` (or of the lines themselves): signed a minute ago, or at `signed`; valid for `days`, None for ever."""
    by = by or key()
    signed = time.time() - 60 if signed is None else signed
    expires = "None" if days is None else f"{float(int(signed + SINCE_1900 + days * DAY))}"
    lines = files if isinstance(files, str) else listing(files)
    text = f"{lines}\n!{by.public}!{float(int(signed + SINCE_1900))}!{expires}!{sequence}!{destination}"
    return f"{text}!{by.sign(text.encode())}".encode()


def updater(by: Key | None = None, url: str = "http://127.0.0.1:1/updatesite/") -> bytes:
    """What a softwareupdater.py says of its site and of the key it trusts, in the form of the real one."""
    by = by or key()
    return f"""import sys

softwareurl = "{url}"

# the key that everyone trusts
softwareupdatepublickey = {{'e':{by.e}, 'n':{by.n}L}}

while True:
  pass
""".encode()
