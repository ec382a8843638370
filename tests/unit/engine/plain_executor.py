"""An executor for tests of the broker: `plain_executor.py LOG` runs each job with sh, and answers. Nothing is spooled but lines that begin with
SPOOL. It notes what it was given in LOG.

A job `die` kills it, `mute` is never answered, `garbage` makes it send what is no message.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

from checks.engine.worker.messages import Answer, Cancel, Decoder, Ready, Work, encode


def answer(channel: socket.socket, work: Work) -> None:
    began = time.time()
    environment = dict(line.split(b"=", 1) for line in work.environment.split(b"\n") if b"=" in line)
    done = subprocess.run(
        ["/bin/sh", "-c", work.command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False
    )
    lines = b"".join(line + b"\n" for line in done.stdout.split(b"\n") if line.startswith(b"SPOOL"))
    channel.sendall(
        encode(
            Answer(
                work.number,
                began,
                time.time(),
                done.returncode << 8 if done.returncode >= 0 else -done.returncode,
                output=done.stdout,
                spool=lines,
                host=environment.get(b"NAGIOS_HOSTNAME", b""),
                service=environment.get(b"NAGIOS_SERVICEDESC", b""),
            )
        )
    )


def main() -> None:
    channel = socket.socket(fileno=0)
    channel.sendall(encode(Ready(os.getpid())))
    decoder = Decoder()
    with open(sys.argv[1], "a", encoding="utf-8") as log:  # noqa: PTH123
        while data := channel.recv(65536):
            for message in decoder.feed(data):
                if isinstance(message, Work):
                    print(f"{message.command.decode()} {message.attempts}", file=log, flush=True)
                    if message.command == b"die" and not message.attempts:
                        os.kill(os.getpid(), signal.SIGKILL)
                    elif message.command == b"garbage" and not message.attempts:
                        channel.sendall(b"\0\0\0\1x")
                    elif message.command != b"mute":
                        threading.Thread(target=answer, args=(channel, message), daemon=True).start()
                elif isinstance(message, Cancel):
                    print("cancelled", file=log, flush=True)


if __name__ == "__main__":
    main()
