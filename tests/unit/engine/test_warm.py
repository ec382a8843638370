"""The socket for warm checks: who may ask, what is refused and named, and that a hang-up ends the check. Something simple plays the pool."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from checks.engine.commands import catalog
from checks.engine.jobs import DEADLINE, LOST, NOT_STARTED, Ended, Job
from checks.engine.serve import peer, warm
from checks.engine.serve.peer import Elsewhere, Peer
from checks.engine.serve.warm import REQUEST_LIMIT, WarmServer

SECONDS = 20


class Pool:
    """Plays the pool: every job has the same end, as soon as `go` is set."""

    def __init__(self) -> None:
        self.ended = Ended(1, output=b"THING WARNING\n", errors=b"\xff")
        self.jobs: list[Job] = []
        self.cancelled = 0
        self.starts = True
        self.go = asyncio.Event()
        self.go.set()

    async def run(self, job: Job, started: Callable[[], None] | None = None) -> Ended:
        self.jobs.append(job)
        try:
            if self.starts and self.ended.trouble != NOT_STARTED:
                assert started
                started()
            else:
                await asyncio.sleep(SECONDS)
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.ended


class Site:
    """A server on a socket, its pool, and what it logged."""

    def __init__(self, path: Path) -> None:
        self.path, self.pool, self.said = path, Pool(), list[str]()
        self.server = WarmServer(self.pool, log=self.said.append)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Site]:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self.path))
        await self.server.start(listening)
        try:
            yield self
        finally:
            await self.server.close()
            self.path.unlink()

    async def send(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        writer.write(request)
        return reader, writer

    async def ask(self, request: bytes) -> bytes:
        """All that is answered until the server hangs up."""
        reader, writer = await self.send(request)
        answer = await rest(reader)
        writer.close()
        return answer


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that still comes; a reset, for what was sent and not read, is an end as well."""
    try:
        return await asyncio.wait_for(reader.read(), SECONDS)
    except ConnectionError:
        return b""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Where /opt/bin/check_thing is installed."""
    monkeypatch.setattr(catalog, "entry_for", lambda program: "thing:main" if program == "/opt/bin/check_thing" else "")
    return Site(tmp_path / "s")


def strings(*words: bytes) -> bytes:
    body = b"\0".join(words)
    return struct.pack("!4sI", b"TBC1", len(body)) + body


def request(
    *words: bytes,
    umask: bytes = b"23",
    directory: bytes = b"/srv",
    launcher: bytes = b"/opt/bin/check_thing",
    environment: tuple[bytes, ...] = (b"PATH=/bin", b"A=b=c\nd"),
) -> bytes:
    argv = (b"check_thing", *words)
    return strings(umask, directory, launcher, str(len(argv)).encode(), *argv, *environment)


def served(site: Site, work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with site.serving():
            await work()

    asyncio.run(main())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


def test_the_check_gets_all_and_its_end_is_answered_byte_for_byte(site: Site) -> None:
    async def work() -> None:
        answer = await site.ask(request(b"-w", b"", b"\xff"))
        assert answer == b"SE\x01\x00" + struct.pack("!II", 14, 1) + b"THING WARNING\n\xff"
        (job,) = site.pool.jobs
        assert (job.name, job.entry) == ("check_thing", "thing:main")
        assert job.argv == ("check_thing", "-w", "", "\udcff")
        assert (job.directory, job.umask) == ("/srv", 23)
        assert job.environment == {"PATH": "/bin", "A": "b=c\nd"}
        assert site.server.served == 1
        assert not site.said

    served(site, work)


def test_a_path_of_the_launcher_is_seen_from_its_directory(site: Site) -> None:
    async def work() -> None:
        assert await site.ask(request(directory=b"/opt", launcher=b"bin/check_thing"))

    served(site, work)


def test_a_death_by_signal_is_told_and_other_ends_are_not(site: Site) -> None:
    async def work() -> None:
        site.pool.ended = Ended(None, 9)
        assert await site.ask(request()) == b"SE\x00\x09" + bytes(8)
        for trouble in (LOST, DEADLINE):
            site.pool.ended = Ended(0, output=b"OK", trouble=trouble)
            assert await site.ask(request()) == b"S"
        assert site.server.refused == {LOST: 1, DEADLINE: 1}

    served(site, work)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"", "hung up"),
        (b"TBC1", "hung up"),
        (b"GET / HTTP/1.0\r\n\r\n", "no request"),
        (struct.pack("!4sI", b"TBC1", REQUEST_LIMIT + 1), "too long"),
        (struct.pack("!4sI", b"TBC1", 50) + b"x", "hung up"),
        (strings(), "can't be read"),
        (strings(b"18", b"/", b"/opt/bin/check_thing", b"2", b"check_thing"), "can't be read"),
        (strings(b"18", b"/", b"/opt/bin/check_thing", b"-1", b"check_thing"), "can't be read"),
        (request(umask=b"999"), "can't be read"),
        (request(umask=b"x"), "can't be read"),
        (request(directory=b"srv"), "can't be read"),
        (request(directory=b"/nowhere/at/all"), "can't be entered"),
        (request(environment=(b"NO EQUALS SIGN",)), "can't be read"),
        (request(launcher=b"/usr/lib/nagios/plugins/check_thing"), "no check of this installation"),
        (request(launcher=b"/opt/bin/check_other"), "no check of this installation"),
        (request(environment=(b"PYTHONWARNINGS=error",)), "environment"),
        (request(environment=(b"LANG=de_DE.ISO-8859-1",)), "locale"),
    ],
)
def test_what_is_no_good_request_is_refused_and_named_once(site: Site, sent: bytes, why: str) -> None:
    async def work() -> None:
        for _ in range(2):
            reader, writer = await site.send(sent)
            writer.write_eof()
            assert await rest(reader) == b""
            writer.close()
        assert list(site.server.refused.values()) == [2]
        assert why in "".join(site.server.refused)
        assert len(site.said) == 1
        assert not site.pool.jobs

    served(site, work)


def test_reasons_do_not_grow_without_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_REASONS", 2)

    async def work() -> None:
        for number in range(5):
            assert await site.ask(request(launcher=b"/opt/bin/check_%d" % number)) == b""
        assert list(site.server.refused.values()) == [1, 1, 3]
        assert len(site.said) == 3

    served(site, work)


def test_a_hang_up_ends_the_check(site: Site) -> None:
    async def work() -> None:
        site.pool.go.clear()
        reader, writer = await site.send(request())
        assert await asyncio.wait_for(reader.readexactly(1), SECONDS) == b"S"
        writer.close()
        await until(lambda: site.pool.cancelled)
        assert site.server.refused == {"hung up": 1}

    served(site, work)


def test_more_than_a_request_counts_as_a_hang_up(site: Site) -> None:
    async def work() -> None:
        site.pool.go.clear()
        assert await site.ask(request() + b"!") in (b"", b"S")
        await until(lambda: site.pool.cancelled)

    served(site, work)


def test_a_check_that_takes_its_time_is_told_to_live(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_ALIVE_SECONDS", 0.005)

    async def work() -> None:
        site.pool.go.clear()
        reader, writer = await site.send(request())
        assert await asyncio.wait_for(reader.readexactly(4), SECONDS) == b"SAAA"
        site.pool.go.set()
        assert (await rest(reader)).lstrip(b"A").startswith(b"E")
        writer.close()

    served(site, work)


def test_a_check_that_finds_no_place_is_given_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_START_SECONDS", 0.01)

    async def work() -> None:
        site.pool.starts = False
        assert await site.ask(request()) == b""
        await until(lambda: site.pool.cancelled)
        assert "no place free" in site.said[0]

    served(site, work)


def test_who_sends_slowly_holds_nobody_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_REQUEST_SECONDS", 0.05)

    async def work() -> None:
        slow = [await site.send(request()[:number]) for number in range(0, 60, 2)]
        assert (await site.ask(request())).startswith(b"SE")
        for reader, writer in slow:
            assert await rest(reader) == b""
            writer.close()

    served(site, work)


def test_too_many_at_once_are_given_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "CLIENTS", 2)

    async def work() -> None:
        site.pool.go.clear()
        held = [await site.send(request()) for _ in range(2)]
        for reader, _ in held:
            assert await asyncio.wait_for(reader.readexactly(1), SECONDS) == b"S"
        with contextlib.suppress(ConnectionError):
            assert await site.ask(b"") == b""
        assert "too many at once" in site.server.refused
        site.pool.go.set()
        for reader, writer in held:
            assert (await rest(reader)).startswith(b"E")
            writer.close()

    served(site, work)


def test_the_end_of_the_engine_hangs_up_on_all(site: Site) -> None:
    async def main() -> None:
        async with site.serving():
            site.pool.go.clear()
            reader, writer = await site.send(request())
            assert await asyncio.wait_for(reader.readexactly(1), SECONDS) == b"S"
        assert await rest(reader) == b""
        assert site.pool.cancelled == 1
        writer.close()

    asyncio.run(main())


def test_an_error_nobody_foresaw_costs_that_request(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(catalog, "entry_for", lambda program: 1 / 0)
            assert await site.ask(request()) == b""
        assert "internal error" in site.said[0]
        assert (await site.ask(request())).startswith(b"SE")

    served(site, work)


# Who asks


def test_we_ourselves_are_no_stranger() -> None:
    peer.compare(Peer(os.getpid(), os.geteuid()))


def test_another_user_is() -> None:
    with pytest.raises(Elsewhere, match="another user"):
        peer.compare(Peer(os.getpid(), os.geteuid() + 1))


def test_a_process_that_is_gone_is_refused() -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    with pytest.raises(Elsewhere, match="can't be looked at"):
        peer.compare(Peer(child.pid, os.geteuid()))


def test_a_process_with_another_limit_or_nice_value_is_refused() -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    for change, why in ((limited, "limits"), (lambda: os.nice(3), "nice")):
        child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, preexec_fn=change)
        with child, pytest.raises(Elsewhere, match=why):
            peer.compare(Peer(child.pid, os.geteuid()))


def test_other_groups_namespaces_and_mounts_are_refused(needs_root: Callable[[str], None]) -> None:
    if os.geteuid():
        needs_root("processes in other groups and namespaces")
        return
    for prefix, why in (
        (["setpriv", "--groups", "1,2"], "Groups"),
        (["setpriv", "--no-new-privs"], "NoNewPrivs"),
        (["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--securebits=+noroot"], "Cap"),
        (["unshare", "--uts"], "uts"),
        (["unshare", "--net"], "net"),
        (["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /mnt && exec "$@"', "sh"], "other mounts"),
    ):
        code = "import sys; print(flush=True); sys.stdin.read()"
        child = subprocess.Popen(
            [*prefix, sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with child:
            assert child.stdout
            assert child.stdout.readline() == b"\n"
            with pytest.raises(Elsewhere, match=why):
                peer.compare(Peer(child.pid, os.geteuid()))


def test_a_mount_namespace_that_shows_the_same_is_no_difference(needs_root: Callable[[str], None]) -> None:
    if os.geteuid():
        needs_root("a process in another mount namespace")
        return
    code = "import sys; print(flush=True); sys.stdin.read()"
    argv = ["unshare", "--mount", sys.executable, "-I", "-S", "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"\n"
        peer.compare(Peer(child.pid, os.geteuid()))
