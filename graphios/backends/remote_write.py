"""Prometheus remote write 1.0: what a request holds.

Source of the format: "Prometheus Remote-Write 1.0 specification" (prometheus.io/docs/specs/prw/remote_write_spec)
with its protobuf messages

    WriteRequest { repeated TimeSeries timeseries = 1; }     TimeSeries { repeated Label labels = 1; repeated Sample
    samples = 2; } Label { string name = 1; string value = 2; }             Sample { double value = 1; int64 timestamp
    = 2; }  (milliseconds)

in protobuf's wire format (protobuf.dev/programming-guides/encoding), as one snappy block. Four messages are written
here by hand, because a protobuf runtime is larger than graphios. Labels go sorted by name, samples of a series by
time.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable
from typing import NamedTuple

from graphios.errors import GraphiosError
from graphios.points import Point

HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}

Series = tuple[tuple[str, str], ...]
"""Label names and values, sorted by name; a metric's name is the label __name__."""

_LABELS = _TIMESERIES = b"\x0a"  # field 1, length-delimited
_SAMPLES = b"\x12"  # field 2, length-delimited
_NAME, _TEXT = b"\x0a", b"\x12"
_VALUE = struct.Struct("<cd")  # field 1, 64 bits
_LONGEST_VARINT = 0x7F


class Sample(NamedTuple):
    """A value of a series; `position`: where it stood in the batch."""

    position: int
    series: Series
    milliseconds: int
    value: float


def sample(position: int, point: Point, metric: str) -> Sample:
    """`metric` with the labels host, service, label and unit; a threshold's name has its field at the end. Empty
    labels are none.
    """
    name = metric if point.field == "value" else f"{metric}_{point.field}"
    series = _series(name, point.host, point.label, point.service or "", point.unit)
    return Sample(position, series, point.timestamp * 1000, float(point.value))


@functools.lru_cache(maxsize=20_000)
def _series(name: str, host: str, label: str, service: str, unit: str) -> Series:
    labels = (("__name__", name), ("host", host), ("label", label), ("service", service), ("unit", unit))
    return tuple((key, _text(text)) for key, text in labels if text)


@functools.lru_cache(maxsize=20_000)
def _labels(series: Series) -> bytes:
    return b"".join(
        _field(_LABELS, _field(_NAME, name.encode()) + _field(_TEXT, text.encode())) for name, text in series
    )


def request(samples: Iterable[Sample]) -> bytes:
    """The body for samples of any order. Raises GraphiosError where the package cramjam is missing."""
    try:
        from cramjam import snappy
    except ImportError as error:
        raise GraphiosError(
            f"Prometheus remote write needs the Python package cramjam (pip install 'testbed-checks[prometheus]'): {error}"
        ) from error
    by_series: dict[Series, list[Sample]] = {}
    for one in samples:
        by_series.setdefault(one.series, []).append(one)
    message = b"".join(_field(_TIMESERIES, _timeseries(series, of)) for series, of in by_series.items())
    return bytes(snappy.compress_raw(message))


def _timeseries(series: Series, samples: list[Sample]) -> bytes:
    parts = [_labels(series)]
    if len(samples) > 1:
        samples.sort(key=lambda of: of.milliseconds)
    for one in samples:
        parts.append(_field(_SAMPLES, _VALUE.pack(b"\x09", one.value) + b"\x10" + varint(one.milliseconds)))
    return b"".join(parts)


def _field(key: bytes, content: bytes) -> bytes:
    return key + varint(len(content)) + content


def varint(number: int) -> bytes:
    """Base 128, lowest seven bits first; negative ones as 64-bit two's complement."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while number > _LONGEST_VARINT:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
