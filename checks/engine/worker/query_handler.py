"""A connection to Nagios Core 4 as one of its workers: registers at the query socket, reads jobs, writes their results.

The format is that of Nagios's own workers (nagioscore, lib/worker.c and base/workers.c): `key=value` pairs, each ended by a NUL, and the
bytes 1 0 0 0 behind each message. What the real Nagios 4.4.6 does, as measured:

- It kills the pid that a worker names with SIGKILL when the connection breaks, and at every restart. A worker that names none is left alone.
- After the end of a connection that was registered for two plugins it can run neither until it restarts: one connection for each.
- It waits, all of it and busily, while a worker does not read what it sends.
"""

from __future__ import annotations

import contextlib
import socket
from typing import NamedTuple

from checks.engine.worker.messages import Answer

NAME = "testbed-checks"
DELIMITER = b"\1\0\0\0"
LONGEST_OUTPUT = 64 * 1024
"""Bytes of output or errors in one result: Nagios keeps a MiB for all that it has not yet read from a worker."""
LONGEST_JOB = 16 * 1024 * 1024
_CHUNK = 256 * 1024


class Refused(Exception):
    """Nagios does not take us as a worker; the text says what it answered."""


class Gone(Exception):
    """Nagios ended the connection, or died."""


class Handed(NamedTuple):
    """A job as Nagios handed it over."""

    job_id: int
    kind: int
    timeout: int
    """In seconds; where Nagios names none, the 60 of its own workers."""
    command: bytes
    environment: bytes
    """The value of `env=`, or empty."""


def registration(plugin: str, max_jobs: int) -> bytes:
    """What to say to the query handler to be handed the jobs of one plugin. Raises ValueError for a name that can't stand there."""
    if not plugin or any(char in ";= \n" or not char.isprintable() for char in plugin):
        raise ValueError(
            f"{plugin!r} is no name of a plugin for Nagios: it has a blank, ';', '=' or a control character, or is empty"
        )
    return f"@wproc register name={NAME};max_jobs={max_jobs};plugin={plugin}\0".encode()


def parse(message: bytes) -> Handed:
    """One job, without its delimiter. Raises ValueError when it is none."""
    pairs = dict(part.split(b"=", 1) for part in message.split(b"\0") if b"=" in part)
    try:
        return Handed(
            int(pairs[b"job_id"]),
            int(pairs[b"type"]),
            int(pairs.get(b"timeout", b"0")) or 60,
            pairs[b"command"],
            pairs.get(b"env", b""),
        )
    except KeyError as error:
        raise ValueError(f"{error.args[0].decode()} is missing") from None


def result(job_id: int, kind: int, answer: Answer) -> bytes:
    """The message that hands a result to Nagios. Without CPU times: Debian's Nagios logs a warning for each."""
    pairs = {
        "job_id": job_id,
        "type": kind,
        "start": f"{answer.start:.6f}",
        "stop": f"{answer.stop:.6f}",
        "runtime": f"{max(0.0, answer.stop - answer.start):.6f}",
        "wait_status": answer.wait_status,
        # An error_code, whatever it is, means for Nagios that the job did not end by itself.
        "exited_ok": int(not answer.error_code),
        **({"error_code": answer.error_code} if answer.error_code else {}),
    }
    text = "".join(f"{key}={value}\0" for key, value in pairs.items()).encode()
    return text + b"outerr=%s\0outstd=%s\0" % (_text(answer.errors), _text(answer.output)) + DELIMITER


def _text(data: bytes) -> bytes:
    return data[:LONGEST_OUTPUT].replace(b"\0", b" ")


class Connection:
    """One registered connection, for one plugin. Nothing in it waits."""

    def __init__(self, sock: socket.socket, plugin: str, name: str, registered: bool = False) -> None:
        """`name` tells it from all others; `registered`: Nagios's answer was read by a predecessor of ours."""
        sock.setblocking(False)
        self.plugin, self.name, self.registered = plugin, name, registered
        self._socket = sock
        self._input = self._rest = b""  # the beginning of a job
        self._take = 0
        self._output = bytearray()
        self._sent = 0
        self._ends: list[
            tuple[int, int]
        ] = []  # number and where its result ends, counted from the first byte ever written
        self._written = 0

    @classmethod
    def open(cls, path: str, plugin: str, max_jobs: int, name: str) -> Connection:
        """Connects and asks to be registered; the answer comes with read(). Raises OSError."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(2)
            sock.connect(path)
            sock.sendall(registration(plugin, max_jobs))
        except BaseException:
            sock.close()
            raise
        return cls(sock, plugin, name)

    def fileno(self) -> int:
        """For poll()."""
        return self._socket.fileno()

    def read(self) -> list[Handed | str]:
        """What has arrived by now: jobs, and for what is no job a text that says why. Raises Gone and Refused.

        It stays in the socket until taken(): who dies before that leaves all of it to a successor that has the socket.
        """
        try:
            data = self._socket.recv(_CHUNK, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        if not self.registered:
            data = self._accepted(data)
        end = data.rfind(DELIMITER)
        # The beginning of a job whose rest is still to come stays there, too. Alone it has to be taken: it might be longer than the socket holds.
        self._take = end + len(DELIMITER) if end >= 0 else len(data)
        self._rest = b"" if end >= 0 else self._input + data
        if len(self._rest) > LONGEST_JOB:
            raise Refused(f"a job of more than {LONGEST_JOB} bytes")
        return [_handed(message) for message in (self._input + data[:end]).split(DELIMITER)] if end >= 0 else []

    def taken(self) -> None:
        """What read() gave is in safe hands. Raises Gone."""
        try:
            while self._take:
                self._take -= len(self._socket.recv(self._take)) or self._take
        except (BlockingIOError, InterruptedError):
            self._take = 0
        except OSError as error:
            raise Gone from error
        self._input = self._rest

    def _accepted(self, data: bytes) -> bytes:
        """What stands behind Nagios's answer to the registration. Raises Refused."""
        answer, nul, _ = data.partition(b"\0")
        if not nul and b"OK".startswith(answer):
            return b""
        if answer != b"OK" or not nul:
            raise Refused(answer[:100].decode("ascii", "replace").strip() or "nothing")
        self.registered = True
        self._socket.recv(len(answer) + 1)
        return data[len(answer) + 1 :]

    def answer(self, number: int, data: bytes) -> None:
        """Puts a message on its way; flush() tells when it has left."""
        self._output += data
        self._written += len(data)
        self._ends.append((number, self._written))

    @property
    def waiting(self) -> bool:
        """Whether something is on its way."""
        return bool(self._output)

    def flush(self) -> list[int]:
        """Writes what Nagios takes now; the numbers of the messages that have left. Raises Gone."""
        try:
            while self._output:
                count = self._socket.send(self._output)
                del self._output[:count]
                self._sent += count
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            raise Gone from error
        left = [number for number, end in self._ends if end <= self._sent]
        del self._ends[: len(left)]
        return left

    def leave(self) -> None:
        """Says that there will be no more results: Nagios sends what it is just sending, and no further jobs."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Closes it."""
        self._socket.close()


def _handed(message: bytes) -> Handed | str:
    try:
        return parse(message)
    except ValueError as error:
        return f"a job that can't be read: {error}"
