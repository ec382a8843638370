"""The output of a Nagios plugin taken apart, and shortened. Bytes throughout: a plugin may print anything.

Source: Nagios plugin API. The first line is text, and behind its first `|` perfdata; the next lines are text up to a `|`, and all behind
that is perfdata.
"""

_AS_BLANK = bytes.maketrans(b"\t\n\r\v\f", b"     ")

NRPE_LIMITS = (1023, 65504)
"""Where NRPE cuts output silently, in bytes: packets of version 2, and version 4."""
LONGEST_OUTPUT = 16 * 1024 * 1024
"""Bytes of output whose perfdata is shipped."""
LONGEST_RAW = 24 * 1024 * 1024
"""Bytes to read of a command: 16 MiB that do not compress at all, as base64 with line ends."""

# Lengths of perfdata among which are those of perfdata._CUT_LENGTHS, whose import would cost time.
_SHORTEST_CUT, _LONGEST_CUT = 4001, 8192


class PluginOutput:
    """`first` line of text, the `more` lines of text, and all `perfdata` of both sections, joined with a blank as Nagios does."""

    __slots__ = ("first", "has_perfdata", "kept", "more", "perfdata")

    def __init__(self, output: bytes) -> None:
        self.kept = 0
        head, _, rest = output.partition(b"\n")
        first, bar, perfdata = head.partition(b"|")
        more, second_bar, more_perfdata = rest.partition(b"|")
        self.first = first.rstrip()
        self.more = [line.rstrip() for line in more.split(b"\n") if line.strip()]
        self.perfdata = perfdata.strip()
        if second_bar:
            self.perfdata = (self.perfdata + b" " + more_perfdata.strip()).strip()
        self.has_perfdata = bool(bar or second_bar)

    def drop_last_item(self) -> None:
        """Takes the last item of the perfdata away: the output was cut, perhaps in the middle of it."""
        start = 0
        position = 0
        perfdata = self.perfdata.translate(_AS_BLANK)
        while position < len(perfdata):
            start = position
            position = _item_end(perfdata, position) or len(perfdata)
        self.perfdata = self.perfdata[:start].rstrip()

    def short(self, limit: int) -> bytes:
        """At most `limit` bytes, newline included: the first line, as many whole leading items of perfdata as fit, further lines as fit.

        `kept` says afterwards how many bytes of the perfdata are in it.
        """
        room = limit - 1
        text = _cut(self.first, room)
        room -= len(text)
        items = leading_items(self.perfdata, room - 3)
        self.kept = len(items)
        if items:
            text += b" | " + items
            room -= 3 + len(items)
        for line in self.more:
            if len(line) >= room:
                break
            # A bar in a later line would turn the rest into perfdata.
            text += b"\n" + line
            room -= 1 + len(line)
        return text.replace(b"\0", b" ") + b"\n"


class Digest:
    """What a command printed, for two readers: `perfdata` for graphios, all of it (empty: nothing to ship); and text() for Nagios.

    `notes` say what is not shipped, and why; a reader sees them in the text.
    """

    __slots__ = ("_as_printed", "_raw", "notes", "output", "perfdata")

    def __init__(self, printed: bytes, length: int, signal: int, name: bytes) -> None:
        """`printed` is the beginning of the `length` bytes that the command `name` printed; `signal` ended it, or is 0."""
        self.notes: list[str] = []
        self._raw = printed
        if signal and not printed.strip():
            self._raw = b"UNKNOWN: %s was ended by signal %d" % (name, signal)
        self.output = PluginOutput(self._raw)
        self.perfdata = b""
        try:
            self._take_apart(length, signal)
            self.perfdata = not_cut(self.output.perfdata)
        except ValueError as error:
            self.notes.append(f"perfdata not spooled: {error}")
        self._as_printed = self._raw is printed

    def _take_apart(self, length: int, signal: int) -> None:
        raw = self._raw
        if length > LONGEST_RAW:
            raise ValueError(f"output of {length} bytes is over the limit of {LONGEST_OUTPUT}")
        if raw.partition(b"\n")[2].startswith(b"COMPRESSED "):
            # Until it is expanded, only its first line is of use.
            self.output = PluginOutput(raw.partition(b"\n")[0])
            from graphios import compressed

            self._raw = compressed.expand(raw)
            self.output = PluginOutput(self._raw)
        elif len(raw) > LONGEST_OUTPUT:
            raise ValueError(f"output of {len(raw)} bytes is over the limit of {LONGEST_OUTPUT}")
        elif self.output.has_perfdata:
            cut = f"NRPE may have cut it at {len(raw)} bytes" if cut_by_nrpe(raw) else ""
            if signal and not raw.endswith(b"\n"):
                cut = f"the command was ended by signal {signal}"
            if cut:
                self.output.drop_last_item()
                self.notes.append(f"last perfdata item not shipped: {cut}")

    def text(self, limit: int) -> bytes:
        """At most `limit` bytes for Nagios, with the notes; output.kept says how much of output.perfdata is in it."""
        output = self.output
        if not self.notes and self._as_printed and len(self._raw) <= limit:
            output.kept = len(output.perfdata)
            return self._raw.replace(b"\0", b" ")
        for note in self.notes:
            keep = limit // 2
            output.first = (output.first if len(output.first) <= keep else output.first[:keep]) + f" ({note})".encode()
        return output.short(limit) if self._raw or self.notes else b""


def not_cut(perfdata: bytes) -> bytes:
    """`perfdata` whose last value graphios takes for complete: at some lengths a bare one counts as cut by Nagios, which never saw this."""
    bare = b";" not in perfdata.rpartition(b"=")[2]
    return perfdata + b";" if bare and _SHORTEST_CUT <= len(perfdata) <= _LONGEST_CUT else perfdata


def leading_items(perfdata: bytes, room: int) -> bytes:
    """The whole leading items of `perfdata` that fit into `room` bytes."""
    perfdata = perfdata.translate(_AS_BLANK)
    if room > 0 and b"'" not in perfdata[: room + 1]:
        # The usual case, quicker: what stands between blanks is an item.
        kept = perfdata if len(perfdata) <= room else perfdata[: max(0, perfdata.rfind(b" ", 0, room + 1))]
        kept = kept.rstrip(b" ")
        if all(b"=" in word for word in kept.split(b" ") if word):
            return kept
    end = 0
    while end < len(perfdata):
        next_end = _item_end(perfdata, end)
        if not next_end or next_end > room:
            break
        end = next_end
    return perfdata[:end]


def _item_end(perfdata: bytes, position: int) -> int:
    """Where the item that begins at or after `position` ends, with all blanks as spaces; 0 when there is none."""
    while perfdata[position : position + 1] == b" ":
        position += 1
    equals = perfdata.find(b"'=", position + 1) + 1 if perfdata[position : position + 1] == b"'" else 0
    equals = equals or perfdata.find(b"=", position)
    if equals < 0:
        return 0
    end = perfdata.find(b" ", equals)
    return end if end >= 0 else len(perfdata)


def cut_by_nrpe(output: bytes) -> bool:
    """Whether NRPE may have cut this output of check_nrpe (which adds a newline): it has exactly the length of one of NRPE's limits."""
    return len(output.removesuffix(b"\n")) in NRPE_LIMITS


def _cut(text: bytes, limit: int) -> bytes:
    """`text`, shortened to `limit` bytes, but not within a UTF-8 character, and ending in "..." then."""
    if len(text) <= limit:
        return text
    return text[: limit - 3].decode("utf-8", "ignore").encode() + b"..."
