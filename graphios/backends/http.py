"""Requests to one HTTP receiver over a connection that is kept, without redirects, proxies of the environment, or an
end that never comes.

What the receiver says is bounded and cleaned before anybody sees it; what we log in with never stands in a message.
"""

from __future__ import annotations

import contextlib
import email.utils
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import requests
import urllib3.connection
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from graphios.backends.base import ClosedEarly, DeliveryError
from graphios.configuration.settings import Delivery, Tls
from graphios.errors import Stopped

LONGEST_ANSWER = 65_536
"""Bytes of an answer that are read where nobody asked for more."""

_SHOWN = 300
_SLICE = 0.25
"""Seconds after which a wait looks whether the process shall end."""
_LONGEST_RETRY_AFTER = 300.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Answer(NamedTuple):
    """What came back: the status of RFC 9110, 15, its headers, and the body's beginning as text. `whole`: that was
    all of it.
    """

    status: int
    headers: Mapping[str, str]
    text: str
    whole: bool = True

    @property
    def taken(self) -> bool:
        """2xx: everything that was sent is stored."""
        return 200 <= self.status < 300

    @property
    def said(self) -> str:
        """For people: the status and the first words of the body, without control characters."""
        text = shown(self.text)
        return f"HTTP {self.status}: {text}" if text else f"HTTP {self.status}"


def shown(text: str) -> str:
    """The beginning of what somebody else wrote, fit for one line of a log."""
    text = _CONTROL.sub(" ", text).strip()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


