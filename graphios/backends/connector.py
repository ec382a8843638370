"""Connections to a host: all with the same time-outs and the same TLS."""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
from collections.abc import Callable

from graphios.backends.addresses import resolve
from graphios.backends.connection import Connection, NoConnection, TimedOut
from graphios.configuration.settings import Timeouts, Tls


class Connector:
    """Makes connections, all with the same time-outs and the same TLS."""

    def __init__(
        self, timeouts: Timeouts, tls: Tls | None = None, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """`stopping` is asked several times a second; where it says yes, Stopped is raised."""
        self._timeouts, self._tls, self._stopping = timeouts, tls, stopping
        self._context: ssl.SSLContext | None = None

    def connect(self, host: str, port: int) -> Connection:
        """To a name or an IPv4 or IPv6 address; the first of its addresses that works. Raises OSError (NoConnection where nobody took
        it), Stopped.
        """
        problem = NoConnection("has no address")
        for family, kind, protocol, _, address in resolve(host, port, self._timeouts.connect, self._stopping):
            plain = socket.socket(family, kind, protocol)
            plain.setblocking(False)
            connection = Connection(plain, self._timeouts, self._stopping)
            try:
                self._open(connection, plain.connect_ex(address))
                if self._tls:
                    self._start_tls(connection, host)
                return connection
            except NoConnection as error:
                connection.close()
                problem = error
            except BaseException:
                connection.close()
                raise
        raise problem

    def _open(self, connection: Connection, code: int) -> None:
        if not code:
            return
        if code != errno.EINPROGRESS:
            raise NoConnection(os.strerror(code))
        try:
            connection.wait(select.POLLOUT, self._timeouts.connect, "no connection")
        except TimedOut as error:
            raise NoConnection(str(error), timed_out=True) from error
        if problem := connection.error():
            raise NoConnection(problem)

    def _start_tls(self, connection: Connection, host: str) -> None:
        try:
            self._context = self._context or tls_context(self._tls or Tls())
            connection.start_tls(self._context, host)
        except ssl.SSLCertVerificationError as error:
            raise OSError(f"TLS: its certificate is not trusted: {error.verify_message}") from error
        except OSError:
            self._context = None  # its files may be renewed
            raise


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What we present and what we trust. Raises OSError, which names the file that can't be used."""
    try:
        context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
    except OSError as error:
        raise OSError(f"TLS: {tls.ca}: {reason(error)}") from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate:
        try:
            context.load_cert_chain(tls.certificate, tls.key)
        except OSError as error:
            raise OSError(f"TLS: {tls.certificate} with key {tls.key or 'in it'}: {reason(error)}") from error
    return context


def reason(error: OSError) -> str:
    """Why, in a few words for people."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"TLS: {error.reason.lower().replace('_', ' ')}"
    return error.strerror or str(error) or "unknown error"
