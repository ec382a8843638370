"""Whether a tincan is newer than 16, found out without sending it anything.

From IPOP 17 on a tincan answers one controller and nobody else, and a monitor that made itself that controller would cut the real one off. What
tells the generations apart, readable for everybody on the machine: names, arguments and configuration of what runs; the addresses the control port
is bound to (14 to 16: 127.0.0.1 and ::1, later ::1 alone); where the packages put their files. Sources: ipop-tincan v16.01.0 tincan.cc; Tincan v20
control_listener.cc and tincan_main.cc; ipop-project/Release-Management and EdgeVPNio/tools, their packages; the controllers' template-config.json.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from checks.deadline import CheckError, stage
from checks.output import clean_name, host_port

PORT = 5800
# The last release whose tincan answers get_state; 16.08 speaks the protocol of 17 to 20 already.
_LAST = (16, 1)
ADVICE = "read its controller's document with --controller-json"
"""What an operator does instead."""
_INSTALLED = (
    *("opt/ipop-vpn/ipop-tincan", "etc/opt/ipop-vpn/config.json", "var/lib/dpkg/info/ipop-vpn.list", "snap/ipopvpn"),
    *("opt/edge-vpnio/tincan", "opt/evio/tincan", "var/lib/dpkg/info/edge-vpnio.list", "var/lib/dpkg/info/evio.list"),
)
# Folders of the packages of IPOP 18 to 20 and EdgeVPN, in a program's or a configuration's path.
_FOLDERS = ("/opt/ipop-vpn/", "/etc/ipop-vpn/", "/snap/ipopvpn/", "/opt/edge-vpnio/", "/opt/evio/")
# Sections of a controller's configuration that IPOP 14 to 16.01 did not have.
_NEW_SECTIONS = ("Broker", "Signal", "TincanInterface", "VirtualNetworkInitializer")
_LARGEST_CONFIGURATION = 1 << 20
_LOOPBACK = {"udp": bytes((127, 0, 0, 1)), "udp6": bytes(15) + b"\1"}

Version = tuple[int, ...]


class TincanTooNew(CheckError):
    """A tincan that is newer than 16, or could be for all that is known here: it must not be sent anything."""


def read_version(text: str) -> Version:
    """Return the numbers of a version of IPOP, as in 16.01.0 or v20. Raises ValueError."""
    if not re.fullmatch(r"v?\d{1,6}(\.\d{1,6}){0,5}", text, re.ASCII):
        raise ValueError(f"{text[:80]!r} is not a version such as 16.01")
    return tuple(int(part) for part in text.lstrip("v").split("."))


def is_newer(version: Version) -> bool:
    """Return whether IPOP of this version has a tincan that must not be asked; a year alone stands for its first release."""
    return version[:2] > _LAST


def refuse_newer(host: str, port: int, version: Version | None = None, root: Path = Path("/")) -> None:
    """Raise TincanTooNew where anything says that the tincan there is newer than 16, or where it is elsewhere and nobody says what it is.

    `version`: what the operator says it is. It outweighs files that are only installed, but not what runs. Processes that are hidden from us
    (hidepid of /proc) say nothing.
    """
    where = f"the tincan at {clean_name(host_port(host, port))}"
    if version and is_newer(version):
        raise TincanTooNew(f"{where} is newer than 16 by --tincan-version: nothing is sent to it, {ADVICE}")
    if not _is_loopback(host):
        if not version:
            raise TincanTooNew(f"{where} may be newer than 16: say what it is with --tincan-version; nothing was sent")
        return
    with stage("looking which IPOP runs here"):
        found = next(_running(port, root), "")
        if not found and not version and port == PORT:
            found = _bound_as_newer(root) or _installed(root)
            found = found and f"{found} (if it is not, say so: --tincan-version 16)"
    if found:
        raise TincanTooNew(f"{where} is newer than 16 by {found}: nothing is sent to it, {ADVICE}")


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # A name is resolved only when it is asked: what any other name means may change between now and then.
        return host.rstrip(".").lower() == "localhost"


def _running(port: int, root: Path) -> Iterator[str]:
    """Yield what runs and says that the tincan on `port` is newer than 16."""
    from checks.processes.commandline import arguments, base_name, runs
    from checks.processes.procfs import Procfs

    procfs = Procfs(root / "proc")
    pids: Sequence[int] = ()
    with contextlib.suppress(CheckError):
        pids = procfs.pids()
    for pid in pids:
        line = procfs.command_line(pid) or b""
        # Few of a machine's processes are worth a closer look.
        if b"tincan" not in line and b"ontroller" not in line:
            continue
        words = arguments(line)
        direct = runs(words).direct
        names = [base_name(path) for path in direct]
        if names and names[0].startswith(("ipop-tincan", "tincan")):
            if _port(words) == port and (reason := _tincan(words)):
                yield f"process {pid}, {reason}"
        elif port == PORT and names[1:] and (reason := _controller(words, names[1], root)):
            yield f"process {pid}, {reason}"


def _port(words: Sequence[str]) -> int:
    """Return the control port in a tincan's arguments: `-p=PORT` since 18, `TAP PORT` before."""
    given = next((word[3:] for word in words if word.startswith("-p=")), "")
    if not given and len(words) == 3 and not words[1].startswith("-"):
        given = words[2]
    return int(given) if given.isascii() and given.isdigit() and len(given) < 6 else PORT


