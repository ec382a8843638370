"""The compressed form a check of ours prints when its output is over the budget (option --compress).

Line 1 is the plain first line, line 2 `COMPRESSED deflate base64 <N>`, the rest base64 of a zlib stream (RFC 1950, with its Adler-32)
that expands to N bytes: what the check would have printed.
"""

import binascii
import zlib

MARK = b"COMPRESSED "
LONGEST = 16 * 1024 * 1024
"""Bytes it may expand to."""


class BadStream(ValueError):
    """It can't be expanded; the message says why."""


def expand(output: bytes) -> bytes:
    """The output that was compressed; at most LONGEST bytes. Raises BadStream."""
    _, mark, body = (output + b"\n\n").split(b"\n", 2)
    words = mark.split()
    if len(words) != 4 or words[1:3] != [b"deflate", b"base64"] or not words[3].isdigit() or len(words[3]) > 12:
        raise BadStream("unknown kind of compressed output: " + mark[:60].decode("ascii", "backslashreplace"))
    size = int(words[3])
    if size > LONGEST:
        raise BadStream(f"compressed output expands to {size} bytes, over the limit of {LONGEST}")
    try:
        packed = binascii.a2b_base64(b"".join(body.split()), strict_mode=True)
    except binascii.Error as error:
        raise BadStream(f"compressed output is cut or damaged ({str(error).lower()})") from None
    return _inflate(packed, size)


def _inflate(packed: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(packed, size + 1)
        if len(text) <= size and not stream.eof:
            text += stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        raise BadStream(f"compressed output is damaged ({error})") from None
    if len(text) > size:
        raise BadStream(f"compressed output expands to more than the {size} bytes it announces")
    if not stream.eof:
        raise BadStream("compressed output is cut")
    if len(text) != size:
        raise BadStream(f"compressed output expands to {len(text)} bytes instead of {size}")
    return text
