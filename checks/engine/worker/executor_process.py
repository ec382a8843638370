"""The executor as the broker sees it: a process that may die at any time, and is started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence

from checks.engine.log import log
from checks.engine.worker.messages import Answer, BadFrame, Decoder, Message, Ready, encode

# What systemd says to the broker alone.
_NOT_ITS_OWN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_LONGEST_PAUSE = 5.0
_CHUNK = 1024 * 1024


class Died(Exception):
    """It ended, or said something that is no message; the text says which."""


class Executor:
    """Starts it, talks to it, ends it. Nothing in it waits, but for a process that was killed."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._output = bytearray()
        self._decoder = Decoder()
        self._pause = 0.0
        self.starts = 0
        self.ready = False
        """Whether it has said that it can run jobs."""
        self.not_before = 0.0
        """When the next start is due, by the monotonic clock."""

    @property
    def running(self) -> bool:
        """Whether it was started and has not been found dead."""
        return self._socket is not None

    @property
    def pid(self) -> int:
        """Its process id, 0 while it does not run."""
        return self._process.pid if self._process else 0

    def fileno(self) -> int:
        """For poll(); only while it runs."""
        return self._socket.fileno() if self._socket else -1

    def start(self) -> None:
        """Raises OSError when it can't be started; then it may be tried again at `not_before`."""
        # Killed at once again and again it would cost all the CPU.
        self.not_before = time.monotonic() + self._pause
        self._pause = min(_LONGEST_PAUSE, self._pause * 2 or 0.1)
        ours, theirs = socket.socketpair()
        try:
            environment = {name: value for name, value in os.environ.items() if name not in _NOT_ITS_OWN}
            self._process = subprocess.Popen(
                self._argv, stdin=theirs.fileno(), stdout=2, cwd="/", env=environment, start_new_session=True
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._socket, self._output, self._decoder, self.ready = ours, bytearray(), Decoder(), False
        self.starts += 1

    def send(self, message: Message) -> None:
        """Puts a message on its way."""
        self._output += encode(message)

    @property
    def waiting(self) -> bool:
        """Whether something is on its way."""
        return bool(self._output)

    def flush(self) -> None:
        """Writes what it takes now. Raises Died."""
        assert self._socket
        try:
            while self._output:
                del self._output[: self._socket.send(memoryview(self._output)[:_CHUNK].tobytes())]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            raise Died(error.strerror or str(error)) from None

    def read(self) -> list[Answer]:
        """The answers that have arrived. Raises Died."""
        assert self._socket
        try:
            data = self._socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise Died(error.strerror or str(error)) from None
        if not data:
            raise Died("it closed its connection")
        found: list[Answer] = []
        try:
            for message in self._decoder.feed(data):
                if isinstance(message, Ready):
                    self.ready = True
                elif isinstance(message, Answer):
                    found.append(message)
                    # It is of use: the next start may be at once again.
                    self._pause = self.not_before = 0.0
                else:
                    raise BadFrame("a message that only the broker may send")
        except BadFrame as error:
            if not found:
                raise Died(f"it sent {error}") from None
            log.error("executor %d sent %s", self.pid, error)
            self._kill()
        return found

    def end(self) -> str:
        """Kills it, if it lives, and says how it ended. Its children end with it."""
        self._kill()
        if self._socket:
            self._socket.close()
            self._socket, self.ready = None, False
        process, self._process = self._process, None
        if not process:
            return "not started"
        code = process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _kill(self) -> None:
        if self._process:
            with contextlib.suppress(OSError):
                self._process.send_signal(signal.SIGKILL)
