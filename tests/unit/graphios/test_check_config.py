"""graphios check-config: what a configuration comes to, and what is wrong around it."""

import contextlib
import os
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphios.commands import check_paths
from graphios.commands.check_config import main


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that every user can enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o777)
        for directory, mode in (("spool", 0o755), ("state", 0o777), ("read-only", 0o555), ("closed", 0)):
            (path / directory).mkdir()
            (path / directory).chmod(mode)
        monkeypatch.setenv("STATE_DIRECTORY", str(path / "state"))
        monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
        yield path
        (path / "closed").chmod(0o700)


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Root can read and write everything, so root does not look as root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def config(folder: Path, text: str = "[stdout]\n", name: str = "graphios.ini") -> list[str]:
    path = folder / name
    head = (
        ""
        if "[spool" in text or "[graphios]" in text
        else f"[spool]\ndirectory = {folder}/spool\n[limits]\nmax_bytes = 1000\n"
    )
    path.write_text(head + text)
    return ["--config", str(path)]


def test_a_good_configuration_is_shown_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "token").write_text("t0psecret")
    (folder / "token").chmod(0o600)
    text = f"""[fifo]
path = {folder}/pipe
[carbon:lab]
host = 127.0.0.1, [::1]:2103
creates_per_minute = 50
[influxdb]
url = https://influx.example
version = 2
bucket = b
token_file = {folder}/token
tls_verify = no
[file]
path = {folder}/out
[names]
base = lab
"""
    code = main(config(folder, text))
    out = capsys.readouterr().out
    assert code == 0, out
    for expected in (
        f"{folder}/spool (service-perfdata.* host-perfdata.*)",
        f"{folder}/pipe (named pipe)",
        "carbon:lab  127.0.0.1:2003 or [::1]:2103, plaintext; kept 15 min (at most 1.1 GB) for a replay; 50 new series a minute",
        "influxdb    https://influx.example, version 2, bucket b, with a token; TLS, the receiver's certificate is NOT verified",
        f"file        {folder}/out",
        "lab.www_example_org.Disk_space.disk_C_-",
        "lab.prefix.www_example_org.postfix.disk_C_-",
        f"state               {folder}/state/graphios/spool-",
        "fine",
    ):
        assert expected in out
    assert "t0psecret" not in out


def test_root_is_told_that_it_sees_no_missing_permission(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for euid, told in ((0, True), (1000, False)):
        monkeypatch.setattr(os, "geteuid", lambda euid=euid: euid)
        assert main(config(folder)) == 0
        assert ("note: root may read and write everything" in capsys.readouterr().out) == told


def test_a_mistake_is_one_line_and_exit_code_3(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(config(folder, "[carbn]\n")) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "did you mean carbon?" in captured.err


def test_warnings_are_exit_code_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "spool/data.1").touch()
    text = f"[graphios]\nspool_directory = {folder}/spool\nenable_stdout = True\nnerf_carbin = True\n"
    assert main(config(folder, text, "graphios.cfg")) == 1
    out = capsys.readouterr().out
    assert "warning: " in out
    assert "nerf_carbin = True: is not known (did you mean nerf_carbon?)" in out
    assert "1 file that Graphios 2 would have taken" in out
    assert "'data.1'" in out
    assert "not shipped (unprefixed)" in out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[spool]\ndirectory = {folder}/nowhere\n", "{folder}/nowhere does not exist"),
        ("[spool]\ndirectory = {folder}/graphios.ini\n", "{folder}/graphios.ini is no directory"),
        ("[spool]\ndirectory = {folder}/read-only\n", "{folder}/read-only can't be written, as "),
        ("[spool]\ndirectory = {folder}/closed\n", "{folder}/closed can't be read, as "),
        ("[spool]\ndirectory = {folder}/closed/deeper\n", "{folder}/closed/deeper does not exist, or "),
        ("[state]\ndirectory = {folder}/read-only/a/b\n", "{folder}/read-only can't be written, as "),
        ("[status]\nfile = {folder}/read-only/status.json\n", "[status] file: {folder}/read-only can't be written"),
        ("[rejects]\nfile = {folder}/graphios.ini/x\n", "[rejects] file: {folder}/graphios.ini is no directory"),
        ("[fifo]\npath = {folder}/graphios.ini\n", "graphios.ini is something else than a named pipe"),
        ("[fifo]\npath = {folder}/nowhere/pipe\n", "[fifo] path: {folder}/nowhere does not exist"),
        ("[file]\npath = {folder}/state\n", "[file] path = {folder}/state can't be written"),
    ],
)
def test_what_the_user_cannot_use_is_wrong(
    folder: Path, ordinary_user: None, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    assert main(config(folder, text.format(folder=folder) + ("" if "[file]" in text else "[stdout]\n"))) == 3
    wrong = [found for found in capsys.readouterr().out.splitlines() if found.startswith("wrong: ")]
    assert any(complaint.format(folder=folder) in found for found in wrong)


def test_a_home_that_cannot_be_written_matters_not_to_the_service(
    folder: Path, ordinary_user: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "read-only"))
    (folder / "mine").mkdir()
    assert main(config(folder, f"[spool]\ndirectory = {folder}/mine\n[stdout]\n")) == 0
    out = capsys.readouterr().out
    assert f"note: [state] directory: {folder}/read-only can't be written, as " in out
    assert "unless systemd sets STATE_DIRECTORY" in out
    assert "wrong: " not in out


