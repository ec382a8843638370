"""What carbon's receivers get: frames below its limit, names it accepts, numbers as they were."""

import io
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphios.backends.carbon import Carbon
from graphios.backends.encoding import pickled, plaintext
from graphios.configuration.settings import CarbonBackend
from tests.unit.graphios.peers import peer

CARBON_LIMIT = 2**20
"""PICKLE_RECEIVER_MAX_LENGTH; what is longer is dropped and logged as closed cleanly."""

Metric = tuple[str, tuple[int, int | float]]


class SafeUnpickler(pickle.Unpickler):
    """carbon's refuses every class, and with one the whole frame."""

    def find_class(self, module: str, name: str) -> None:
        raise pickle.UnpicklingError(f"unsafe {module}.{name}")


def unpickled(data: bytes) -> list[Metric]:
    """All metrics of all frames, as carbon reads them."""
    metrics: list[Metric] = []
    while data:
        (length,) = struct.unpack("!L", data[:4])
        assert length <= CARBON_LIMIT / 2
        assert len(data) >= 4 + length
        assert data[4:6] == b"\x80\x02"  # protocol 2
        metrics += SafeUnpickler(io.BytesIO(data[4 : 4 + length])).load()
        data = data[4 + length :]
    return metrics


def frames(lines: list[str]) -> bytes:
    return b"".join(pickled(lines))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("-0", 0),
        ("18446744073709551615", 18446744073709551615),
        ("9007199254740993", 9007199254740993),
        ("9" * 40, int("9" * 40)),
        ("0.1", 0.1),
        ("0.000000001", 1e-9),
        ("-1.5", -1.5),
        ("123456789.123456789", 123456789.123456789),
    ],
)
def test_numbers_stay_what_they_are(text: str, number: float) -> None:
    assert unpickled(frames([f"a.b {text} 1795253480\n"])) == [("a.b", (1795253480, number))]
    assert type(unpickled(frames([f"a {text} 1\n"]))[0][1][1]) is type(number)


def test_names_of_any_alphabet_are_text() -> None:
    assert unpickled(frames(["größe.κόσμος 1 2\n", "disk;host=a;mount=/ 3 4\n"])) == [
        ("größe.κόσμος", (2, 1)),
        ("disk;host=a;mount=/", (4, 3)),
    ]
    assert b"".join(plaintext(["größe 1 2\n"])) == "größe 1 2\n".encode()


def test_many_metrics_and_long_names_make_frames_carbon_takes() -> None:
    lines = [f"{'x' * 900}.{number} {number} 1795253480\n" for number in range(5000)]
    assert [metric[1][1] for metric in unpickled(frames(lines))] == list(range(5000))
    huge = ["y" * 200_000 + " 1 2\n", "z 1 2\n"]
    assert [name[0] for name, _ in unpickled(frames(huge))] == ["y", "z"]


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1),
            st.integers() | st.floats(allow_nan=False, allow_infinity=False),
            st.integers(0, 2**33),
        ),
        max_size=30,
    )
)
def test_whatever_is_sent_is_read(metrics: list[tuple[str, float, int]]) -> None:
    lines = [f"{name} {value!r} {second}\n" for name, value, second in metrics]
    assert unpickled(frames(lines)) == [(name, (second, value)) for name, value, second in metrics]


def test_a_pickle_backend_sends_frames() -> None:
    lines = [f"a.b{number} {number} 1795253480\n" for number in range(20_000)]
    with peer() as receiver:
        backend = Carbon(CarbonBackend("carbon", (("127.0.0.1", receiver.port),), protocol="pickle"))
        backend.deliver(lines)
        assert unpickled(receiver.received[0]) == [(f"a.b{number}", (1795253480, number)) for number in range(20_000)]
        backend.close()
