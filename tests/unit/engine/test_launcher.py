"""The launcher of the checks: runs the check here, or has the engine run it and is then no different from it. A stand-in plays the engine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

LAUNCHER = Path(__file__).resolve().parents[3] / "checks" / "launchers" / "launcher"
# Plays Python: says what it was given, with a NUL after each word.
COLD = """#!/bin/sh
printf 'COLD\\0'
shift 2
printf '%s\\0' "$@"
exec env -0
"""


class Engine:
    """A stand-in: takes requests and sends fixed bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer: Callable[[socket.socket], object] = lambda connection: connection.sendall(ended(b"WARM\n"))
        self.requests: list[bytes] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        path.chmod(0o600)
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection:
                request = b""
                while len(request) < 8 or len(request) < 8 + int.from_bytes(request[4:8], "big"):
                    if not (part := connection.recv(65536)):
                        break
                    request += part
                if request == b"end":
                    return
                if request:
                    self.requests.append(request)
                    self.answer(connection)

    def stop(self) -> None:
        with socket.socket(socket.AF_UNIX) as last:
            if last.connect_ex(str(self.path)):
                self._listening.shutdown(socket.SHUT_RDWR)
            else:
                last.sendall(b"end")
        self._thread.join(20)
        self._listening.close()


def ended(output: bytes = b"", errors: bytes = b"", code: int = 0, signal: int = 0) -> bytes:
    return b"S" + struct.pack("!sBBII", b"E", code, signal, len(output), len(errors)) + output + errors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where check_thing is installed, with something in place of Python; short enough for a socket's path."""
    bin = tmp_path / "bin"
    bin.mkdir(mode=0o700)
    shutil.copy(LAUNCHER, bin / "check_thing")
    (bin / "python3").write_text(COLD, encoding="ascii")
    (bin / "python3").chmod(0o755)
    return bin


