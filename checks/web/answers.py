"""What a web server answered, and each way it can fail by its name."""

from __future__ import annotations

from typing import NamedTuple


class WebError(Exception):
    """A web server did not do what it should; the text is for an operator and names no server.

    `url` is what was asked, which after a redirect is another than the caller's.
    """

    url = ""


class Unresolvable(WebError):
    """The name service knows no address of this host, so nothing is known about the server."""


class Unreachable(WebError):
    """No connection: no route, or nobody took it in time."""


class Refused(Unreachable):
    """The host says that nothing listens on this port."""


class Untrusted(WebError):
    """The server's certificate is not to be trusted; the text says why."""


class NoAnswer(WebError):
    """The connection stands and the request is sent, but an answer with all its headers did not come in time."""


class EmptyAnswer(WebError):
    """The server closed the connection without an answer."""


class Malformed(WebError):
    """What came back is not what the protocol says; the text quotes how it begins."""


class Incomplete(Malformed):
    """The answer began well, but its end did not come: the connection was closed, or time was up."""


class TooLarge(WebError):
    """The answer is larger than the caller takes."""


class Redirected(WebError):
    """The server sends us elsewhere: to another host, in a loop, or where no redirect was expected; `location` is the URL."""

    def __init__(self, text: str, location: str) -> None:
        super().__init__(text)
        self.location = location


class Page(NamedTuple):
    """A whole answer.

    `body` has at most 64 kB where `status` is 400 or above (what is beyond is not read), and is empty where a download went to its file; `size`
    is what was read; `seconds` is from before the name's look-up to the last byte; `location` is the absolute URL of a redirect that was not
    followed, or ""; `url` is where the answer came from; `modified` is when the page was last changed, as the server says (epoch seconds), which
    few do but for files.
    """

    status: int
    body: bytes
    size: int
    seconds: float
    location: str
    url: str
    modified: float | None


class Request(NamedTuple):
    """What is asked: `ca` is a file of certificates to trust instead of the system's."""

    method: str
    url: str
    body: bytes | None
    headers: dict[str, str]
    ca: str | None


class WrongStatus(WebError):
    """An XML-RPC call was answered with another HTTP status than 200; `page` is the answer."""

    def __init__(self, page: Page) -> None:
        super().__init__(f"HTTP {page.status}")
        self.page = page


class Fault(WebError):
    """An XML-RPC call was answered with a fault; its text is the server's own."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