def test_a_spool_that_everybody_may_empty_is_a_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "spool").chmod(0o777)
    assert main(config(folder)) == 1
    assert "every user of this machine may put files there" in capsys.readouterr().out
    (folder / "spool").chmod(0o1777)
    assert main(config(folder)) == 0


def test_another_file_system_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # /dev/shm is a file system of its own wherever Linux runs; its root is only looked at.
    assert main(config(folder, "[stdout]\n[state]\ndirectory = /dev/shm/graphios-state\n")) == 0
    out = capsys.readouterr().out
    assert "note: state (/dev/shm/graphios-state) and spool" in out
    assert "are on different file systems" in out


def test_a_library_that_is_missing_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = check_paths.importlib.util.find_spec
    monkeypatch.setattr(
        check_paths.importlib.util, "find_spec", lambda name: None if name == "requests" else found(name)
    )
    assert main(config(folder, "[influxdb]\nurl = http://influx\ndatabase = d\n")) == 3
    assert "the Python package requests is not installed: [influxdb] needs it" in capsys.readouterr().out


def certificate(folder: Path) -> Path:
    path = folder / "server.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2")
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    subprocess.run(
        ["openssl", "req", *kind, *subject, "-keyout", str(folder / "key"), "-out", str(path)],
        check=True,
        capture_output=True,
    )
    (folder / "both").write_text((folder / "key").read_text() + path.read_text())
    return path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def test_connect_tries_every_backend(folder: Path, listener: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    port = listener.getsockname()[1]
    text = f"[carbon]\nport = {port}\n[statsd]\n[influxdb]\nurl = http://127.0.0.1:{port}\ndatabase = d\n[stdout]\n"
    assert main([*config(folder, text), "--connect"]) == 0
    out = capsys.readouterr().out
    assert f"carbon    127.0.0.1:{port}: reached in " in out
    assert f"influxdb  127.0.0.1:{port}: reached in " in out
    assert "statsd    127.0.0.1:8125: is 127.0.0.1; UDP does not tell" in out


def test_a_backend_that_is_not_there_is_wrong_and_one_of_two_servers_a_warning(
    folder: Path, listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = closed.getsockname()[1]
    port = listener.getsockname()[1]
    assert main([*config(folder, f"[carbon]\nport = {gone}\n"), "--connect"]) == 3
    assert f"wrong: [carbon] 127.0.0.1:{gone}: Connection refused" in capsys.readouterr().out
    assert main([*config(folder, f"[carbon]\nport = {gone}\nhost = 127.0.0.1, localhost:{port}\n"), "--connect"]) == 1
    assert f"warning: [carbon] 127.0.0.1:{gone}: Connection refused" in capsys.readouterr().out
    assert main(config(folder, f"[carbon]\nport = {gone}\n")) == 0  # not tried when not asked to


def test_tls_is_tried_and_a_wrong_authority_found(
    folder: Path, listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = certificate(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "both")

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    port = listener.getsockname()[1]
    assert main([*config(folder, f"[carbon]\nport = {port}\ntls = yes\ntls_ca = {authority}\n"), "--connect"]) == 0
    assert "reached with TLS in " in capsys.readouterr().out
    assert main([*config(folder, f"[carbon]\nport = {port}\ntls = yes\n"), "--connect"]) == 3
    assert "certificate" in capsys.readouterr().out
    thread.join(20)


def test_a_peer_that_says_nothing_is_given_up(
    folder: Path, listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"[carbon]\nport = {listener.getsockname()[1]}\ntls = yes\ntls_verify = no\nconnect_timeout = 0.2\n"
    assert main([*config(folder, text), "--connect"]) == 3
    assert "does not answer the TLS handshake for 0.2 s" in capsys.readouterr().out


def test_an_option_that_is_none_is_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--conect"])
    assert ended.value.code == 3
    assert capsys.readouterr().err.count("\n") == 1