class Http:
    """One receiver. For one thread at a time; close() for any."""

    def __init__(
        self,
        address: str,
        delivery: Delivery,
        tls: Tls,
        stopping: Callable[[], bool],
        login: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`address` names the receiver in messages; `login`: user name and password."""
        self._address, self._delivery, self._tls, self._stopping = address, delivery, tls, stopping
        # As UTF-8 (RFC 7617): the library would make Latin-1 of it.
        self._login = HTTPBasicAuth(login[0].encode(), login[1].encode()) if login and login[0] else None
        self._headers = {"User-Agent": "graphios", "Accept-Encoding": "identity", **(headers or {})}
        self._session: requests.Session | None = None
        self._socket: socket.socket | None = None
        self._not_before = 0.0
        self.connections = 0
        """How many were made so far."""

    def post(
        self,
        url: str,
        body: bytes | Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        longest: int = LONGEST_ANSWER,
    ) -> Answer:
        """The answer to `body` (a mapping goes as a form), whatever its status; at most `longest` bytes of it are read.

        Raises DeliveryError when there is none, Stopped when the process shall end.
        """
        self._wait_as_told()
        result: list[Answer | BaseException] = []

        def work() -> None:
            try:
                result.append(self._exchange(url, body, headers or {}, longest))
            except BaseException as error:
                result.append(error)

        # A request can be neither asked to look up now and then nor given an end, so it runs beside us.
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        limits = self._delivery.timeouts
        seconds = limits.connect + limits.send + limits.acknowledge
        deadline = time.monotonic() + seconds
        while thread.is_alive():
            thread.join(_SLICE)
            if thread.is_alive() and self._stopping():
                self.close()
                raise Stopped
            if thread.is_alive() and time.monotonic() > deadline:
                self.close()
                raise DeliveryError(f"{self._address}: no whole answer within {seconds:g} s")
        if isinstance(result[0], BaseException):
            self.close()
            raise self._failure(result[0]) from result[0]
        return result[0]

    def refusal(self, answer: Answer) -> DeliveryError:
        """What an answer that says nothing about the content comes to. One that says when to come back is heeded, up
        to five minutes.
        """
        seconds = _retry_after(answer.headers.get("Retry-After", ""))
        if seconds:
            self._not_before = time.monotonic() + min(seconds, _LONGEST_RETRY_AFTER)
        if 300 <= answer.status < 400:
            target = shown(answer.headers.get("Location", "elsewhere"))
            return DeliveryError(f"{self._address}: HTTP {answer.status}: redirects to {target}, which is not followed")
        return DeliveryError(f"{self._address}: {answer.said}")

    def close(self) -> None:
        """Gives the connection up, also one that a request hangs on."""
        in_use, self._socket = self._socket, None
        session, self._session = self._session, None
        if in_use:
            with contextlib.suppress(OSError):
                in_use.shutdown(socket.SHUT_RDWR)
        if session:
            session.close()

    def _exchange(self, url: str, body: bytes | Mapping[str, str], headers: Mapping[str, str], longest: int) -> Answer:
        limits = self._delivery.timeouts
        session = self._session = self._session or self._new_session()
        response = session.post(
            url,
            data=body,
            headers=headers,
            timeout=(limits.connect, max(limits.send, limits.acknowledge)),
            allow_redirects=False,
            stream=True,
        )
        data = response.raw.read(longest, decode_content=False)
        whole = not response.raw.read(1, decode_content=False)
        if not whole:
            response.close()
        return Answer(response.status_code, response.headers, data.decode("utf-8", "replace"), whole)

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.headers.update(self._headers)
        session.auth = self._login
        system = ssl.get_default_verify_paths()
        trusted = str(self._tls.ca) if self._tls.ca else system.cafile or system.capath or True
        session.verify = trusted if self._tls.verify else False
        if not self._tls.verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if self._tls.certificate:
            key = str(self._tls.key) if self._tls.key else None
            session.cert = (str(self._tls.certificate), key) if key else str(self._tls.certificate)
        adapter = _Adapter(self._connected)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session

    def _connected(self, connection: socket.socket) -> None:
        connection.settimeout(self._delivery.timeouts.send)
        self._socket = connection
        self.connections += 1

    def _wait_as_told(self) -> None:
        while (left := self._not_before - time.monotonic()) > 0:
            if self._stopping():
                raise Stopped
            time.sleep(min(left, _SLICE))

    def _failure(self, error: BaseException) -> BaseException:
        if not isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError | OSError | ValueError):
            return error
        kind = ClosedEarly if _hung_up(error) else DeliveryError
        return kind(f"{self._address}: {_reason(error, self._delivery)}")


class _Adapter(HTTPAdapter):
    """Tells of every new connection, so that a request that hangs can be ended from outside."""

    def __init__(self, connected: Callable[[socket.socket], None]) -> None:
        self._told = connected
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *words: Any, **options: Any) -> None:
        super().init_poolmanager(*words, **options)
        told = self._told

        class Plain(urllib3.connection.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                told(self.sock)

        class Secure(urllib3.connection.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                told(self.sock)

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def _causes(error: BaseException) -> list[BaseException]:
    """What led to an error, itself first."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return found


def _hung_up(error: BaseException) -> bool:
    """Whether the receiver accepted the connection, and ended it without an answer."""
    return any(
        isinstance(one, ConnectionResetError | ConnectionAbortedError | BrokenPipeError) for one in _causes(error)
    )


def _reason(error: BaseException, delivery: Delivery) -> str:
    """Why, in our words: those of the library show addresses with all their parameters."""
    causes = _causes(error)
    limits = delivery.timeouts
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {limits.connect:g} s"
    for one in causes:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"TLS: its certificate is not trusted: {shown(one.verify_message)}"
        if isinstance(one, socket.gaierror):
            return f"its address was not found: {one.strerror}"
        if isinstance(one, ssl.SSLError) and one.reason:
            return f"TLS: {one.reason.lower().replace('_', ' ')}"
    if isinstance(error, requests.ReadTimeout) or any(isinstance(one, TimeoutError) for one in causes):
        return f"took no data or did not answer for {max(limits.send, limits.acknowledge):g} s"
    if _hung_up(error):
        return "closed the connection without an answer"
    for one in causes:
        if isinstance(one, OSError) and one.strerror:
            return f"{one.strerror}: {one.filename}" if one.filename else one.strerror
    if any(isinstance(one, urllib3.exceptions.ProtocolError) for one in causes):
        return "answers something that is not HTTP"
    return shown(type(error).__name__)


def _retry_after(text: str) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: a number or a date); 0: none."""
    if text.strip().isdecimal():
        return float(text.strip()[:9])
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return 0.0
