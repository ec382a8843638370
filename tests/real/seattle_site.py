"""A whole Seattle testbed on loopback: doubles of its servers, processes of the right names, NRPE with TLS, and a real Nagios over the generated
configuration, with Debian's own objects beside it.
"""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from pathlib import Path

from checks.configuration.seattle import PING
from checks.seattle.advertise import TcpAdvertise
from checks.seattle.keys import PublicKey
from tests.real.monitoring import Shipping
from tests.seattle.advertise import AdvertiseServer, UdpAdvertiseServer
from tests.seattle.builder import BASE, BUILD, InstallerBuilder
from tests.seattle.lockserver import LockServer
from tests.seattle.nodemanager import NodeManager
from tests.seattle.updatesite import UpdateSite
from tests.seattle.zenodotus import ZONE, Zenodotus
from tests.stack import place
from tests.stack.daemon import Daemon, wait_until
from tests.stack.nagios import Nagios
from tests.stack.nrpe import Nrpe

DEBIAN = "".join(
    f"cfg_file=/etc/nagios4/objects/{name}.cfg\n" for name in ("commands", "contacts", "timeperiods", "templates")
) + ("cfg_dir=/etc/nagios-plugins/config\nillegal_macro_output_chars=`~$&|'\"<>\n")
# Whom notifications would go to is Debian's business; that they go out stands in the log.
NOTIFY = "enable_notifications=1\nlog_notifications=1\nexecute_service_checks=0\n"
IDLE = "import signal\nwhile True:\n    signal.pause()\n"
SCRIPTS = {
    "server": ("advertiseserver.py",),
    "clearinghouse": (
        "transition_donation_to_canonical.py",
        "transition_onepercentmanyevents_to_canonical.py",
        "transition_canonical_to_twopercent.py",
        "transition_twopercent_to_twopercent.py",
        "check_active_db_nodes.py",
        "backend_daemon.py",
        "lockserver_daemon.py",
    ),
    "node": ("nmmain.py", "softwareupdater.py"),
    "zenodotus": ("zenodotus_built.repy",),
}
PROGRAMS = ("apache2", "mysqld")
# Of the node manager's captured answer.
NODE_KEY = PublicKey(65537, 840301610928756114796324397867)
STATES = {"twopercent": 301, "acceptdonation": 3, "canonical": 0}
AT_ONCE = 6
# How many seconds Nagios takes for one.
MINUTE = 2


