"""What InfluxDB, Prometheus and statsd are sent, byte by byte."""

from __future__ import annotations

import struct

import pytest
from cramjam import snappy
from hypothesis import given
from hypothesis import strategies as st

from graphios.backends.halving import settle
from graphios.backends.line_protocol import Layout, escape
from graphios.backends.prometheus import Prometheus
from graphios.backends.remote_write import request, sample, varint
from graphios.backends.statsd import LONGEST_DATAGRAM, datagrams, gauge
from graphios.backends.stored import query_address
from graphios.configuration.settings import InfluxBackend, PrometheusBackend
from graphios.errors import GraphiosError
from graphios.points import Point

T = 1_795_253_480


def point(label: str, value: str = "1", field: str = "value", service: str | None = "http", unit: str = "") -> Point:
    return Point(f"web.{label}", value, T, "web", service, label, field, unit)


def lines(points: list[Point], **options: object) -> list[str]:
    layout = Layout(InfluxBackend("influxdb", "http://x", **options))  # type: ignore[arg-type]
    return [line.text for line in layout.lines(enumerate(points), False)]


@pytest.mark.parametrize(
    ("text", "influxdb", "victoriametrics"),
    [
        ("a b,c=d", r"a\ b\,c\=d", r"a\ b\,c\=d"),
        (r"C:\temp", r"C:\temp", r"C:\\temp"),
        (r"C:\ used", r"C:\\ used", r"C:\\\ used"),
        ("C:\\", "C:\\\\ ", "C:\\\\"),
        ("C:\\ ", "C:\\\\ \\ ", "C:\\\\\\ "),
        ("a\nb", r"a\ b", r"a\ b"),
        ("größe µ", r"größe\ µ", r"größe\ µ"),
        ("\udcff", r"\udcff", r"\\udcff"),
    ],
)
def test_special_characters_are_escaped(text: str, influxdb: str, victoriametrics: str) -> None:
    assert escape(text, False) == influxdb
    assert escape(text, True) == victoriametrics


def unescaped(text: str) -> str:
    """What InfluxDB 1.6 reads, found by trying: a backslash before a comma, blank or equals sign goes, every other one stays."""
    out, i = "", 0
    while i < len(text):
        i += text[i] == "\\" and text[i + 1 : i + 2] in (",", " ", "=")
        out += text[i]
        i += 1
    return out


@given(st.text(alphabet="\\ ,=ab/", min_size=1), st.text(alphabet="\\ ,=ab/", min_size=1))
def test_no_two_labels_become_one(one: str, other: str) -> None:
    assert (escape(one, False) == escape(other, False)) == (one == other)
    assert not escape(one, False).endswith("\\")
    assert unescaped(escape(one, False)) in (one, one + " ")


def test_a_value_and_its_thresholds_are_one_line_and_empty_tags_are_left_out() -> None:
    both = [point("rta", "1.5", unit="ms"), point("rta", "3", "warn", unit="ms"), point("pl", "0", service=None)]
    assert lines(both) == [
        f"perfdata,host=web,label=rta,service=http,unit=ms value=1.5,warn=3 {T}\n",
        f"perfdata,host=web,label=pl value=0 {T}\n",
    ]


def test_a_value_that_comes_twice_is_two_lines() -> None:
    assert len(lines([point("m", "1"), point("m", "2")])) == 2


def test_measurement_and_tags_of_a_graphios_2_site() -> None:
    layout = {"measurement": "{service}", "tags": (("host", "{host}"), ("check", "{label}"), ("dc", "a b"))}
    assert lines([point("m"), point("n", service=None), point("o", service="#1 x")], **layout) == [
        f"http,check=m,dc=a\\ b,host=web value=1 {T}\n",
        f"_HOST_,check=n,dc=a\\ b,host=web value=1 {T}\n",
        f"_1\\ x,check=o,dc=a\\ b,host=web value=1 {T}\n",  # a line that begins with # would be a comment
    ]


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_varints_are_read_back(number: int) -> None:
    read = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(varint(number)))
    assert read == number % 2**64
    assert [byte >> 7 for byte in varint(number)] == [1] * (len(varint(number)) - 1) + [0]


def test_a_write_request_by_the_book() -> None:
    """Written out from the specification: one series, its labels sorted, two samples in milliseconds, the earlier one first."""
    later = point("m", "2.5")._replace(timestamp=T + 1)
    body = bytes(snappy.decompress_raw(request([sample(0, later, "perf"), sample(1, point("m", "-1"), "perf")])))

    def label(name: bytes, text: bytes) -> bytes:
        inner = b"\x0a" + bytes([len(name)]) + name + b"\x12" + bytes([len(text)]) + text
        return b"\x0a" + bytes([len(inner)]) + inner

    def one(value: float, milliseconds: int) -> bytes:
        inner = b"\x09" + struct.pack("<d", value) + b"\x10" + varint(milliseconds)
        return b"\x12" + bytes([len(inner)]) + inner

    series = label(b"__name__", b"perf") + label(b"host", b"web") + label(b"label", b"m") + label(b"service", b"http")
    series += one(-1, T * 1000) + one(2.5, T * 1000 + 1000)
    assert body == b"\x0a" + bytes([len(series)]) + series


def test_thresholds_are_metrics_of_their_own() -> None:
    assert sample(0, point("m", field="warn_low"), "perf").series[0] == ("__name__", "perf_warn_low")


def test_a_metric_that_prometheus_would_drop_without_a_word_is_refused() -> None:
    with pytest.raises(GraphiosError, match="'nagios-perfdata' is no name"):
        Prometheus(PrometheusBackend("prometheus", "http://x", metric="nagios-perfdata"), lambda: False)


def test_only_a_prometheus_is_asked_what_it_holds() -> None:
    assert query_address("http://p:9090/base/api/v1/write") == "http://p:9090/base/api/v1/query"
    assert query_address("http://mimir/api/v1/push") is None


def test_gauges() -> None:
    assert gauge("a.b 1.5 1\n") == b"a.b:1.5|g\n"
    assert gauge("a.b -1.5 1\n") == b"a.b:0|g\na.b:-1.5|g\n"
    assert gauge("a:b|c@d 1 1\n") == b"a_b_c_d:1|g\n"


def test_datagrams_are_full_and_never_too_long() -> None:
    gauges = [gauge(f"series.number{i} -{i} 1\n") for i in range(500)]
    packets = list(datagrams(iter(gauges)))
    assert b"".join(packets) == b"".join(gauges)
    assert all(LONGEST_DATAGRAM - 100 < len(packet) <= LONGEST_DATAGRAM for packet in packets[:-1])
    assert list(datagrams(iter([b"x" * 2000, b"y"]))) == [b"x" * 2000, b"y"]


@given(st.integers(min_value=1, max_value=300), st.sets(st.integers(min_value=0, max_value=299), max_size=5))
def test_halving_finds_the_guilty_and_sends_the_others_once_in_order(count: int, guilty: set[int]) -> None:
    taken: list[int] = []
    requests = 0

    def send(part: object) -> str | None:
        nonlocal requests
        requests += 1
        numbers = list(part)  # type: ignore[call-overload]
        if guilty & set(numbers):
            return f"one of {len(numbers)}"
        taken.extend(numbers)
        return None

    found = settle(range(count), send)
    assert [item for item, _ in found] == sorted(guilty & set(range(count)))
    assert taken == [item for item in range(count) if item not in guilty]
    assert requests <= 1 + 2 * len(found) * 9
