"""Lines nobody thought of: real ones, cut, mixed and overwritten. Nothing may raise, invent, disagree with the careful parser, or take
more and more time the longer a line is. The soak run does it a hundred times longer.
"""

import json
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from graphios import perfdata
from graphios.backends.base import LINES, POINTS
from graphios.configuration.settings import Names
from graphios.convert import Converter
from tests.soak import count
from tests.unit.graphios.spool_lines import NOW, host_line, service_line

DATA = Path(__file__).parents[1] / "data"
SEEDS = [case["input"] for case in json.loads((DATA / "perfdata.json").read_text(encoding="utf-8"))] + [
    case["perfdata"] for case in json.loads((DATA / "field.json").read_text(encoding="utf-8"))
]
SCRAPS = [
    "",
    "'",
    "''",
    "=",
    "'=",
    ";",
    " ",
    "|",
    "[",
    "]",
    ",",
    ".",
    "e",
    "E5",
    "9",
    "\t",
    "\x00",
    "É",
    "U",
    "@",
    "~:",
    "::",
    "\r",
    "\u2028",
    "\ud800",
    "1e-3",
    "1,5",
    "+",
    "U;1",
    " a b=2",
    " =",
    "µ=5µs",
    "1e999",
    "\xa0",
]
BYTES = [
    b"\t",
    b"::",
    b"\xff",
    b"\xc3",
    b"\0",
    b"\tHOSTNAME::x",
    b"\tGRAPHITEPREFIX::v",
    b"\tTIMET::1",
    b"\tX::y=1",
    b"$",
    b"\r",
    b"DATATYPE::",
]
SETTINGS = [
    Names(),
    Names(cleaning="graphios"),
    Names(cleaning="escape", thresholds=("warn", "crit", "min", "max"), normalize=True),
    Names(scheme="tags", thresholds=("warn",)),
    Names(
        scheme="template",
        template="a.{label}.{host}.{service}",
        rewrite=((re.compile("[0-9]"), ""),),
        exclude=(re.compile("x"),),
    ),
]
NAME = re.compile(r"[^\s;]+(;[^\s;=]+=[^\s;]+)*")


def mutated(source: random.Random) -> str:
    text = source.choice(SEEDS) + " " + source.choice(SEEDS)
    for _ in range(source.randrange(1, 8)):
        at = source.randrange(len(text) + 1)
        text = text[:at] + source.choice(SCRAPS) + text[at + source.randrange(3) :]
    return text


@pytest.mark.slow
def test_the_parsers_agree_on_mutated_lines() -> None:
    source = random.Random(20261121)
    for _ in range(count(2000, 300_000)):
        text = mutated(source)
        metrics, bad = perfdata.parse(text)
        good, complaints, unknown = perfdata.items(text, whole=source.random() < 0.5)
        expected = [(metric.label, metric.value) for metric in metrics if metric.value is not None]
        assert [(perfdata.unquoted(item[0]), item[1]) for item in good] == expected, text
        assert complaints == bad, text
        assert len(unknown) == len(metrics) - len(expected), text


@pytest.mark.parametrize("whole", [False, True])
def test_the_quick_parser_agrees_on_what_it_takes(whole: bool) -> None:
    source = random.Random(20261124)
    taken = 0
    for _ in range(count(2000, 300_000)):
        text = mutated(source)
        found = perfdata.nearly(text, whole)
        if found is None:
            continue
        taken += 1
        metrics, bad = perfdata.parse(text)
        known = [metric for metric in metrics if metric.value is not None]
        assert bad == [], text
        assert [(perfdata.unquoted(item[0]), item[1]) for item in found[0]] == [(m.label, m.value) for m in known]
        assert [perfdata.unquoted(label) for label in found[1]] == [m.label for m in metrics if m.value is None]
        if whole:
            assert [(item[2], item[3] or None, item[4] or None) for item in found[0]] == [m[2:5] for m in known]
            assert [tuple(map(perfdata.limit, item[5:7])) for item in found[0]] == [m[5:7] for m in known]
    assert taken > 100