def _tincan(words: Sequence[str]) -> str:
    """Return why a tincan is newer than 16, by its name and arguments, or ""."""
    if words[0].rpartition("/")[2] == "tincan":
        return "a tincan of EdgeVPN"
    if any(word.startswith("-p=") for word in words):
        return "a tincan with an option of IPOP 18"
    return next((f"a tincan in {folder}" for folder in _FOLDERS if folder in words[0]), "")


def _controller(words: Sequence[str], script: str, root: Path) -> str:
    """Return why a controller's tincan is newer than 16, by its name and configuration, or ""."""
    if script == "evio_controller.py":
        return "a controller of EdgeVPN"
    if script != "Controller.py":
        return ""
    path = _configuration(words)
    known = next((folder for folder in _FOLDERS if folder in path or folder in words[0]), "")
    if known:
        return f"a controller of {known}"
    if path.startswith("/") and (section := _new_section(root / path[1:])):
        return f"a controller whose configuration has {section}"
    return ""


def _configuration(words: Sequence[str]) -> str:
    """Return the path behind -c in a controller's arguments, or ""."""
    place = next((number for number, word in enumerate(words) if word in ("-c", "--config")), len(words))
    return "".join(words[place + 1 : place + 2])


def _new_section(path: Path) -> str:
    """Return a section of a configuration that is newer than 16, or "": also where it can't be read, since it holds passwords."""
    from checks.sources import read_file, read_json, table

    with contextlib.suppress(CheckError, OSError, ValueError):
        # Anybody may start a process with any such argument, and some devices begin to work when they are opened.
        contents = read_file(path, _LARGEST_CONFIGURATION) if path.is_file() else None
        sections = table(read_json(contents.data, str(path))) if contents else {}
        found = next((name for name in _NEW_SECTIONS if name in sections), "")
        return found or ("CFx.Overlays" if "Overlays" in table(sections.get("CFx")) else "")
    return ""


def _bound_as_newer(root: Path) -> str:
    """Return why a control port bound to ::1 alone is no tincan of 14 to 16, which is bound to 127.0.0.1 first; "" where it is not so."""
    if _is_bound(root, "udp") or not _is_bound(root, "udp6"):
        return ""
    return f"port {PORT}, which is bound to ::1 alone"


def _is_bound(root: Path, name: str) -> bool:
    """Return whether /proc/net/udp or udp6 (proc(5)) has the control port at the loopback address; no where it can't be read."""
    # The kernel shows each 32 bits of an address as a number of this machine.
    raw = _LOOPBACK[name]
    words = [int.from_bytes(raw[place : place + 4], sys.byteorder) for place in range(0, len(raw), 4)]
    address = "".join(f"{word:08X}" for word in words) + f":{PORT:04X}"
    with contextlib.suppress(OSError):
        lines = (root / "proc/net" / name).read_text(encoding="ascii", errors="replace").splitlines()
        return any(line.split()[1:2] == [address] for line in lines)
    return False


def _installed(root: Path) -> str:
    """Return which file of a package of IPOP 18 to 20 or EdgeVPN is there, or ""."""
    for name in _INSTALLED:
        with contextlib.suppress(OSError):
            if (root / name).exists():
                return f"/{name}"
    return ""
