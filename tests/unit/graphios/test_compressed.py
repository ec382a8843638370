"""The compressed form: what was printed comes back, and nothing else does."""

import base64
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphios.compressed import LONGEST, BadStream, expand


def compress(text: bytes, size: int | None = None, width: int = 76) -> bytes:
    packed = base64.b64encode(zlib.compress(text))
    lines = [packed[start : start + width] for start in range(0, len(packed), width)]
    size = len(text) if size is None else size
    return (
        b"OK [compressed, graphios-tap expands it]\nCOMPRESSED deflate base64 %d\n" % size + b"\n".join(lines) + b"\n"
    )


@given(st.binary(max_size=2000), st.sampled_from([4, 76, 10**6]))
def test_what_was_compressed_comes_back(text: bytes, width: int) -> None:
    assert expand(compress(text, width=width)) == text


GOOD = compress(b"OK | " + b" ".join(b"a%d=%d" % (n, n) for n in range(300)))


@pytest.mark.parametrize("end", range(60, len(GOOD) - 2, 97))
def test_a_stream_cut_anywhere_is_refused(end: int) -> None:
    with pytest.raises(BadStream, match=r"cut|damaged|unknown kind"):
        expand(GOOD[:end])


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (b"OK\nCOMPRESSED lzma base64 5\nAAAA\n", "unknown kind of compressed output: COMPRESSED lzma base64 5"),
        (b"OK\nCOMPRESSED deflate base64 x\nAAAA\n", "unknown kind"),
        (b"OK\nCOMPRESSED deflate base64\n", "unknown kind"),
        (b"OK\nCOMPRESSED deflate base64 5\n", "cut"),
        (b"OK\nCOMPRESSED deflate base64 5\n!!!!\n", "damaged"),
        (b"OK\nCOMPRESSED deflate base64 4\nAAAA\n", "damaged"),
        (compress(b"x" * 100, size=LONGEST + 1), f"expands to {LONGEST + 1} bytes, over the limit of {LONGEST}"),
        (compress(b"x" * 100, size=99), "expands to more than the 99 bytes it announces"),
        (compress(b"x" * 100, size=101), "expands to 100 bytes instead of 101"),
        (compress(b"x" * 100, size=0), "expands to more than the 0 bytes"),
    ],
)
def test_a_bad_stream_is_refused_by_name(output: bytes, reason: str) -> None:
    with pytest.raises(BadStream, match=reason):
        expand(output)


def test_every_damaged_byte_is_noticed() -> None:
    for position in range(80, len(GOOD) - 1, 13):
        damaged = bytearray(GOOD)
        damaged[position] = ord("A") if damaged[position] != ord("A") else ord("B")
        with pytest.raises(BadStream):
            expand(bytes(damaged))


@pytest.mark.slow
def test_a_bomb_costs_bounded_memory() -> None:
    bomb = compress(b"\0" * (64 * 1024 * 1024), size=1000)
    tracemalloc.start()
    with pytest.raises(BadStream, match="more than the 1000 bytes"):
        expand(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
