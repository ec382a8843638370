"""The parts of the demo, wired together: who starts after whom, and where its points and pages are."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.stack import demo_config, place
from tests.stack.daemon import Daemon, StackError
from tests.stack.demo_config import SERIES
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.libvirt import Libvirt
from tests.stack.linux_guest import LinuxImage, linux_image
from tests.stack.nagios import Nagios
from tests.stack.nrpe import Nrpe
from tests.stack.web import Web

# Metric families as check_virt_stats names them, each with the metrics that tell most.
FAMILIES = {
    "state": ("state.state",),
    "cpu": ("cpu.percent", "cpu.time"),
    "vcpu": ("vcpu.0.time",),
    "balloon": ("balloon.used_percent", "balloon.usable", "balloon.rss"),
    "net": ("net.0.rx_bytes", "net.0.tx_bytes"),
    "block": ("block.vda.rd_bytes", "block.vda.wr_bytes"),
    "host": ("host.guests.running", "host.memory.overcommit_percent"),
}
SHOWN = 4


class Pipeline:
    """QEMU guests, libvirtd, NRPE, Nagios, graphios, carbon, graphite-web and Apache."""

    def __init__(self, root: Path) -> None:
        self.user = place.daemon_user()
        self.root = root
        self.notes: list[str] = []
        self.linux: LinuxImage | None = None
        self.libvirt = Libvirt(root)
        self.carbon: Carbon = demo_config.carbon(root, self.user)
        self.graphite = GraphiteWeb(root, self.carbon, self.user)
        self.nrpe: Nrpe | None = None
        self.nagios: Nagios | None = None
        self.web: Web | None = None
        self.graphios: Daemon | None = None

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        """What to do, in order, each with the words to show."""
        return [
            ("libvirtd", self.libvirt.start),
            ("a Linux kernel for the guests, from Debian", self.get_linux),
            ("three QEMU guests", self.start_guests),
            ("carbon", self.carbon.start),
            ("graphite-web", self.graphite.start),
            ("NRPE with TLS", self.start_nrpe),
            ("Nagios", self.start_nagios),
            ("graphios", self.start_graphios),
            ("Apache with the pages of Nagios and Graphite", self.start_web),
        ]

    def get_linux(self) -> None:
        """What the guests boot; without it they run a boot sector."""
        try:
            self.linux = linux_image()
        except StackError as error:
            self.notes.append(
                "The guests run no Linux but a boot sector, so there is no memory use inside the guest and hardly any traffic: "
                f"{error}"
            )

    def start_guests(self) -> None:
        """Two real Linux guests and one without an operating system; three of the latter where apt can't provide a kernel."""
        self.libvirt.add_guest("web01", linux=self.linux, vcpus=2)
        self.libvirt.add_guest("db01", linux=self.linux, disks=2)
        self.libvirt.add_guest("bare01")
        if not self.libvirt.taps:
            self.notes.append(
                "No network counters: libvirt counts only the traffic of tap devices; they take root, /dev/net/tun and the right to make namespaces."
            )

    def start_nrpe(self) -> None:
        """The node's side: NRPE with mutual TLS and the checks."""
        self.nrpe = demo_config.nrpe(self.root, self.user, self.libvirt.uri_ro)
        self.nrpe.start()

    def start_nagios(self) -> None:
        """The monitoring server's side."""
        assert self.nrpe
        self.nagios = demo_config.nagios(self.root, self.user, self.nrpe)
        self.nagios.start()

    def start_graphios(self) -> None:
        """The shipper, from Nagios's spool to carbon."""
        assert self.nagios
        config = demo_config.graphios(self.root, self.nagios.spool, self.carbon.port)
        place.give(config.parent, self.user)
        argv: list[str | Path] = [self.root / "bin" / "graphios", "--config", config]
        log = self.root / "log" / "graphios.log"
        env = {"STATE_DIRECTORY": str(config.parent)}
        self.graphios = Daemon("graphios", argv, log, env, cwd=config.parent, user=self.user, root=self.root)
        self.graphios.start()
        self.graphios.wait_ready(lambda: True, 5, "graphios starts")

    def start_web(self) -> None:
        """The pages."""
        assert self.nagios
        self.web = Web(self.root, self.nagios, self.graphite, self.user)
        self.web.start()

    def families(self) -> list[str]:
        """The metric families whose points are to be expected here."""
        return [family for family in FAMILIES if family != "net" or self.libvirt.taps]

    def points(self, family: str) -> dict[str, float]:
        """The newest value of each series of a family that has arrived in Graphite."""
        middle = "" if family == "host" else "*."
        targets = ",".join(f"{SERIES}.{middle}{family}{rest}" for rest in ("", ".*", ".*.*"))
        return self.graphite.latest(f"group({targets})")

    def wait_for_rates(self) -> None:
        """Waits until every guest's CPU use in percent is there: it takes two checks. Raises StackError."""
        self.graphite.wait_for(f"{SERIES}.*.cpu.percent", 15 + 3 * demo_config.CHECK_SECONDS)

    def telling(self, family: str, points: Mapping[str, float]) -> list[str]:
        """The few series of a family to show: the metrics that tell most first, of guests that do much first."""

        def rank(name: str) -> tuple[int, int, str]:
            metric = next((place for place, end in enumerate(FAMILIES[family]) if name.endswith(f".{end}")), 99)
            return metric, 0 if "01." in name and "bare" not in name else 1, name

        return sorted(points, key=rank)[:SHOWN]

    def diagnosis(self) -> str:
        """Where the points may have got stuck, for the error message."""
        assert self.nagios
        status = self.nagios.status()
        said = [
            f"Nagios has of {service}: {fields.get('plugin_output', '')}"
            for (_, service), fields in status.items()
            if service
        ]
        parts = [
            daemon.name
            for daemon in (self.graphios, self.carbon.daemon, self.graphite.daemon)
            if daemon and not daemon.alive()
        ]
        dead = f"{', '.join(parts)} ended; " if parts else ""
        return f"{'; '.join(said)}; {dead}see {self.root / 'log' / 'graphios.log'}"

    def graphs(self) -> dict[str, str]:
        """Title and Graphite target of a few graphs worth a look."""
        found = {"CPU": "*.cpu.percent", "memory": "*.balloon.used_percent", "disk": "perSecond(*.block.vda.rd_bytes)"}
        return found | ({"network": "perSecond(*.net.0.rx_bytes)"} if self.libvirt.taps else {})

    def graph(self, title: str, target: str) -> str:
        """The address of a graph with a line for each guest."""
        assert self.web
        target = f"aliasByNode({target.replace('*', f'{SERIES}.*', 1)},{SERIES.count('.') + 1})"
        return f"{self.web.graphite_url}render?from=-10min&width=900&height=400&title={title}&target={target}"

    def ending(self, found: Mapping[str, Mapping[str, float]]) -> str:
        """What to tell at the end of the start: the values, the pages, the commands."""
        assert self.nrpe
        assert self.web
        width = max(len(name) for family in found for name in self.telling(family, found[family]))
        lines = ["", f"  {'family':<9}{'metric':<{width}}  newest value"]
        for family, points in found.items():
            for name in self.telling(family, points):
                lines.append(f"  {family:<9}{name:<{width}}  {points[name]:.12g}")
            if len(points) > SHOWN:
                lines.append(f"  {'':<9}and {len(points) - SHOWN} more")
        check = demo_config.check_by_hand(self.libvirt.uri_ro)
        lines += ["", *(f"  Note: {note}" for note in self.notes), ""] if self.notes else [""]
        lines += [
            f"  Nagios    {self.web.nagios_url}",
            f"  services  {self.web.status_url}",
            f"  Graphite  {self.web.graphite_url}",
            *(f"  {title:<9} {self.graph(title, target)}" for title, target in self.graphs().items()),
            "",
            "  The check by hand, as Nagios runs it through NRPE with TLS:",
            f"    {shlex.join(self.nrpe.check_argv('check_virt_stats'))}",
            "  and on the node itself:",
            f"    {shlex.join(check)}",
            "  The guests:",
            f"    {shlex.join(['virsh', '-c', self.libvirt.uri, 'list', '--all'])}",
            "",
            "  bin/demo status   shows this again",
            "  bin/demo stop     ends everything",
        ]
        return "\n".join(lines)
