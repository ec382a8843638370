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
_WELCOME, _STATISTICS, _STORAGE = "/?t=json", "/statistics?t=json", "/storage?t=json"
_Record = TypeVar("_Record")


class NodeError(Exception):
    """What keeps a node from being looked at; the text names host and port and says what to do.

    `known` is False where nothing is known about the node itself. `question` is what was asked and `short` what went wrong with it;
    `page` is the answer, where one came that is of no use.
    """

    def __init__(
        self, text: str, question: str, short: str, *, known: bool = True, page: web.Page | None = None
    ) -> None:
        super().__init__(text)
        self.question, self.short, self.known, self.page = question, short, known, page

    @property
    def is_untold(self) -> bool:
        """Whether a healthy node answers so: one without a storage service, or too old to have this as JSON."""
        if self.page is None or self.question == _STATISTICS:
            return False
        if self.page.status == 500:
            return self.question == _STORAGE
        return self.page.status == 404 or _is_web_page(self.page)


class Answer(NamedTuple):
    """What a node or an introducer told; None is what it has not got, or did not tell. `seconds` is what the first answer took."""

    seconds: float
    welcome: Welcome | None = None
    introductions: Introductions | None = None
    statistics: Statistics | None = None
    storage: Storage | None = None
    troubles: tuple[str, ...] = ()
    """what it should have told but did not, because it is sick: "/statistics?t=json: no complete answer in time" """
    untold: tuple[str, ...] = ()
    """what its version or its configuration does not tell: "/storage?t=json: HTTP 500" """

    @property
    def kind(self) -> str:
        """What it is: "introducer", "storage node" or "client"; "node" where its statistics did not come."""
        if self.introductions:
            return "introducer"
        if not self.statistics:
            return "node"
        return "storage node" if self.statistics.stores else "client"

    def without(self, error: NodeError) -> Answer:
        """Return the answer with what is missing from it named."""
        if error.is_untold:
            return self._replace(untold=(*self.untold, error.short))
        return self._replace(troubles=(*self.troubles, error.short))


def node(url: str, until: float) -> Answer:
    """Return all that the node at `url` (a folder, with / at its end) tells; waiting ends at `until` of time.monotonic().

    Raises NodeError where the first question gets no answer, or nothing that comes is Tahoe-LAFS's. What fails later is among `troubles`.
    """
    first = None
    try:
        answer = grid(url, until)
    except NodeError as error:
        if error.page is None:
            raise
        first, answer = error, Answer(error.page.seconds).without(error)
    if answer.introductions:
        return answer
    try:
        numbers, _ = _asked(url, _STATISTICS, until, statistics.read)
    except NodeError as error:
        if first:
            raise first from error
        return answer.without(error)
    answer = answer._replace(statistics=numbers)
    if not numbers.stores:
        return answer  # it would answer the next with HTTP 500, and write a traceback to its log
    try:
        return answer._replace(storage=_asked(url, _STORAGE, until, storage.read)[0])
    except NodeError as error:
        return answer.without(error)


def grid(url: str, until: float) -> Answer:
    """Return only what a client knows of its grid, or an introducer of its nodes; see `node`. Raises NodeError."""
    found, seconds = _asked(url, _WELCOME, until, welcome.read)
    if isinstance(found, Introductions):
        return Answer(seconds, introductions=found)
    return Answer(seconds, welcome=found)


def _asked(url: str, question: str, until: float, read: Callable[[bytes, str], _Record]) -> tuple[_Record, float]:
    """Return what one question is answered with, and the seconds it took. Raises NodeError."""
    place = web.place(url)
    with stage(f"asking {place} for {question}"):
        try:
            page = web.get(url.rstrip("/") + question, until, LARGEST)
        except web.WebError as error:
            known = not isinstance(error, web.Unresolvable)
            short = f"{question}: {clean_name(str(error))}"
            raise NodeError(f"{place} {_failure(error)}", question, short, known=known) from error
    if page.status >= 400:
        said = f"answers HTTP {page.status}: see the node's log, and whether --url is its web port"
        raise NodeError(f"{place} {said}", question, f"{question}: HTTP {page.status}", page=page)
    try:
        if page.status != 200:
            raise BadInput(f"{question}: HTTP {page.status}")
        return read(page.body, question), page.seconds
    except BadInput as error:
        short = f"{question} is a web page, no JSON" if _is_web_page(page) else str(error)
        said = f"answers, but not as Tahoe-LAFS ({short}): is --url the web port of a node?"
        raise NodeError(f"{place} {said}", question, short, page=page) from error


def _is_web_page(page: web.Page) -> bool:
    return page.status == 200 and page.body.lstrip().startswith(b"<")


def _failure(error: web.WebError) -> str:
    """Return what it means for a node, with what to do."""
    match error:
        case web.Refused():
            return "refuses connections: start the node, or see web.port in its tahoe.cfg"
        case web.NoAnswer():
            return "takes connections but never answers: the node hangs, restart it"
        case web.EmptyAnswer():
            return "closes connections without an answer: see the node's log"
        case web.Incomplete():
            return f"does not answer to the end ({clean_name(str(error))}): see the node's log"
        case web.Malformed() | web.TooLarge():
            return f"answers, but not as Tahoe-LAFS ({clean_name(str(error))}): is --url the web port of a node?"
        case _:
            return f"can't be asked: {clean_name(str(error))}"
