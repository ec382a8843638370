"""Host names to addresses, without hanging on a name server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence

from graphios.errors import Stopped

Address = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
"""What socket.getaddrinfo answers."""

_SLICE = 0.25


def resolve(host: str, port: int, seconds: float, stopping: Callable[[], bool]) -> Sequence[Address]:
    """The TCP addresses of a host. Raises OSError, Stopped. A look-up can't be interrupted, so it runs beside us."""
    with contextlib.suppress(socket.gaierror):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    answer: list[Sequence[Address] | OSError] = []

    def look_up() -> None:
        try:
            answer.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            answer.append(error)
        except UnicodeError:
            answer.append(OSError("not a host name"))

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    deadline = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < deadline:
        thread.join(_SLICE)
        if stopping():
            raise Stopped
    if not answer:
        raise OSError(f"its address was not found within {seconds:g} s")
    if isinstance(answer[0], OSError):
        raise answer[0]
    return answer[0]
