"""Batches as carbon's receivers take them.

plaintext: lines `name value timestamp`. pickle: frames of a length (4 bytes, network order) and a pickled list of (name, (timestamp, value)).
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Sequence

_FRAME_METRICS = 500
_FRAME_TEXT = 131_072
"""Characters of lines in one frame. carbon discards a frame above 1 MiB (PICKLE_RECEIVER_MAX_LENGTH), and logs that all is well."""


def plaintext(lines: Sequence[str]) -> Iterator[bytes]:
    """What goes to the line receiver, in one piece."""
    yield "".join(lines).encode("utf-8")


def pickled(lines: Sequence[str]) -> Iterator[bytes]:
    """What goes to the pickle receiver, frame by frame: protocol 2, the newest that carbon on Python 2 reads; names are str only, which its
    unpickler asks for. Integers stay integers, however long.
    """
    return map(_frame, _chunks(lines))


def _chunks(lines: Sequence[str]) -> Iterator[Sequence[str]]:
    start = length = 0
    for end, line in enumerate(lines):
        if end > start and (end - start >= _FRAME_METRICS or length + len(line) > _FRAME_TEXT):
            yield lines[start:end]
            start, length = end, 0
        length += len(line)
    if start < len(lines):
        yield lines[start:]


def _frame(lines: Sequence[str]) -> bytes:
    metrics = []
    for line in lines:
        name, value, timestamp = line.rsplit(" ", 2)
        metrics.append((name, (int(timestamp), _number(value))))
    payload = pickle.dumps(metrics, protocol=2)
    return struct.pack("!L", len(payload)) + payload


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
