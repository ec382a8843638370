"""The directory of IPOP 14: what is read of it, and what a damaged or hostile file costs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checks.deadline import CheckError
from checks.ipop import stats_dir
from checks.ipop.records import Link
from tests.ipop.tincan import pair, peer

A, B = "172.31.0.101", "172.31.0.102"
NOTHING: Callable[[float], None] = lambda _: None  # noqa: E731


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats_dir.time, "sleep", NOTHING)


def write(folder: Path, listed: Any, **states: Any) -> Path:
    """Write a list, and peers' files by the last number of their address (p101={...}); text as it is."""
    files = {"peer_list_ganglia.json": listed}
    files |= {f"172.31.0.{name[1:]}_ganglia_data.json": state for name, state in states.items()}
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def links(folder: Path) -> dict[str, Link]:
    return {link.peer: link for link in stats_dir.read(folder).links}


def test_two_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(stats_dir.time, "sleep")  # what is whole is read without a pause
    write(tmp_path, [A, B], p101=peer(1), p102=peer(2, online=False))
    os.utime(tmp_path / "peer_list_ganglia.json", (1000, 1000))
    os.utime(tmp_path / f"{A}_ganglia_data.json", (1010, 1010))
    os.utime(tmp_path / f"{B}_ganglia_data.json", (1005, 1005))
    reading = stats_dir.read(tmp_path)
    assert reading.source == f"IPOP 14 statistics in {tmp_path}"
    assert (reading.bits, reading.age_wraps, reading.changed, reading.troubles) == (32, True, 1010, ())
    first, second = reading.links
    assert (first.key, first.peer, first.active, first.sampled, first.age) == (A, A, True, 1010, 120)
    assert (first.pairs[0].received, first.pairs[0].sent) == (2000, 1000)
    assert (second.peer, second.active, second.state, second.sampled, second.xmpp_age) == (
        B,
        False,
        "offline",
        1005,
        30,
    )


def test_a_list_written_last_says_when_the_source_was_changed(tmp_path: Path) -> None:
    write(tmp_path, [A], p101=peer(1))
    os.utime(tmp_path / f"{A}_ganglia_data.json", (1000, 1000))
    os.utime(tmp_path / "peer_list_ganglia.json", (1030, 1030))
    assert stats_dir.read(tmp_path).changed == 1030


def test_an_empty_list_is_a_node_without_peers(tmp_path: Path) -> None:
    assert stats_dir.read(write(tmp_path, [])).links == ()


def test_of_several_lines_the_last_one_counts(tmp_path: Path) -> None:
    old, new = json.dumps(peer(1, [pair(5, 5)])), json.dumps(peer(1, [pair(6, 6)]))
    write(tmp_path, f'["{B}"]\n["{A}"]\n\n', p101=f"{old}\n{new}\n")
    found = links(tmp_path)
    assert list(found) == [A]
    assert found[A].pairs[0].received == 6


def test_documents_of_several_lines(tmp_path: Path) -> None:
    """As tincan's own datagrams are; the Ganglia module could not read those."""
    write(tmp_path, json.dumps([A], indent=3), p101=json.dumps(peer(1), indent=3))
    assert links(tmp_path)[A].active


def test_a_peer_listed_twice_is_one_link(tmp_path: Path) -> None:
    assert list(links(write(tmp_path, [A, A], p101=peer(1)))) == [A]


@pytest.mark.parametrize("entry", [5, None, "", [A], {"ip4": A}, True])
def test_entries_of_the_list_that_are_no_addresses(tmp_path: Path, entry: Any) -> None:
    reading = stats_dir.read(write(tmp_path, [entry, A], p101=peer(1)))
    assert [link.active for link in reading.links] == [True]
    assert reading.troubles == ("1 of 2 entries of peer_list_ganglia.json are no addresses",)


@pytest.mark.parametrize(
    "name", ["../secret", "a/b", "..", ".hidden", "a\0b", "a\nb", "x" * 101, "172.31.0.101 ", "\ud800", "é"]
)
def test_an_address_never_leads_out_of_the_directory(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(stats_dir, "read_file", lambda path, largest: read.append(path.name) or real(path, largest))
    folder = tmp_path / "stats"
    folder.mkdir()
    (tmp_path / "secret_ganglia_data.json").write_text(json.dumps(peer(9)))
    reading = stats_dir.read(write(folder, [name, A], p101=peer(1)))
    bad, good = reading.links
    assert (bad.active, bad.trouble) == (False, "listed in peer_list_ganglia.json, but it is no address")
    assert good.active
    assert set(read) == {"peer_list_ganglia.json", f"{A}_ganglia_data.json"}


real = stats_dir.read_file


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        (" \n ", "is empty"),
        ('{"status": "onl', "is damaged or cut"),
        ("[" * 100000, "is nested too deeply"),
        ('{"status": "online", "status": "offline"}', "its state has no status"),
        ("[]", "holds no peer's state"),
        ('"online"', "holds no peer's state"),
        ("{}", "its state has no status"),
        ("x" * 100_001, "is larger than 100000 bytes"),
    ],
    ids=["empty", "blank", "cut", "deep", "doubled", "list", "text", "nothing", "huge"],
)
def test_a_damaged_file_costs_its_peer(tmp_path: Path, content: str, said: str) -> None:
    found = links(write(tmp_path, [A, B], p101=content, p102=peer(2)))
    assert said in found[A].trouble
    assert (found[A].active, found[B].active, found[B].trouble) == (False, True, "")


