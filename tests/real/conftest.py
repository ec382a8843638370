"""The real daemons for the real tests: each is started when the first test asks for it, shared by all, and ended with
the session.

Nothing is left behind: what a killed run left is ended by the next one before it starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.monitoring import Shipping
from tests.soak import count
from tests.stack import place
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.libvirt import Libvirt
from tests.stack.linux_guest import LinuxImage, linux_image
from tests.stack.nrpe import Nrpe
from tests.stack.tahoe import TahoeGrid


@pytest.fixture(scope="session")
def make_stack_root() -> Iterator[Callable[[str], Path]]:
    """Makes folders for stacks; whatever still runs in them at the end of the session is ended, and they are removed."""
    place.clean_abandoned("test-")
    roots: list[Path] = []

    def make(name: str) -> Path:
        roots.append(place.make_root(f"test-{os.getpid()}-{name}"))
        return roots[-1]

    yield make
    for root in roots:
        place.clean(root)


@pytest.fixture(scope="session")
def stack_user() -> str | None:
    """The user for daemons without privileges; None is the caller."""
    return place.daemon_user()


@pytest.fixture(scope="session")
def stack_root(make_stack_root: Callable[[str], Path]) -> Path:
    """The folder of the shared daemons."""
    return make_stack_root("shared")


@pytest.fixture(scope="session")
def carbon(stack_root: Path, stack_user: str | None) -> Iterator[Carbon]:
    """A running carbon-cache, 1 s for 15 min. A test that kills it starts it again."""
    daemon = Carbon(stack_root, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def graphite(stack_root: Path, carbon: Carbon, stack_user: str | None) -> Iterator[GraphiteWeb]:
    """graphite-web over `carbon`."""
    daemon = GraphiteWeb(stack_root, carbon, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def libvirt_daemon(stack_root: Path) -> Iterator[Libvirt]:
    """A private libvirtd without guests of its own (see libvirt_host)."""
    daemon = Libvirt(stack_root)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def linux() -> LinuxImage:
    """What a Linux guest boots."""
    return linux_image()


@pytest.fixture(scope="session")
def libvirt_host(libvirt_daemon: Libvirt) -> Libvirt:
    """The same libvirtd with real guests: web01 (2 vCPUs, 2 NICs, 2 disks), db01, and "plain" without balloon, all
    running the boot sector.

    A test that needs others adds and removes them itself, and leaves these three running.
    """
    libvirt_daemon.add_guest("web01", vcpus=2, nics=2, disks=2)
    libvirt_daemon.add_guest("db01")
    libvirt_daemon.add_guest("plain", balloon=False)
    return libvirt_daemon


@pytest.fixture(scope="session")
def linux_guest(libvirt_host: Libvirt, linux: LinuxImage) -> str:
    """The name of a running real Linux guest of `libvirt_host` whose balloon statistics have arrived; it reads, writes
    and pings.
    """
    libvirt_host.add_guest("linux01", linux=linux)
    libvirt_host.wait_for_balloon("linux01")
    return "linux01"


@pytest.fixture(scope="session")
def tahoe_grid(make_stack_root: Callable[[str], Path], stack_user: str | None) -> Iterator[TahoeGrid]:
    """A running grid of three storage nodes, an introducer and a client. A test that changes it leaves it as it was."""
    grid = TahoeGrid(make_stack_root("tahoe"), stack_user)
    try:
        grid.start()
        yield grid
    finally:
        grid.stop()


@pytest.fixture
def make_nrpe(stack_root: Path, stack_user: str | None) -> Iterator[Callable[..., Nrpe]]:
    """make_nrpe(commands, tls=True, ...): a running NRPE server of the test's own, ended with the test.

    Takes Nrpe's arguments.
    """
    servers: list[Nrpe] = []

    def make(commands: dict[str, str], tls: bool | str = True, **options: object) -> Nrpe:
        server = Nrpe(stack_root, commands, tls, stack_user, name=f"nrpe-{len(servers) + 1}", **options)  # type: ignore[arg-type]
        server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def nrpe(stack_root: Path, stack_user: str | None, libvirt_host: Libvirt) -> Iterator[Nrpe]:
    """NRPE with mutual TLS and the commands check_virt_stats (4 KB), check_virt_stats_all (compressed), and check_disk."""
    server = Nrpe(stack_root, {}, True, stack_user)
    check = (
        f"STATE_DIRECTORY={server.state} {place.command('check_virt_stats')} --uri '{libvirt_host.uri_ro}' --save-state"
    )
    server.commands["check_virt_stats"] = check
    server.commands["check_virt_stats_all"] = f"{check} --state-key all --max-output 60000 --compress"
    server.commands["check_disk"] = str(place.command("check_disk"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shipping(make_stack_root: Callable[[str], Path], stack_user: str | None) -> Iterator[Shipping]:
    """graphios with a spool, and a carbon and graphite-web of its own, which keep points for longer than any test takes."""
    system = Shipping(make_stack_root("pipeline"), stack_user, minutes=count(10, 40))
    system.start()
    yield system
    system.stop()
