"""Seattle's serialization: what was captured, round trips, and whatever else bytes can be."""

import math
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from checks.seattle import serialization
from checks.seattle.errors import Malformed
from checks.seattle.serialization import DEEPEST, MOST_HASHED, dumps, loads
from tests.soak import count

EXAMPLES = count(40, 3000)
# Value and bytes, captured from the real servers or written from the table of types.
KNOWN = [
    ((b"GET", b"nosuchkey", 10), b"T4:SGET10:Snosuchkey3:I100:"),
    ((b"PUT", b"k:1\n", b"v:0:\nx", 60), b"T4:SPUT5:Sk:1\n7:Sv:0:\nx3:I600:"),
    ((b"OK", [b""]), b"T3:SOK6:L1:S0:0:"),
    ((b"OK", [b"10.0.0.1:1224"], 7), b"T3:SOK20:L14:S10.0.0.1:12240:2:I70:"),
    (b"OK", b"SOK"),
    (None, b"N"),
    (True, b"BT"),
    (False, b"BF"),
    (-12, b"I-12"),
    (1.5, b"F1.5"),
    (1e-07, b"F1e-07"),
    (2 + 1j, b"C(2+1j)"),
    (frozenset([3]), b"f2:I30:"),
    ({3}, b"s2:I30:"),
    ({b"a": 1, b"b": None}, b"D11:L2:Sa2:Sb0:L2:I11:N0:"),
    ([], b"L0:"),
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.binary(max_size=20),
)
hashable = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4), max_leaves=8
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(hashable, max_size=4)
        | st.frozensets(hashable, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
    ),
    max_leaves=12,
)


def kinds(value):
    """A value with the types of all it holds: True == 1 == 1.0 else."""
    if isinstance(value, set | frozenset):
        return type(value), frozenset(map(kinds, value))
    if isinstance(value, dict):
        return dict, frozenset((kinds(key), repr(kinds(inner))) for key, inner in value.items())
    return type(value), tuple(map(kinds, value)) if isinstance(value, list | tuple) else repr(value)


@pytest.mark.parametrize(("value", "data"), KNOWN)
def test_known_values(value, data):
    assert dumps(value) == data
    assert kinds(loads(data)) == kinds(value)


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(values)
def test_what_is_serialized_comes_back_the_same(value):
    back = loads(dumps(value))
    assert back == value
    assert type(back) is type(value)


def test_not_a_number_comes_back():
    assert math.isnan(loads(dumps(math.nan)))
    assert math.isnan(loads(dumps(complex(math.nan, -0.0))).real)


WRONG = [
    b"",
    b"X",
    b"L",
    b"L0",
    b"L0:x",
    b"L1:",
    b"L1:N",
    b"L1:N0:0:",
    b"L5:N0:",
    b"L01:N0:",
    b"L-1:N0:",
    b"L+1:N0:",
    b"L 1:N0:",
    b"L\xb2:N0:",
    b"L9999999999:N0:",
    b"L999999999:N0:",
    b"T1:",
    b"Nx",
    b"B",
    b"BX",
    b"BTT",
    b"I",
    b"I-",
    b"I+1",
    b"I1.5",
    b"I 1",
    b"I1_0",
    b"I\xd9\xa1",
    b"I1L",
    b"I" + b"9" * 5000,
    b"F",
    b"F1_0.5",
    b"F 1",
    b"F1e",
    b"Finfinity",
    b"F0x1",
    b"C",
    b"C(1+2j",
    b"C1 2j",
    b"Cj+j",
    b"s2:I12:I10:",
    b"s2:I12:BT0:",
    b"s3:L0:0:",
    b"f3:s0:0:",
    b"D",
    b"D3:L0:",
    b"D3:L0:N",
    b"D7:L2:Sa0:L0:",
    b"D13:L2:Sa2:Sa0:L2:I12:I20:",
    b"D10:L5:L0:0:0:L2:I10:",
    b"D3:T0:T0:",
]


@pytest.mark.parametrize("data", WRONG)
def test_what_is_no_value_is_malformed(data):
    with pytest.raises(Malformed) as caught:
        loads(data)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(st.binary(max_size=300) | st.text("LTsfDSINBFC0123456789:.-ej", max_size=60).map(str.encode))
@example(b"T3:SOK3:L0:0:")
def test_no_bytes_raise_anything_but_malformed(data):
    try:
        value = loads(data)
    except Malformed:
        return
    dumps(value)


@settings(max_examples=EXAMPLES)
@given(values, st.integers(0, 200), st.binary(max_size=3))
def test_a_value_that_was_cut_or_overwritten_is_another_or_malformed(value, place, scrap):
    data = dumps(value)
    for changed in (
        data[:place],
        data[:place] + scrap + data[place + len(scrap) :],
        data[:place] + scrap + data[place:],
    ):
        try:
            loads(changed)
        except Malformed:
            continue


def nested(depth):
    data = b"N"
    for _ in range(depth):
        data = b"L%d:%s0:" % (len(data), data)
    return data


def test_depth_is_bounded_both_ways():
    assert loads(nested(DEEPEST)) is not None
    for depth in (DEEPEST + 2, 3000):
        with pytest.raises(Malformed, match="in one another"):
            loads(nested(depth))
    value: list[object] = []
    value.append(value)
    with pytest.raises(ValueError, match="in one another"):
        dumps(value)


def test_the_number_of_items_is_bounded(monkeypatch):
    monkeypatch.setattr(serialization, "MOST_ITEMS", 1000)
    assert loads(b"L" + b"1:N" * 1000 + b"0:") == [None] * 1000
    for data in (b"L" + b"1:N" * 1001 + b"0:", b"L" + b"6:L1:N0:" * 501 + b"0:"):
        with pytest.raises(Malformed, match="more than 1000 values"):
            loads(data)


def test_members_whose_hashes_are_all_the_same_do_not_hang_it():
    """Multiples of 2**61 - 1 hash to 0: without a bound, 50,000 of them take minutes."""
    members = [dumps(number * (2**61 - 1)) for number in range(1, 50_000)]
    for many in (members, members[:MOST_HASHED]):
        data = b"s" + b"".join(b"%d:%s" % (len(member), member) for member in many) + b"0:"
        started = time.monotonic()
        if many is members:
            with pytest.raises(Malformed, match="more than 4096"):
                loads(data)
        else:
            assert len(loads(data)) == MOST_HASHED
        assert time.monotonic() - started < 30


@pytest.mark.parametrize("value", ["text", bytearray(b"x"), object(), [object()]])
def test_what_can_not_be_serialized_is_the_callers_mistake(value):
    with pytest.raises(TypeError):
        dumps(value)
