"""What leaves a check: clean text, clean labels, plain numbers, and never more bytes than the road carries."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

DEFAULT_BUDGET = 4000
COMPRESSED_NOTE = " [compressed, graphios-tap expands it]"
_FIRST_LINE = 400
# Deflated texts to try for the largest that fits: each guess is made from the one before, and the last ones differ little.
_TRIES = 6
# Compiled by re when first needed: most runs meet only clean text, and compiling costs more than judging a guest.
_DIRTY_LABEL = r"[^A-Za-z0-9_-]"
# Control characters, surrogates and line separators; "|" starts perfdata, "<" and ">" could be markup on a status page.
_DIRTY_TEXT = "[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029|]"
_DIRTY_NAME = "[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069|<>]"


def clean_text(text: str) -> str:
    """Return `text` as one line without control characters and without "|"."""
    if text.isprintable() and "|" not in text:
        return text.strip()
    return re.sub(_DIRTY_TEXT, " ", text.replace("|", "/").replace("\n", "; ")).strip()


def clean_name(name: str) -> str:
    """Return a name that came from outside so that it can stand in the text: no control characters, markup or "|"."""
    return name if _plain(name) else re.sub(_DIRTY_NAME, "?", name)


def host_port(host: str, port: int) -> str:
    """Return where a server listens, as an operator writes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def label_part(raw: str) -> str:
    """Return `raw` as one part of a label: [A-Za-z0-9_-], not with _ first; where that changed it, a hash of the raw name keeps it apart.

    What begins with _ is to graphios a mount point, or could be one, and would get another hash there.
    """
    if _plain(raw) and raw[0] != "_":
        return raw
    import hashlib  # 3 ms, and most names need none

    try:
        whole = raw.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        whole = raw.encode("utf-8", "surrogatepass")  # JSON may hold half a character: "\ud800"
    digest = hashlib.sha256(whole).hexdigest()[:8]
    return f"{re.sub(_DIRTY_LABEL, '_', raw)[:60]}_{digest}".lstrip("_")


def _plain(name: str) -> bool:
    """Whether a name holds nothing but [A-Za-z0-9_-], and something."""
    return name.isascii() and name.replace("-", "a").replace("_", "a").isalnum()


def decimal(value: float) -> str:
    """Return `value` as a plain decimal, at most six places, without exponent. Raises ValueError for NaN and infinity."""
    if isinstance(value, int):
        return str(int(value))
    if not math.isfinite(value):
        raise ValueError(f"{value} is no value for perfdata")
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def perfdata(label: str, value: float, unit: str = "", warning: object = None, critical: object = None) -> str:
    """Return one perfdata item, `label=value[unit][;warn[;crit]]`."""
    item = f"{label}={decimal(value)}{unit}"
    if warning is None and critical is None:
        return item
    return f"{item};{'' if warning is None else warning};{'' if critical is None else critical}".rstrip(";")


class Output:
    """The parts of a check's output: first line, perfdata with the most important first, and lines below.

    An entry of `metrics` may hold several items with a blank between; `left_out` counts items that were not even made.
    """

    def __init__(self, first: str, metrics: Sequence[str] = (), lines: Sequence[str] = (), left_out: int = 0) -> None:
        self.first = clean_text(first)
        if len(self.first) > _FIRST_LINE:
            self.first = self.first[: _FIRST_LINE - 1] + "…"
        self.metrics = metrics
        self.lines = [clean_text(line) for line in lines]
        self.left_out = left_out

    def render(self, budget: int = DEFAULT_BUDGET, compress: bool = False) -> str:
        """Return the text, at most `budget` bytes of UTF-8; whole metrics and lines are dropped to fit, and the text says so."""
        whole = _join(self.first, self.metrics, self.lines)
        if _size(whole) <= budget and not self.left_out:
            return whole
        self.metrics = " ".join(self.metrics).split(" ") if self.metrics else ()
        return self._compressed(whole, budget) if compress else self._cut(budget)

    def _cut(self, budget: int) -> str:
        """Metrics and lines share what the first line leaves: lines get what metrics do not need, but half where both lack room."""
        first = _fit(self.first, max(budget - 80, 20))
        room = budget - _size(first) - 70
        lines_size = sum(_size(line) + 1 for line in self.lines)
        metrics_size = sum(map(len, self.metrics)) + len(self.metrics)
        metrics_room = max(room - lines_size, min(room // 2, metrics_size)) if lines_size else room
        metrics = _take(self.metrics, metrics_room)
        lines = _take(self.lines, room - sum(_size(item) + 1 for item in metrics))
        return _join(first + self._dropped(len(metrics), len(lines)), metrics, lines)

    def _dropped(self, metrics: int, lines: int) -> str:
        """Say what is missing where only so many metrics and lines are left."""
        all_metrics = len(self.metrics) + self.left_out
        said = f" [{metrics} of {all_metrics} metrics fit]" if metrics < all_metrics else ""
        return said + (f" [{lines} of {len(self.lines)} lines fit]" if lines < len(self.lines) else "")

    def _compressed(self, whole: str, budget: int) -> str:
        """Deflate the whole text; where even that is too large, the most metrics (and lines before them) that fit.

        The form: the first line, `COMPRESSED deflate base64 <bytes when expanded>`, then base64 of zlib's format (RFC 1950).
        """
        packed = b""
        # Level 1 takes a third of the time of level 6, which deflates a fifth better: only where that is needed.
        for level in (1, 6):
            packed = self._pack(whole, self.first, level)
            if len(packed) <= budget and not self.left_out:
                return packed.decode("utf-8")
        best, fits = self._cut(budget), -1
        number = len(self.metrics)
        for _ in range(_TRIES):
            number = min(number * budget // (len(packed) or 1), len(self.metrics))
            first = self.first + self._dropped(number, 0)
            packed = self._pack(_join(first, self.metrics[:number], ()), first, 6)
            if fits < number and len(packed) <= budget:
                best, fits = packed.decode("utf-8"), number
            elif len(packed) > budget:
                number = number * 99 // 100
        return best

    def _pack(self, text: str, first: str, level: int) -> bytes:
        import binascii
        import zlib

        raw = text.encode("utf-8", "replace")
        head = f"{first}{COMPRESSED_NOTE}\nCOMPRESSED deflate base64 {len(raw)}\n".encode("utf-8", "replace")
        return head + binascii.b2a_base64(zlib.compress(raw, level))


def _join(first: str, metrics: Sequence[str], lines: Sequence[str]) -> str:
    text = f"{first} | {' '.join(metrics)}\n" if metrics else f"{first}\n"
    return text + "".join(f"{line}\n" for line in lines)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _fit(text: str, size: int) -> str:
    while _size(text) > size:
        text = text[: len(text) * size // _size(text) - 1] + "…" if size > 10 else text[:size]
    return text


def _take(items: Sequence[str], room: int) -> Sequence[str]:
    """Return the leading items whose bytes, each with a separator, fit into `room`."""
    for number, item in enumerate(items):
        room -= _size(item) + 1
        if room < 0:
            return items[:number]
    return items