class SeattleSite:
    """The servers are attributes. `nagios` runs a check only when asked to, until only(); then in seconds for minutes."""

    def __init__(self, root: Path, user: str | None, shipping: Shipping) -> None:
        self.root, self.user, self.shipping = root, user, shipping
        self.advertise = AdvertiseServer()
        self.udp = UdpAdvertiseServer(port=self.advertise.port)
        self.zenodotus = Zenodotus(advertise=TcpAdvertise("127.0.0.1", self.advertise.port))
        self.node = NodeManager()
        self.updates = UpdateSite()
        self.builder = InstallerBuilder()
        self.locks = LockServer()
        self._open = ExitStack()
        self._daemons: list[Daemon] = []
        state = root / "state"
        state.mkdir(mode=0o700)
        place.give(state, user)
        self.nrpe = Nrpe(root, {}, True, user, env={"STATE_DIRECTORY": str(state)})
        self.nagios = Nagios(root, [], user, interval_seconds=MINUTE)

    def start(self) -> None:
        """Start everything."""
        for double in (self.advertise, self.udp, self.zenodotus, self.node, self.updates, self.builder, self.locks):
            self._open.enter_context(double)
        self._keys()
        self.announce()
        self._processes()
        self._install()
        self._start_nrpe()
        self._start_nagios()

    def stop(self) -> None:
        """End everything."""
        for part in (self.nagios, self.nrpe, *self._daemons):
            part.stop()
        self._open.close()

    def announce(self) -> None:
        """Put into the advertise server what nodes would."""
        table = self.advertise.table
        for number, count in enumerate(STATES.values(), 3):
            for one in range(count):
                table.put(self._state_key(number).advertised(), b"192.0.2.%d:%d" % (one % 250, 1224 + one), 750)
        table.put(f"hello.{ZONE}".encode(), b"192.0.2.7", 750)
        table.put(NODE_KEY.advertised(), b"127.0.0.1:%d" % self.node.port, 750)

    def restart_advertise(self) -> None:
        """The advertise server comes back on its port, and the nodes advertise anew."""
        self.advertise = self._open.enter_context(AdvertiseServer(port=self.advertise.port))
        self.announce()

    def restart_zenodotus(self) -> None:
        """Zenodotus comes back on its port."""
        self.zenodotus = self._open.enter_context(
            Zenodotus(port=self.zenodotus.port, advertise=TcpAdvertise("127.0.0.1", self.advertise.port))
        )

    @staticmethod
    def _state_key(number: int) -> PublicKey:
        return PublicKey(65537, 10**20 + number)

    def _keys(self) -> None:
        folder = self.root / "statekeys"
        folder.mkdir()
        for number, name in enumerate(STATES, 3):
            (folder / f"{name}.publickey").write_text(str(self._state_key(number)), encoding="ascii")
        owner = re.findall(rb"OwnerKey: (.*)", self.node.vessels)[0]
        (self.root / "owner.publickey").write_bytes(owner)

    def _processes(self) -> None:
        for role, names in SCRIPTS.items():
            folder = self.root / role
            folder.mkdir()
            for name in names:
                (folder / name).write_text(IDLE, encoding="ascii")
                self._idle(name, ["/usr/bin/python3", "-IS", name], folder)
        for name in PROGRAMS:
            (self.root / name).symlink_to("/usr/bin/sleep")
            self._idle(name, [self.root / name, "3600"], self.root)

    def _idle(self, name: str, argv: list[str | Path], folder: Path) -> None:
        daemon = Daemon(name, argv, self.root / "log" / f"{name}.log", cwd=folder, user=self.user, root=self.root)
        daemon.start()
        self._daemons.append(daemon)

    def _install(self) -> None:
        folder = self.root / "install"
        folder.mkdir()
        for name, data in self.updates.files.items():
            (folder / name).write_bytes(data)
        pid = next(daemon.pid for daemon in self._daemons if daemon.name == "softwareupdater.py")
        (self.root / "runoncelock.softwareupdater.old").write_text(f"{pid}      ", encoding="ascii")

    def _generate(self, room: str, *options: str | Path) -> Path:
        folder = self.root / room
        words = ["config", room, "--output", folder, "--bindir", place.command("x").parent, *options]
        place.run([place.command("testbed-checks"), *words], f"testbed-checks config {room}")
        return folder

    def _start_nrpe(self) -> None:
        mine = Daemon("whoever", [], self.root, user=self.user).env["USER"]
        more = {
            "check_advertise_server": f"-p {self.advertise.port}",
            "check_zenodotus": f"-H 127.0.0.1 -p {self.zenodotus.port}",
            "check_seattle_node": f"-p {self.node.port} --advertise-host 127.0.0.1:{self.advertise.port}",
            "check_seattle_processes": f"--user {mine} --lock-port {self.locks.port}",
            "check_advertise_server_states": f"--state-directory {self.root}/statekeys",
            "check_software_update": f"--url {self.updates.url}",
            "check_software_update_install": f"--install-dir {self.root}/install --lock-dir {self.root}",
            "check_installer_builder": f"--url http://127.0.0.1:{self.builder.port}{BASE}",
            "check_installer_builder_download": f"--build-id {BUILD}",
        }
        arguments = [word for name, text in more.items() for word in ("--arguments", f"{name}={text}")]
        folder = self._generate("nrpe", *arguments)
        self.nrpe.include = sorted(folder.glob("*.cfg"))
        self.nrpe.start()

    def _start_nagios(self) -> None:
        options: list[str | Path] = ["--tls", "--tls-dir", self.nrpe.folder, "--nrpe-port", str(self.nrpe.port)]
        options += ["--nagios-dir", self.nagios.folder, "--spool", self.shipping.spool]
        folder = self._generate("nagios", *options)
        hosts = self.root / "hosts.cfg"
        hosts.write_text(self._hosts() + self._over_nrpe(folder), encoding="utf-8")
        for file in (*sorted(folder.glob("*.cfg")), hosts):
            self.nagios.add(file)
        main = (folder / "main" / "testbed-checks.cfg").read_text(encoding="utf-8")
        self.nagios.main = DEBIAN + main.replace("_processing_interval=15", "_processing_interval=1") + NOTIFY
        self.nagios.start()

    def _hosts(self) -> str:
        here = f"127.0.0.1:{self.advertise.port}"
        web = f"-p {self.updates.port} -u /updatesite/nmmain.py"
        advertise = {"_ADVERTISE_OPTIONS": f"-p {self.advertise.port}", "_STATEKEYS": self.root / "statekeys"}
        node = f"-p {self.node.port} --owner {self.root}/owner.publickey --resources"
        builder = {
            "_BUILDER_URL": f"http://127.0.0.1:{self.builder.port}{BASE}",
            "_BUILD_ID": BUILD,
            "_WEB_OPTIONS": f"-p {self.builder.port} -u {BASE}xmlrpc/",
        }
        groups: dict[str, tuple[str, dict[str, object]]] = {
            "seattle": ("main-server", dict(advertise)),
            "udp": ("udp-server", dict(advertise)),
            "zenodotus": (
                "zenodotus",
                {"_ZENODOTUS_OPTIONS": f"-p {self.zenodotus.port} --name hello --advertise-host {here}"},
            ),
            "clearinghouse": ("clearinghouse", {"_WEB_OPTIONS": web}),
            "updatesite": ("updatesite", {"_SOFTWARE_URL": self.updates.url}),
            "builder": ("builder", builder),
            "node": ("node-nrpe", {"_NODE_OPTIONS": node, "_ADVERTISE_HOST": here}),
        }
        return "".join(self._host(name, role, more) for name, (role, more) in groups.items())

    @staticmethod
    def _host(name: str, role: str, more: dict[str, object]) -> str:
        directives = {"use": "testbed-seattle-host", "host_name": name, "address": "127.0.0.1"} | more
        directives["hostgroups"] = f"testbed-seattle-{role}"
        return "define host {\n" + "".join(f"  {key}  {value}\n" for key, value in directives.items()) + "}\n"

    @staticmethod
    def _over_nrpe(folder: Path) -> str:
        """Another host, whose services ask NRPE for what the monitoring server otherwise does itself."""
        text = "define host {\n  use  testbed-seattle-host\n  host_name  inside\n  address  127.0.0.1\n}\n"
        for file in sorted(folder.glob("check_*.cfg")):
            for name in re.findall(r"command_name +testbed-(check_\w+)", file.read_text(encoding="utf-8")):
                text += (
                    f"define service {{\n  use  testbed-{name}\n  host_name  inside\n  service_description  {name}\n"
                )
                text += f"  check_command  testbed-nrpe-tls!{name}\n}}\n"
        return text

    def services(self) -> dict[tuple[str, str], dict[str, str]]:
        """What Nagios knows of each service, by host and description."""
        return {key: fields for key, fields in self.nagios.status().items() if key[1]}

    def run_each(self) -> None:
        """Have Nagios run every check once, a few at a time, and write the results and perfdata."""
        # A ping takes long and computes nothing: these begin at once.
        waiting = sorted(self.services(), key=lambda key: key[1] == PING)
        pings = sum(name == PING for _, name in waiting)
        before = {key: fields["last_check"] for key, fields in self.services().items()}
        begun: list[tuple[str, str]] = []

        def done() -> bool:
            now = self.services()
            busy = [key for key in begun if now[key]["last_check"] == before[key]]
            for _ in range(min(AT_ONCE + pings - len(busy), len(waiting))):
                begun.append(waiting.pop())
                self.forced(*begun[-1])
            return not waiting and not busy

        wait_until(done, 120, "every check has run once")

    def only(self, *services: tuple[str, str]) -> None:
        """From now on these services are checked as configured, and no others."""
        for host, service in self.services():
            if (host, service) not in services:
                self.nagios.submit(f"DISABLE_SVC_CHECK;{host};{service}")
        self.nagios.submit("START_EXECUTING_SVC_CHECKS")

    def notifications(self) -> list[tuple[str, str, str]]:
        """Host, service and state of every notification of a service that went out, the oldest first."""
        text = (self.nagios.folder / "nagios.log").read_text(encoding="utf-8", errors="replace")
        lines = re.findall(r"SERVICE NOTIFICATION: [^;]*;([^;]*);([^;]*);([^;]*);", text)
        return [(host, service, state) for host, service, state in lines]

    def forced(self, host: str, service: str) -> None:
        """Have Nagios run a check now."""
        self.nagios.submit(f"SCHEDULE_FORCED_SVC_CHECK;{host};{service};{int(time.time())}")

    def stored(self, host: str) -> dict[str, float]:
        """The newest value of every series of a host in Graphite, by postfix and label."""
        begin = f"testbed.{host}."
        targets = ",".join(f"{begin}{'.'.join('*' * depth)}" for depth in range(2, 6))
        found = self.shipping.values(f"group({targets})")
        return {name.removeprefix(begin): values[-1] for name, values in found.items()}
