"""Seattle's public keys: `e n` in decimal with a blank between, and the names under which nodes and states are advertised."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

from checks.seattle.errors import Malformed, quoted

_LONGEST_FILE = 16384
# As many digits as the interpreter reads: 14,000 bits. Seattle makes keys of 1,024.
_LONGEST_NUMBER = 4300


class PublicKey(NamedTuple):
    """An RSA public key: exponent and modulus."""

    e: int
    n: int

    def __str__(self) -> str:
        """Return it as key files hold it."""
        return f"{self.e} {self.n}"

    def advertised(self) -> bytes:
        """Return the advertise key of what belongs to this key: how Python 2 writes a dict of two longs (captured from a node manager)."""
        return b"{'e': %dL, 'n': %dL}" % (self.e, self.n)

    def node_name(self) -> bytes:
        """Return the name a node of this key has with Affix: SHA-1, in 40 hex digits, of e and n written together (captured)."""
        import hashlib  # 3 ms, and most keys need none

        return hashlib.sha1(b"%d%d" % (self.e, self.n), usedforsecurity=False).hexdigest().encode("ascii")


def parse_key(text: bytes) -> PublicKey:
    """Return the key that `e n` describes. Raises Malformed."""
    words = text.split()
    if len(words) != 2 or not all(word.isdigit() and len(word) <= _LONGEST_NUMBER for word in words):
        raise Malformed(f"no public key, which is two decimal numbers: {quoted(text)}")
    key = PublicKey(*map(int, words))
    if key.e < 2 or key.n < 2:
        raise Malformed(f"no public key: {quoted(text)}")
    return key


def read_key(path: Path) -> PublicKey:
    """Return the key of a .publickey file. Raises OSError and Malformed."""
    # A pipe nobody writes to would hold up who opens it.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return parse_key(file.read(_LONGEST_FILE))
