"""creates_per_minute = auto: what carbon's own configuration says."""

import socket
from pathlib import Path

import pytest

from graphios.configuration import carbon_conf

DEBIAN = """
# carbon's comments
[cache]
USER = _graphite
MAX_CREATES_PER_MINUTE = 50
LINE_RECEIVER_INTERFACE = 0.0.0.0
LINE_RECEIVER_PORT = 2003
PICKLE_RECEIVER_PORT = 2004
[cache:b]
LINE_RECEIVER_PORT = 2103
PICKLE_RECEIVER_PORT = 2104
MAX_CREATES_PER_MINUTE = 30
[cache:c]
LINE_RECEIVER_PORT = 2203
PICKLE_RECEIVER_PORT = 2204
[relay]
LINE_RECEIVER_PORT = 2013
"""
HERE = "127.0.0.1"


def creates(tmp_path: Path, text: str, *servers: tuple[str, int], protocol: str = "plaintext") -> int:
    path = tmp_path / "carbon.conf"
    path.write_text(text)
    return carbon_conf.caches(servers, protocol, path).creates_per_minute


@pytest.mark.parametrize(
    ("servers", "protocol", "expected"),
    [
        ([(HERE, 2003)], "plaintext", 50),
        ([("localhost", 2003)], "plaintext", 50),
        ([("::1", 2003)], "plaintext", 50),
        ([(socket.gethostname(), 2003)], "plaintext", 50),
        ([(HERE, 2004)], "pickle", 50),
        ([(HERE, 2004)], "plaintext", 0),
        ([(HERE, 2103)], "plaintext", 30),
        ([(HERE, 2203)], "plaintext", 50),
        ([(HERE, 2013)], "plaintext", 0),
        ([("192.0.2.1", 2003)], "plaintext", 0),
        ([("carbon.example", 2003)], "plaintext", 0),
        ([("192.0.2.1", 2003), (HERE, 2003), (HERE, 2103)], "plaintext", 30),
    ],
)
def test_the_cache_that_listens_where_we_send_counts(
    tmp_path: Path, servers: list[tuple[str, int]], protocol: str, expected: int
) -> None:
    assert creates(tmp_path, DEBIAN, *servers, protocol=protocol) == expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("inf", 0), ("", 0), ("many", 0), ("0", 0), ("0.5", 1), ("60.5", 60), ("1e9", 0), ("nan", 0), ("-5", 0), ("7", 7)],
)
def test_limits_as_carbon_writes_them(tmp_path: Path, limit: str, expected: int) -> None:
    assert creates(tmp_path, f"[cache]\nMAX_CREATES_PER_MINUTE = {limit}\n", (HERE, 2003)) == expected


def test_a_cache_on_another_address_is_not_ours(tmp_path: Path) -> None:
    text = "[cache]\nMAX_CREATES_PER_MINUTE = 50\nLINE_RECEIVER_INTERFACE = 127.0.0.2\n"
    assert creates(tmp_path, text, (HERE, 2003)) == 0
    assert creates(tmp_path, text, ("127.0.0.2", 2003)) == 50


def test_without_a_limit_in_the_file_there_is_none(tmp_path: Path) -> None:
    assert creates(tmp_path, "[cache]\n", (HERE, 2003)) == 0


@pytest.mark.parametrize("text", ["no section", "[cache\n", "\xff\0"])
def test_a_file_that_is_no_carbon_conf_is_no_limit(tmp_path: Path, text: str) -> None:
    assert creates(tmp_path, text, (HERE, 2003)) == 0


def test_neither_is_a_missing_one(tmp_path: Path) -> None:
    assert carbon_conf.caches([(HERE, 2003)], "plaintext", tmp_path / "none") == (0, "")


def test_where_the_series_are_is_known_when_it_can_be_looked_into(tmp_path: Path) -> None:
    path, whisper = tmp_path / "carbon.conf", tmp_path / "whisper"
    here = [(HERE, 2003)]
    for text in (f"LOCAL_DATA_DIR = {whisper}/", f"STORAGE_DIR = {tmp_path}/"):
        path.write_text(f"[cache]\n{text}\n[cache:b]\nLINE_RECEIVER_PORT = 2103\nLOCAL_DATA_DIR = {tmp_path}\n")
        assert carbon_conf.caches(here, "plaintext", path).whisper == ""
        whisper.mkdir()
        assert carbon_conf.caches(here, "plaintext", path).whisper == str(whisper)
        assert carbon_conf.caches([("192.0.2.1", 2003)], "plaintext", path).whisper == ""
        assert carbon_conf.caches([*here, (HERE, 2103)], "plaintext", path).whisper == ""  # two places
        whisper.rmdir()
    path.write_text("[cache]\n")
    assert carbon_conf.caches(here, "plaintext", path).whisper == ""
