"""graphios under systemd: what its unit file asks for is what the program does."""

import configparser
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from checks.configuration import nagios
from checks.configuration.settings import DEFAULTS

ROOT = Path(__file__).resolve().parents[3]


def service(spool: str = DEFAULTS.spool) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(nagios.files([], DEFAULTS._replace(spool=spool))["graphios.service"])
    return parser["Service"]


def test_it_is_an_ordinary_user_who_can_write_its_own_directories_only() -> None:
    unit = service("/somewhere/spool")
    assert unit["User"] == unit["Group"] == "nagios"
    assert (unit["ProtectSystem"], unit["ReadWritePaths"]) == ("strict", "-/somewhere/spool")
    assert (unit["StateDirectory"], unit["RuntimeDirectory"]) == ("graphios", "graphios")
    assert (unit["CapabilityBoundingSet"], unit["NoNewPrivileges"]) == ("", "yes")


@pytest.mark.slow
def test_systemd_is_told_when_it_is_ready_reloads_and_ends(tmp_path: Path) -> None:
    unit = service()
    assert (unit["Type"], unit["NotifyAccess"], unit["ExecReload"]) == ("notify", "main", "/bin/kill -HUP $MAINPID")
    for name in ("spool", "state", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "graphios.ini").write_text(f"[spool]\ndirectory = {tmp_path}/spool\n[file]\npath = {tmp_path}/out\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)

        def told(word: bytes) -> bytes:
            """The next message of this kind; raises TimeoutError."""
            while not (message := systemd.recv(10_000)).startswith(word):
                pass
            return message

        environment = os.environ | {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": str(int(unit["WatchdogSec"]) * 1_000_000),
            "STATE_DIRECTORY": str(tmp_path / "state"),
            "RUNTIME_DIRECTORY": str(tmp_path / "run"),
        }
        words = [sys.executable, "-m", "graphios.cli", "--config", str(tmp_path / "graphios.ini")]
        with subprocess.Popen(words, env=environment, cwd=ROOT, stderr=subprocess.PIPE) as graphios:
            try:
                assert f"{tmp_path}/spool".encode() in told(b"READY=1")
                told(b"WATCHDOG=1")
                graphios.send_signal(signal.SIGHUP)
                assert b"MONOTONIC_USEC=" in told(b"RELOADING=1")
                told(b"READY=1")
                graphios.send_signal(signal.SIGTERM)
                told(b"STOPPING=1")
                assert graphios.wait(60) == 0
            finally:
                graphios.kill()
    assert (tmp_path / "run/status.json").exists()