@pytest.fixture
def engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Listens at `folder`/engine.sock."""
    engine = Engine(folder / "engine.sock")
    yield engine
    if not engine.path.is_socket():
        engine.path.unlink(missing_ok=True)
    engine.path.parent.chmod(0o700)
    engine.stop()


def run(folder: Path, *words: str | bytes, env: Mapping[str, str] | None = None, **keywords: Any) -> Any:
    """Run check_thing with an engine at `folder`/engine.sock."""
    environment: dict[Any, Any] = {"PATH": "/usr/bin:/bin", "TESTBED_CHECKS_ENGINE": str(folder / "engine.sock")}
    return subprocess.run(
        [folder / "check_thing", *words], env=environment | dict(env or {}), check=False, timeout=60,
        **{"stdin": subprocess.DEVNULL, "capture_output": True} | keywords,
    )  # fmt: skip


def cold(done: Any) -> tuple[list[bytes], dict[bytes, bytes]]:
    """The words and the environment with which Python was started instead."""
    mark, *rest = done.stdout.split(b"\0")[:-1]
    assert mark == b"COLD", done
    variables = [word for word in rest if b"=" in word and word[:1].isupper()]
    return rest[: -len(variables)], dict(word.split(b"=", 1) for word in variables)


def words_of(request: bytes) -> list[bytes]:
    mark, length = struct.unpack_from("!4sI", request)
    assert (mark, length) == (b"TBC1", len(request) - 8)
    return request[8:].split(b"\0")


# What a shell adds.
SHELLS = {b"PWD", b"OLDPWD", b"SHLVL", b"_"}
ODD = [b"-w", b"", b"a\nb", b"'\"$(x)`\\", b"\xff\xfe", "ü".encode(), b"--", b"-x y"]


def test_without_an_engine_python_gets_name_words_and_environment_as_they_are(folder: Path) -> None:
    done = run(folder, *ODD, env={"SOME": "a=b\nC", "LANG": "C"})
    words, environment = cold(done)
    assert words == [b"check_thing", b"", os.fsencode(folder / "check_thing"), *ODD]
    assert environment[b"SOME"] == b"a=b\nC"
    assert environment.keys() - SHELLS == {b"PATH", b"TESTBED_CHECKS_ENGINE", b"SOME", b"LANG"}


def test_it_is_found_through_a_link_and_through_the_path(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "other"
    link.parent.mkdir()
    link.symlink_to(folder / "check_thing")
    for program in (str(link), "other"):
        done = subprocess.run(
            ["sh", "-c", f"{program} -v"],
            env={"PATH": f"{link.parent}:/usr/bin:/bin"},
            capture_output=True,
            check=False,
        )
        assert cold(done)[0] == [b"check_thing", b"", os.fsencode(link), b"-v"]


def test_the_engine_is_given_all_that_matters(folder: Path, engine: Engine, tmp_path: Path) -> None:
    done = run(folder, *ODD, env={"SOME": "a=b\nc"}, cwd=tmp_path, umask=0o027)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"WARM\n", b"")
    (request,) = engine.requests
    umask, directory, launcher, count, *rest = words_of(request)
    assert (int(umask), directory, launcher) == (
        0o027,
        os.fsencode(tmp_path),
        os.fsencode(folder / "check_thing"),
    )
    words, environment = rest[: int(count)], rest[int(count) :]
    assert words == [os.fsencode(folder / "check_thing"), *ODD]
    socket = b"TESTBED_CHECKS_ENGINE=" + os.fsencode(engine.path)
    assert {line for line in environment if line.split(b"=")[0] not in SHELLS} == {
        b"PATH=/usr/bin:/bin", b"SOME=a=b\nc", socket,
    }  # fmt: skip


def test_what_the_engine_answers_is_said_byte_for_byte(folder: Path, engine: Engine) -> None:
    output = bytes(range(256)) * 1000
    engine.answer = lambda connection: connection.sendall(ended(output, b"\xffwarning\n", 2))
    done = run(folder)
    assert (done.returncode, done.stdout, done.stderr) == (2, output, b"\xffwarning\n")


def test_an_answer_in_pieces_is_put_together(folder: Path, engine: Engine) -> None:
    def dribble(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        whole = ended(b"WARM")
        for byte in whole[:1] + b"AA" + whole[1:]:
            connection.sendall(bytes([byte]))

    engine.answer = dribble
    done = run(folder)
    assert (done.returncode, done.stdout) == (0, b"WARM")


def test_a_check_that_a_signal_ended_ends_so_here(folder: Path, engine: Engine) -> None:
    engine.answer = lambda connection: connection.sendall(ended(b"so far", signal=signal.SIGKILL))
    done = run(folder)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"so far")


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"S", b"SAA", b"A", b"X", b"SX", b"E" + ended()[2:], b"\0" * 100_000, ended(b"WARM")[:-1], ended(b"WARM") + b"!",
        b"SE\0\0\xff\xff\xff\xff\0\0\0\0", b"SE\0\0\0\0\0\1\xff\xff\xff\xffW", b"S" * 10,
    ],
)  # fmt: skip
def test_anything_but_a_complete_answer_is_thrown_away(folder: Path, engine: Engine, answer: bytes) -> None:
    engine.answer = lambda connection: connection.sendall(answer)
    done = run(folder, "-v", env={"LANG": "C"})
    words, environment = cold(done)
    assert words == [b"check_thing", b"", os.fsencode(folder / "check_thing"), b"-v"]
    assert environment.keys() - SHELLS == {b"PATH", b"TESTBED_CHECKS_ENGINE", b"LANG"}
    assert len(engine.requests) == 1
    assert done.stderr == b""


@pytest.mark.slow
def test_an_engine_that_does_not_start_the_check_soon_is_left(folder: Path, engine: Engine) -> None:
    engine.answer = lambda connection: connection.recv(1)
    assert cold(run(folder))
    assert len(engine.requests) == 1


@pytest.mark.slow
def test_a_check_may_take_its_time(folder: Path, engine: Engine) -> None:
    def slowly(connection: socket.socket) -> None:
        connection.sendall(b"S")
        connection.settimeout(1.5)
        with pytest.raises(TimeoutError):  # nobody hangs up
            connection.recv(1)
        connection.sendall(ended(b"WARM")[1:])

    engine.answer = slowly
    assert run(folder).stdout == b"WARM"


@pytest.mark.slow
def test_an_engine_that_takes_nobody_is_left(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
        listening.bind(str(folder / "engine.sock"))
        (folder / "engine.sock").chmod(0o600)
        listening.listen(0)
        first.connect(str(folder / "engine.sock"))  # and its queue is full
        assert cold(run(folder))
        # Nor does it take more than the socket's buffer holds.
        first.close()
        listening.listen(1)
        assert cold(run(folder, env={f"V{number}": "x" * 100_000 for number in range(8)}))


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["-v", "--no-engine"], {}),
        ([], {"TESTBED_CHECKS_ENGINE": "off"}),
        ([], {"TESTBED_CHECKS_ENGINE": ""}),
        ([], {"TESTBED_CHECKS_ENGINE": "engine.sock"}),
        ([], {"PERL5OPT": "-Mstrict"}),
        ([], {"PERL_UNICODE": "63"}),
    ],
)
def test_it_can_be_kept_from_asking(folder: Path, engine: Engine, words: list[str], env: dict[str, str]) -> None:
    assert cold(run(folder, *words, env=env, cwd=folder))[0][3:] == [word.encode() for word in words]
    assert not engine.requests


def test_a_locale_that_is_not_installed_is_no_matter(folder: Path, engine: Engine) -> None:
    done = run(folder, env={"LANG": "xx_YY.UTF-8", "LC_ALL": "xx_YY.UTF-8"})
    assert (done.stdout, done.stderr) == (b"WARM\n", b"")
    assert not any(word.startswith(b"PERL") for word in words_of(engine.requests[0]))


def _socket_for_others(engine: Engine) -> None:
    engine.path.chmod(0o620)


def _folder_for_others(engine: Engine) -> None:
    engine.path.parent.chmod(0o777)


def _folder_for_others_and_sticky(engine: Engine) -> None:
    engine.path.parent.chmod(0o1777)


def _link_to_a_socket(engine: Engine) -> None:
    engine.path.rename(engine.path.with_name("real"))
    engine.path.symlink_to("real")


def _link_to_a_folder(engine: Engine) -> None:
    engine.path.parent.rename(engine.path.parent.with_name("real"))
    engine.path.parent.symlink_to("real")


def _socket_of_another(engine: Engine) -> None:
    os.chown(engine.path, 65534, -1)


def _folder_of_another(engine: Engine) -> None:
    os.chown(engine.path.parent, 65534, -1)


@pytest.mark.parametrize(
    "spoil",
    [
        _socket_for_others, _folder_for_others, _folder_for_others_and_sticky, _link_to_a_socket, _link_to_a_folder, _socket_of_another,
        _folder_of_another,
    ],
)  # fmt: skip
def test_a_socket_that_another_could_have_put_there_is_not_used(
    folder: Path, engine: Engine, spoil: Callable[[Engine], None], needs_root: Callable[[str], None]
) -> None:
    if "another" in spoil.__name__ and os.geteuid():
        needs_root(f"{spoil.__name__}: a file of another user")
        return
    spoil(engine)
    assert cold(run(folder))
    assert not engine.requests


@pytest.mark.parametrize(("number", "code", "output"), [(0, 0, b"WARM\n"), (1, 3, b""), (2, 0, b"WARM\n")])
def test_a_standard_descriptor_that_is_closed_is_not_taken_for_another(
    folder: Path, engine: Engine, number: int, code: int, output: bytes
) -> None:
    engine.answer = lambda connection: connection.sendall(ended(b"WARM\n", b"warning\n"))
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" {number}<&-', folder / "check_thing"],
        env={"PATH": "/usr/bin:/bin", "TESTBED_CHECKS_ENGINE": str(engine.path)}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (code, output)
    assert done.stderr == (b"" if number == 2 else b"warning\n")


def test_who_takes_no_output_gets_exit_code_3(folder: Path, engine: Engine) -> None:
    with Path("/dev/full").open("wb") as full:
        assert run(folder, capture_output=False, stdout=full).returncode == 3
    reading, writing = os.pipe()
    os.close(reading)
    assert run(folder, capture_output=False, stdout=writing).returncode == 3
    os.close(writing)


def test_without_python_one_line_says_so(folder: Path, engine: Engine) -> None:
    (folder / "python3").write_text("#!/nonexistent\n", encoding="ascii")
    engine.answer = lambda connection: None
    done = run(folder)
    assert done.returncode == 3
    assert done.stdout.startswith(b"THING UNKNOWN - check_thing does not work: ")
    assert done.stdout.count(b"\n") == 1


@pytest.mark.slow
def test_a_check_that_can_not_be_loaded_is_told_in_one_line(folder: Path) -> None:
    (folder / "python3").unlink()
    (folder / "python3").symlink_to("/usr/bin/python3")
    done = run(folder)
    assert done.returncode == 3
    assert done.stdout.startswith(b"THING UNKNOWN - check_thing does not work: No module named ")
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""
