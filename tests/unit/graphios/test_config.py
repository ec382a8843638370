"""The configuration file: documented whole, and every mistake in it named."""

import re
from pathlib import Path

import pytest

from graphios import config

GOOD = "[spool]\ndirectory = /var/spool/graphios\n"


def load(tmp_path: Path, text: str) -> config.Config:
    path = tmp_path / "graphios.ini"
    path.write_text(text, encoding="utf-8")
    return config.load(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"\[spool\] directory is missing"),
        ("[spool]\ndirectory =\n", r"\[spool\] directory is missing"),
        ("[spool]\ndirectory = spool\n", r"\[spool\] directory = spool: must be an absolute path"),
        (GOOD + "directry = /x\n", r"unknown option directry in \[spool\]"),
        (GOOD + "[carbn]\nport = 1\n", r"unknown section \[carbn\]"),
        (GOOD + "[carbon]\nport = 70000\n", r"\[carbon\] port = 70000: must be a whole number from 1 to 65535"),
        (GOOD + "[carbon]\nport = 2003 # plaintext\n", r"\[carbon\] port = 2003 # plaintext: must be a whole number"),
        (GOOD + "[carbon]\nack_timeout = nan\n", r"\[carbon\] ack_timeout = nan: must be a number"),
        (GOOD + "[carbon]\nhost = a b\n", r"\[carbon\] host = a b: must be a host name"),
        (GOOD + "[names]\ncleaning = yes\n", r"\[names\] cleaning = yes: must be one of: unique, graphios"),
        (GOOD + "[rejects]\nfile = x\n", r"\[rejects\] file = x: must be an absolute path"),
        (GOOD + "[log]\nlevel = loud\n", r"\[log\] level = loud: must be one of"),
        (GOOD + "[spool]\npoll_seconds = 2\n", r"section 'spool' already exists"),
        (GOOD + "directory = /y\n", r"option 'directory' in section 'spool' already exists"),
        ("directory = /x\n", r"no section headers"),
        ("[spool\n", r"no section headers"),
        (GOOD + "[DEFAULT]\nport = 1\n", r"unknown section \[DEFAULT\]"),
    ],
)
def test_a_mistake_is_refused_by_name_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(config.ConfigError) as refusal:
        load(tmp_path, text)
    message = str(refusal.value)
    assert re.search(complaint, message)
    assert "graphios.ini" in message
    assert "\n" not in message


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "graphios.ini").write_bytes(b"[spool]\xff\n")
    with pytest.raises(config.ConfigError, match="not UTF-8 text"):
        config.load(tmp_path / "graphios.ini")


def test_a_missing_file_is_named_together_with_the_sample(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=r"nowhere.ini: No such file or directory; .*graphios.ini is a sample"):
        config.load(tmp_path / "nowhere.ini")


def test_an_ipv6_address_may_stand_in_brackets(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD + "[carbon]\nhost = [::1]\n").carbon_host == "::1"


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({"STATE_DIRECTORY": "/a:/b"}, "/a"),
        ({"XDG_STATE_HOME": "/state"}, "/state/testbed-checks"),
        ({"HOME": "/home/x"}, "/home/x/.local/state/testbed-checks"),
    ],
)
def test_rejects_go_to_the_users_state_directory(
    environment: dict[str, str], directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert config.state_directory() == Path(directory)
