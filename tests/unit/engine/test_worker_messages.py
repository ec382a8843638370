"""Broker and executor understand one another, and notice what is not of the other."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.engine.worker import messages
from checks.engine.worker.messages import Answer, BadFrame, Cancel, Decoder, Message, Ready, Work, decode, encode

MESSAGES: list[Message] = [
    Ready(17),
    Work(1, 0, 60, b"/bin/sh -c 'x\0\xff|'", b"NAGIOS_HOSTNAME=a\nB=\n", 3),
    Cancel(1),
    Answer(
        1,
        1700000000.123456,
        1700000001.5,
        2 << 8,
        62,
        0.25,
        0.125,
        b"o" * 10_000,
        b"e",
        b"l\n",
        "host",
        b"\xc3\xb6",
        b"s",
    ),
]


@pytest.mark.parametrize("size", [1, 7, 4096, 1_000_000])
def test_messages_arrive_as_they_were_sent_in_pieces_of_any_size(size: int) -> None:
    data = b"".join(map(encode, MESSAGES))
    decoder = Decoder()
    found = [item for start in range(0, len(data), size) for item in decoder.feed(data[start : start + size])]
    assert found == MESSAGES
    assert [decode(encode(message)) for message in MESSAGES] == MESSAGES


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\0",
        b"\0\0\0\1z",
        struct.pack("!I", messages.LONGEST + 1),
        b"\0\0\0\2w\0",
        b"\0\0\0\6c\0\0\0\1x",
        b"\0\0\0\7c\0\0\0\1" + b"11",
        b"\0\0\0\5c\0\0\0\x09",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["empty", "unknown", "too-long", "cut", "no-number", "too-much", "field-too-long", "http"],
)
def test_what_is_no_message_is_noticed_at_once(data: bytes) -> None:
    with pytest.raises(BadFrame):
        list(Decoder().feed(data))


def test_messages_before_the_nonsense_count() -> None:
    found: list[Message] = []
    with pytest.raises(BadFrame):
        found.extend(Decoder().feed(encode(Cancel(5)) + b"\0\0\0\1z"))
    assert found == [Cancel(5)]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 60))
def test_damage_never_raises_anything_else(garbage: bytes, place: int) -> None:
    data = bytearray(encode(MESSAGES[1]))
    data[place : place + len(garbage)] = garbage
    decoder = Decoder()
    try:
        found = list(decoder.feed(bytes(data)))
    except BadFrame:
        return
    assert all(isinstance(item, Work | Cancel | Answer | Ready) for item in found)


def test_a_message_over_the_limit_is_not_sent() -> None:
    with pytest.raises(ValueError, match="over the limit"):
        encode(Answer(1, 0.0, 0.0, output=bytes(messages.LONGEST)))
