"""Files and JSON that checks read and don't trust."""

import os
from pathlib import Path

import pytest

from checks.deadline import BadInput, CheckError
from checks.sources import count, number, read_file, read_json, table, text


def test_a_file_is_read_with_the_time_it_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    os.utime(path, (1000, 2000.5))
    assert read_file(path, 3) == (b"abc", 2000.5)


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    assert read_file(tmp_path / "g", 3) is None
    assert read_file(tmp_path / "f" / "g", 3) is None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(b"abcd"), "is larger than 3 bytes"),
        (lambda path: path.mkdir(), "is not a regular file"),
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
    ids=["large", "folder", "pipe", "loop"],
)
def test_what_is_no_small_regular_file_is_refused(tmp_path: Path, make, says: str) -> None:
    make(tmp_path / "f")
    with pytest.raises(CheckError, match=says):
        read_file(tmp_path / "f", 3)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "damaged or cut"),
        (b'{"a": [1, 2', "damaged or cut"),
        (b'{"a": 1} x', "damaged or cut"),
        (b'{"a": 1, "b": {"c": 2, "c": 2}}', "a key occurs twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'["\xff"]', "not UTF-8"),
        (b"[1" + b"0" * 5000 + b"]", "damaged or cut"),
        (b"[NaN]", "NaN is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
    ],
    ids=["empty", "cut", "more", "twice", "deep", "latin", "long", "nan", "infinity"],
)
def test_json_that_is_none_is_refused_by_name(data: bytes, says: str) -> None:
    with pytest.raises(BadInput, match=f"^the answer (is|) ?.*{says}"):
        read_json(data, "the answer")


def test_nan_may_count_as_unknown() -> None:
    assert read_json(b'{"a": NaN, "b": [-Infinity, 1]}', "it", nan_is_null=True) == {"a": None, "b": [None, 1]}


def test_a_doubled_key_may_cost_its_value_only() -> None:
    data = b'{"a": 1, "b": {"c": 1, "c": 2, "d": 3, "c": 4}}'
    assert read_json(data, "it", doubled_is_null=True) == {"a": 1, "b": {"c": None, "d": 3}}


@pytest.mark.parametrize("value", [None, True, "1", [], {}, float("inf"), float("nan"), 10**400, 1e300])
def test_what_is_no_number_is_none(value: object) -> None:
    assert number(value) is None
    assert count(value) is None


def test_numbers_counts_texts_and_tables() -> None:
    assert (number(-1.5), number(3), count(3.0), count(3), count(2**64 - 1)) == (-1.5, 3, 3, 3, 2**64 - 1)
    assert (count(-1), count(1.5), count(2**64)) == (None, None, None)
    assert (text("abcd", 3), text(5), table({"a": 1}), table([1])) == ("abc", "", {"a": 1}, {})
