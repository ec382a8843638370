"""The output of a Nagios plugin taken apart, and shortened. Bytes throughout: a plugin may print anything.

Source: Nagios plugin API. The first line is text, and behind its first `|` perfdata; the next lines are text up to a `|`, and all behind
that is perfdata.
"""

_BLANKS = b" \t\n\r\v\f"

NRPE_LIMITS = (1023, 65504)
"""Where NRPE cuts output silently, in bytes: packets of version 2, and version 4."""


class PluginOutput:
    """`first` line of text, the `more` lines of text, and all `perfdata` of both sections, joined with a blank as Nagios does."""

    __slots__ = ("first", "has_perfdata", "more", "perfdata")

    def __init__(self, output: bytes) -> None:
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
        while position < len(self.perfdata):
            start = position
            position = _item_end(self.perfdata, position) or len(self.perfdata)
        self.perfdata = self.perfdata[:start].rstrip()

    def short(self, limit: int) -> bytes:
        """At most `limit` bytes, newline included: the first line, as many whole leading items of perfdata as fit, further lines as fit."""
        room = limit - 1
        text = _cut(self.first, room)
        room -= len(text)
        items = leading_items(self.perfdata, room - 3)
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


def leading_items(perfdata: bytes, room: int) -> bytes:
    """The whole leading items of `perfdata` that fit into `room` bytes."""
    end = 0
    while end < len(perfdata):
        next_end = _item_end(perfdata, end)
        if not next_end or next_end > room:
            break
        end = next_end
    return perfdata[:end].translate(bytes.maketrans(_BLANKS, b"      "))


def _item_end(perfdata: bytes, position: int) -> int:
    """Where the item that begins at or after `position` ends; 0 when there is none."""
    while perfdata[position : position + 1] in _BLANKS and position < len(perfdata):
        position += 1
    equals = perfdata.find(b"'=", position + 1) + 1 if perfdata[position : position + 1] == b"'" else 0
    equals = equals or perfdata.find(b"=", position)
    if equals < 0:
        return 0
    end = equals
    while end < len(perfdata) and perfdata[end] not in _BLANKS:
        end += 1
    return end


def cut_by_nrpe(output: bytes) -> bool:
    """Whether NRPE may have cut this output of check_nrpe (which adds a newline): it has exactly the length of one of NRPE's limits."""
    return len(output.removesuffix(b"\n")) in NRPE_LIMITS


def _cut(text: bytes, limit: int) -> bytes:
    """`text`, shortened to `limit` bytes, but not within a UTF-8 character, and ending in "..." then."""
    if len(text) <= limit:
        return text
    return text[: limit - 3].decode("utf-8", "ignore").encode() + b"..."
