"""A node or an introducer asked over its web port: what it is, is found out by what it answers.

Content-Types lie (JSON comes as text/plain and text/html), so that only the body counts. A web port of Tahoe-LAFS has no passwords.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from checks import web
from checks.deadline import BadInput, stage
from checks.output import clean_name
from checks.tahoe import statistics, storage, welcome
from checks.tahoe.records import Introductions, Statistics, Welcome
from checks.tahoe.storage import Storage

LARGEST = 16 << 20
"""What is read of one answer, bytes: 10,000 servers with a long failure each."""
_Parsed = TypeVar("_Parsed")


class NodeError(Exception):
    """What keeps a node from being looked at; the text names host and port and says what to do.

    `known` is False where nothing is known about the node itself.
    """

    def __init__(self, text: str, *, known: bool = True) -> None:
        super().__init__(text)
        self.known = known


class Answer(NamedTuple):
    """What a node or an introducer told; None is what it has not got, or did not tell. `seconds` is what the first answer took."""

    seconds: float
    welcome: Welcome | None = None
    introductions: Introductions | None = None
    statistics: Statistics | None = None
    storage: Storage | None = None
    troubles: tuple[str, ...] = ()
    """what it should have told but did not, for the operator"""

    @property
    def kind(self) -> str:
        """What it is: "introducer", "storage node" or "client"."""
        if self.introductions:
            return "introducer"
        return "storage node" if self.storage or (self.statistics and self.statistics.stores) else "client"


def node(url: str, until: float) -> Answer:
    """Return all that the node at `url` (a folder, with / at its end) tells; waiting ends at `until` of time.monotonic().

    Raises NodeError where the first question gets no answer, or neither does what a node is known by. Later ones that fail are `troubles`.
    """
    answer = grid(url, until, old=True)
    if answer.introductions:
        return answer
    troubles = list(answer.troubles)
    try:
        numbers = _asked(url, "statistics?t=json", until, statistics.read)[0]
    except _Missing as error:
        if not answer.welcome:
            raise NodeError(f"{web.place(url)} answers, but not as Tahoe-LAFS: is --url a node's web port?") from error
        return answer._replace(troubles=(*troubles, str(error)))
    answer = answer._replace(statistics=numbers)
    if not numbers.stores:
        return answer  # it would answer with HTTP 500, and a traceback in its log
    try:
        found = _asked(url, "storage?t=json", until, storage.read)[0]
    except _Missing as error:
        # What has storage statistics but no such page is no trouble: 500 is how a node says "no storage service".
        return answer if error.status in (404, 500) else answer._replace(troubles=(*troubles, str(error)))
    return answer._replace(storage=found)


def grid(url: str, until: float, *, old: bool = False) -> Answer:
    """Return only what a client knows of its grid, or an introducer; see `node`.

    Raises NodeError, but where `old` not for an answer that is no JSON: nodes before 1.13 have only a web page there.
    """
    try:
        found, seconds = _asked(url, "?t=json", until, welcome.read)
    except _Missing as error:
        if not error.page or error.status >= 400 or not old:
            raise error.as_error(url) from error
        return Answer(error.page.seconds, troubles=(str(error),))
    if isinstance(found, Introductions):
        return Answer(seconds, introductions=found)
    return Answer(seconds, welcome=found)


class _Missing(Exception):
    """A question that was not answered as it should; `page` is an answer that came."""

    def __init__(self, text: str, page: web.Page | None = None, cause: web.WebError | None = None) -> None:
        super().__init__(text)
        self.page, self.cause = page, cause

    @property
    def status(self) -> int:
        return self.page.status if self.page else 0

    def as_error(self, url: str) -> NodeError:
        """Return what it means for the node as a whole."""
        place = web.place(url)
        match self.cause:
            case web.Unresolvable():
                return NodeError(f"{place}: {self.cause}", known=False)
            case web.Refused():
                return NodeError(f"{place} refuses connections: start the node, or see web.port in its tahoe.cfg")
            case web.Unreachable() | web.Untrusted():
                return NodeError(f"{place}: {self.cause}")
            case web.NoAnswer():
                return NodeError(f"{place} takes connections but never answers: the node hangs, restart it")
            case web.EmptyAnswer():
                return NodeError(f"{place} closes connections without an answer: see the node's log")
            case web.Incomplete():
                return NodeError(f"{place}: {clean_name(str(self.cause))}: see the node's log")
        if self.cause or self.status < 400:
            return NodeError(f"{place}: {clean_name(str(self))}: is --url a node's web port?")
        return NodeError(f"{place} answers HTTP {self.status}: see the node's log, and whether --url is its web port")


def _asked(url: str, question: str, until: float, read: Callable[[bytes, str], _Parsed]) -> tuple[_Parsed, float]:
    """Return what one question is answered with, and the seconds it took. Raises _Missing."""
    name = f"/{question}"
    with stage(f"asking {web.place(url)} for {name}"):
        try:
            page = web.get(url + question, until, LARGEST)
        except web.WebError as error:
            raise _Missing(f"{name}: {error}", cause=error) from error
    if page.status != 200:
        raise _Missing(f"{name}: HTTP {page.status}", page)
    try:
        return read(page.body, name), page.seconds
    except BadInput as error:
        raise _Missing(str(error), page) from error
