"""The status page: fit for a public web server, whatever the checks said."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from checks.engine.commands.commands import Broken, Command
from checks.engine.results import Result
from checks.engine.run import page

MADE = 1_700_000_000.0
EVIL = "<script>alert(1)</script>\"'&amp;<img src=http://evil.example/x>\x1b[2J\u202e"
COMMANDS = {"check_a": Command("check_a", "/opt/secret-path/check_a --user root", 60, Path("/etc/nagios/a.cfg"), 7)}
BROKEN = [Broken(Path("/etc/nagios/secret.cfg"), 3, "not UTF-8")]
VOID = {"meta", "link"}


class Reader(HTMLParser):
    """Reads a page: its elements, each with its attributes, its text, and whether every element is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def a_result(name: str = "check_a", code: int = 0, output: str = "A OK - fine | a=1\nsecond\n") -> Result:
    return Result(name, code, output.encode("utf-8"), began=MADE - 5, seconds=1.5)


def test_it_shows_names_states_and_times_the_worst_first() -> None:
    results = [a_result("check_a"), a_result("check_b", 1), a_result("check_c", 2), a_result("check_d", 3)]
    read = Reader(page.render(results, made=MADE))
    assert "CRITICAL 3 of 4 checks not OK. As of 2023-11-14 22:13:20" in read.text
    assert re.findall(r"check_\w", read.text) == ["check_c", "check_b", "check_d", "check_a"]
    assert "check_c CRITICAL 2023-11-14 22:13:15 1.50 s" in read.text


def test_without_details_nothing_internal_is_in_the_file() -> None:
    text = page.render(
        [a_result(output="A OK - host db7 | db7=1\nmore\n")], made=MADE, commands=COMMANDS, broken=BROKEN
    )
    for internal in ("db7", "more\n", "/opt", "secret", "--user", "a.cfg", "/etc", "not UTF-8"):
        assert internal not in text
    assert "1 part of the configuration can't be used" in text
    assert "UNKNOWN" in Reader(text).text


def test_with_details_it_shows_texts_commands_and_what_is_broken() -> None:
    read = Reader(page.render([a_result()], made=MADE, details=True, commands=COMMANDS, broken=BROKEN))
    for said in (
        "A OK - fine | a=1 second",
        "/opt/secret-path/check_a --user root",
        "a.cfg, line 7",
        "secret.cfg, line 3",
    ):
        assert said in read.text


@pytest.mark.parametrize("details", [False, True])
def test_what_checks_say_is_only_text(details: bool) -> None:
    command = Command(EVIL, EVIL, None, Path(f"/etc/{EVIL}"), 1)
    rendered = page.render(
        [a_result(EVIL, 2, EVIL)],
        made=MADE, details=details, title=EVIL, commands={EVIL: command}, broken=[Broken(Path(EVIL), 1, EVIL)], waiting=[EVIL],
    )  # fmt: skip
    read = Reader(rendered)
    assert not read.named("script")
    assert not read.named("img")
    assert "<script>alert(1)</script>" in read.text
    assert "\x1b" not in rendered
    assert "\u202e" not in rendered
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]


@pytest.mark.parametrize("details", [False, True])
def test_nothing_is_fetched_from_anywhere(details: bool) -> None:
    text = page.render([a_result()], made=MADE, details=details, commands=COMMANDS)
    sources = [value for _, found in Reader(text).elements for name, value in found.items() if name in ("src", "href")]
    assert all(str(value).startswith("data:") for value in sources)
    assert "url(" not in text
    assert "@import" not in text
    policy = [
        found["content"] for found in Reader(text).named("meta") if found.get("http-equiv") == "Content-Security-Policy"
    ]
    assert str(policy[0]).startswith("default-src 'none'")


def test_a_page_that_is_made_again_and_again_is_looked_at_again() -> None:
    assert 'http-equiv="refresh" content="60"' in page.render([a_result()], made=MADE, refresh=60)
    assert "refresh" not in page.render([a_result()], made=MADE)


def test_nothing_to_show_is_not_all_well() -> None:
    assert "UNKNOWN No check has run." in Reader(page.render([], made=MADE)).text
    text = Reader(page.render([], made=MADE, waiting=["check_later"])).text
    assert "UNKNOWN No check has run." in text
    assert "Not run yet check_later" in text
    assert "1 check, all OK. 1 not run yet." in Reader(page.render([a_result()], made=MADE, waiting=["b"])).text


def test_long_output_is_cut_and_says_so() -> None:
    text = page.render([a_result(output="x" * 1_000_000)], made=MADE, details=True)
    assert len(text) < 60_000
    assert "980000 characters more" in text


@pytest.mark.parametrize("began", [0.0, -1.0, float("inf"), float("nan"), 1e300])
def test_an_impossible_time_costs_only_itself(began: float) -> None:
    assert "check_a" in page.render([a_result()._replace(began=began)], made=began)


def test_a_reader_never_finds_a_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "status.html"
    page.write(path, "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        page.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_mode_and_link_stay_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "status.html"
    path.write_text("old")
    path.chmod(0o640)
    link = tmp_path / "link.html"
    link.symlink_to(path)
    page.write(link, "new é")
    assert path.read_text(encoding="utf-8") == "new é"
    assert path.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()


def test_where_it_can_not_be_written_is_known_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert page.unwritable(tmp_path / "new.html") == ""
    assert "not a regular file" in page.unwritable(tmp_path / "folder")
    assert "no directory" in page.unwritable(tmp_path / "missing" / "x.html")
    assert "not a regular file" in page.unwritable(Path("/dev/null"))