def test_a_number_that_json_does_not_know_is_unknown(tmp_path: Path) -> None:
    state = json.dumps(peer(1, last_time=5)).replace('"last_time": 5', '"last_time": NaN')
    link = links(write(tmp_path, [A], p101=state))[A]
    assert (link.active, link.age, link.trouble) == (True, None, "")


def test_of_a_value_that_is_there_twice_nobody_knows_which_is_meant(tmp_path: Path) -> None:
    old, new = (json.dumps(peer(1, [pair(5, 6)])), '"recv_total_bytes": 5, "recv_total_bytes": 9')
    link = links(write(tmp_path, [A], p101="older\n" + old.replace('"recv_total_bytes": 5', new)))[A]
    assert (link.active, link.pairs[0].received, link.pairs[0].sent) == (True, None, 6)


def test_a_missing_file_costs_its_peer(tmp_path: Path) -> None:
    found = links(write(tmp_path, [A, B], p102=peer(2)))
    assert found[A].trouble == f"listed, but its file {A}_ganglia_data.json is missing"
    assert (found[A].active, found[A].sampled, found[B].active) == (False, None, True)


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop"])
def test_what_is_no_file_costs_its_peer(tmp_path: Path, kind: str) -> None:
    write(tmp_path, [A, B], p102=peer(2))
    place = tmp_path / f"{A}_ganglia_data.json"
    make: dict[str, Callable[[], None]] = {
        "pipe": lambda: os.mkfifo(place),
        "folder": place.mkdir,
        "loop": lambda: place.symlink_to(place),
    }
    make[kind]()
    found = links(tmp_path)
    assert f"{A}_ganglia_data.json" in found[A].trouble
    assert (found[A].active, found[B].active) == (False, True)


def test_an_unreadable_file_costs_its_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [A, B], p101=peer(1), p102=peer(2))

    def read(path: Path, largest: int) -> Any:
        if A in path.name:
            raise CheckError(f"reading {path}: Permission denied")
        return real(path, largest)

    monkeypatch.setattr(stats_dir, "read_file", read)
    found = links(tmp_path)
    assert "Permission denied" in found[A].trouble
    assert found[B].active


def test_a_file_that_was_being_written_is_read_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [A, B], p101='{"status": "onl', p102=peer(2, [pair(5, 5)]))
    # Of what was whole the first reading stands: its writer may be at it now.
    monkeypatch.setattr(stats_dir.time, "sleep", lambda _: write(tmp_path, [A, B], p101=peer(1), p102="{"))
    found = links(tmp_path)
    assert (found[A].active, found[A].trouble, found[B].pairs[0].received) == (True, "", 5)


def test_a_peer_that_left_meanwhile_is_no_peer_without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [A, B], p102=peer(2))
    monkeypatch.setattr(stats_dir.time, "sleep", lambda _: write(tmp_path, [B]))
    assert list(links(tmp_path)) == [B]


def test_a_list_that_is_being_written_meanwhile_is_the_one_read_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [A], p101="{")
    monkeypatch.setattr(stats_dir.time, "sleep", lambda _: write(tmp_path, '["172.31', p101=peer(1)))
    assert links(tmp_path)[A].active


@pytest.mark.parametrize("before", ["", '["172.31', None])
def test_a_list_that_was_being_written_is_read_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    write(tmp_path, before or "", p101=peer(1))
    if before is None:
        (tmp_path / "peer_list_ganglia.json").unlink()
    monkeypatch.setattr(stats_dir.time, "sleep", lambda _: write(tmp_path, [A]))
    assert links(tmp_path)[A].active


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("", "peer_list_ganglia.json is empty"),
        ('["172.31.0.101', "peer_list_ganglia.json is damaged or cut"),
        ("{}", "peer_list_ganglia.json holds no list of peers"),
        ("7", "peer_list_ganglia.json holds no list of peers"),
        ("[" * 100000, "peer_list_ganglia.json is nested too deeply"),
        ('["\xe9"]'.encode("latin-1"), "peer_list_ganglia.json is not UTF-8"),
        ("[" + "1," * 50000 + "1]", "peer_list_ganglia.json lists 50001 peers, more than 50000"),
        ("[" + " " * (4 << 20) + "]", "peer_list_ganglia.json is larger than 4194304 bytes"),
    ],
    ids=["empty", "cut", "object", "number", "deep", "latin-1", "many", "huge"],
)
def test_without_a_list_nothing_is_known(tmp_path: Path, listed: str | bytes, said: str) -> None:
    (tmp_path / "peer_list_ganglia.json").write_bytes(listed.encode() if isinstance(listed, str) else listed)
    with pytest.raises(CheckError, match=said):
        stats_dir.read(tmp_path)


def test_a_missing_list_and_a_missing_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match=r"peer_list_ganglia\.json is missing: does the controller write it"):
        stats_dir.read(tmp_path)
    with pytest.raises(CheckError, match=r"nowhere is no directory"):
        stats_dir.read(tmp_path / "nowhere")


def test_many_damaged_files_cost_one_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(stats_dir.time, "sleep", pauses.append)
    write(tmp_path, [f"10.0.{number // 250}.{number % 250}" for number in range(500)])
    assert sum(bool(link.trouble) for link in stats_dir.read(tmp_path).links) == 500
    assert len(pauses) == 1