@pytest.mark.slow
def test_lines_of_known_hosts_and_services_come_to_the_same_as_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    source = random.Random(20261125)
    pairs = [(Converter(names), Converter(names)) for names in SETTINGS]
    for quick, _ in pairs:
        list(quick.convert(service_line("a=1").rstrip("\n").encode(), NOW))
    for _ in range(count(1000, 100_000)):
        raw = service_line(mutated(source).replace("\n", " ")).rstrip("\n").encode("utf-8", "surrogatepass")
        quick, careful = source.choice(pairs)
        found = [(list(items), list(rejects)) for items, rejects in quick.convert(raw, NOW)]
        with monkeypatch.context() as patched:
            patched.setattr(careful._reader, "quick", lambda raw, now: None)
            patched.setattr(perfdata, "fast", lambda *_: None)
            patched.setattr(perfdata, "nearly", lambda *_: None)
            assert found == [(list(items), list(rejects)) for items, rejects in careful.convert(raw, NOW)], raw
        assert quick.skipped == careful.skipped, raw


@pytest.mark.slow
def test_the_parsers_agree_on_long_mutated_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pieces as short as they can be; every item of a seed fits in.
    monkeypatch.setattr(perfdata, "CHUNK", 4096)
    monkeypatch.setattr(perfdata, "_LOOKAHEAD", 3000)
    source = random.Random(20261122)
    for _ in range(count(30, 3000)):
        text = " x=1;2 ".join(mutated(source) for _ in range(100)).replace("\ud800", "")
        raw = text.encode()
        pieces = list(perfdata.stream(raw))
        good, bad, unknown = perfdata.items(text)
        assert [item for some, _, _ in pieces for item in some] == good
        assert [item for _, some, _ in pieces for item in some] == bad
        assert [item for _, _, some in pieces for item in some] == unknown


@pytest.mark.slow
def test_no_mutated_line_breaks_a_converter_or_makes_it_send_what_carbon_would_not_take() -> None:
    source = random.Random(20261123)
    converters = [Converter(names, takes) for names in SETTINGS for takes in (LINES, POINTS)]
    for _ in range(count(1000, 100_000)):
        line = source.choice([service_line, host_line])
        raw = bytearray(line(mutated(source)).rstrip("\n").encode("utf-8", "surrogatepass"))
        for _ in range(source.randrange(3)):
            at = source.randrange(len(raw) + 1)
            raw[at : at + source.randrange(4)] = source.choice(BYTES)
        converter = source.choice(converters)
        for items, rejects in converter.convert(bytes(raw).replace(b"\n", b" "), NOW):
            for item in items:
                name, value, timestamp = item.split() if isinstance(item, str) else map(str, item[:3])
                assert NAME.fullmatch(name), raw
                assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value), raw
                assert abs(float(value)) < float("inf")
                assert timestamp.isascii()
                assert timestamp.isdigit()
                assert name.encode()
            assert all(reject.kind and reject.reason for reject in rejects)


HOSTILE: dict[str, Callable[[int], str]] = {
    "quotes": lambda n: "'" * n,
    "open-quotes": lambda n: "'a " * n,
    "word": lambda n: "a" * n,
    "words": lambda n: "a " * n,
    "brackets": lambda n: "[" * n,
    "bracket-items": lambda n: "[a=" * n,
    "equals": lambda n: "=" * n,
    "semicolons": lambda n: "a=1;" * n,
    "bars": lambda n: "a|" * n + "=1",
    "quoted-items": lambda n: "'a=1 '" * n,
    "tabs": lambda n: "\t" * n,
    "unknown-fields": lambda n: "\tX::y=1" * n,
    "undefined": lambda n: "$a" * n,
    "numbers": lambda n: "a=" + "9" * n,
    "dots": lambda n: "." * n + "=1",
    "no-values": lambda n: "a= " * n,
    "commas": lambda n: "a=1, " * n,
    "blanks": lambda n: " " * n + "a=1" + " " * n,
}


def steps(work: Callable[[], Any]) -> int:
    """How many lines of Python `work` runs: a measure of work that does not depend on the machine."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines


def converted(raw: bytes) -> Iterator[object]:
    for items, rejects in Converter(Names()).convert(raw, NOW):
        yield from items
        yield from rejects


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_work_grows_as_the_length_of_a_line_and_not_faster(text: Callable[[int], str]) -> None:
    small, large = (service_line(text(n)).rstrip("\n").encode() for n in (1500, 6000))
    few, many = (steps(lambda raw=raw: list(converted(raw))) for raw in (small, large))  # type: ignore[misc]
    assert many <= 5 * few + 1000


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_line_of_megabytes_is_done(text: Callable[[int], str]) -> None:
    # What a line of Python hides (a search, an expression that backtracks) shows here: quadratic work would take long.
    raw = service_line(text(200_000 // len(text(1)))).rstrip("\n").encode()
    assert sum(1 for _ in converted(raw)) <= len(raw)
