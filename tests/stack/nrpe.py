"""A private NRPE server on loopback: mutual TLS with throwaway certificates, anonymous TLS, or plain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from tests.stack.daemon import Daemon, OnFreePort
from tests.stack.place import free_port, give, run

CHECK_NRPE = "/usr/lib/nagios/plugins/check_nrpe"

# command_timeout is longer than a check's own deadline (10 s) and shorter than check_nrpe's (20 s).
CONFIG = """\
log_file={log}
debug=0
pid_file={folder}/nrpe.pid
server_address=127.0.0.1
server_port={port}
nrpe_user={user}
nrpe_group={user}
allowed_hosts=127.0.0.1
dont_blame_nrpe=0
allow_bash_command_substitution=0
disable_syslog=1
command_timeout={command_timeout}
connection_timeout=60
listen_queue_size=128
"""

MUTUAL_TLS = """\
ssl_version=TLSv1.2+
ssl_cacert_file={folder}/ca.pem
ssl_cert_file={folder}/node.pem
ssl_privatekey_file={folder}/node.key
ssl_client_certs=2
"""


def make_certificates(folder: Path) -> None:
    """A throwaway CA, with a certificate for NRPE (node) and one for check_nrpe (server, the monitoring one). Raises StackError."""

    def openssl(*words: str | Path) -> None:
        run(["openssl", *words], "openssl")

    def new_key(name: str) -> list[str | Path]:
        return [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            folder / f"{name}.key",
        ]

    authority: list[str | Path] = []
    for extension in ("basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign,cRLSign"):
        authority += ["-addext", extension]
    openssl(
        "req",
        "-x509",
        *new_key("ca"),
        "-days",
        "30",
        "-subj",
        "/CN=throwaway CA",
        "-out",
        folder / "ca.pem",
        *authority,
    )
    for name, usage in (("node", "serverAuth"), ("server", "clientAuth")):
        openssl("req", *new_key(name), "-subj", f"/CN=nrpe-{name}", "-out", folder / f"{name}.csr")
        extensions = folder / f"{name}.ext"
        extensions.write_text(
            f"basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\nsubjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n",
            encoding="ascii",
        )
        signed_by: list[str | Path] = [
            "-CA",
            folder / "ca.pem",
            "-CAkey",
            folder / "ca.key",
            "-CAcreateserial",
            "-days",
            "30",
        ]
        openssl(
            "x509",
            "-req",
            "-in",
            folder / f"{name}.csr",
            *signed_by,
            "-extfile",
            extensions,
            "-out",
            folder / f"{name}.pem",
        )
    for key in folder.glob("*.key"):
        key.chmod(0o600)


class Nrpe(OnFreePort):
    """NRPE with fixed commands, as Debian's build wants them (it takes no arguments)."""

    def __init__(
        self,
        root: Path,
        commands: Mapping[str, str],
        tls: bool | Literal["mutual", "anonymous"] = True,
        user: str | None = None,
        include: Iterable[Path] = (),
        command_timeout: int = 15,
        name: str = "nrpe",
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`commands` are command name and shell line; `include` are *.cfg files with more.

        tls=True is "mutual", False is plain.
        """
        self.folder = root / name
        self.state = self.folder / "state"  # for checks that keep counters: STATE_DIRECTORY={state} in a command
        self.name = name
        self.commands = dict(commands)
        self.include = list(include)
        self.command_timeout = command_timeout
        self._root = root
        self._user = user
        self._env = dict(env or {})
        self._tls = {True: "mutual", False: "plain"}.get(tls) if isinstance(tls, bool) else tls
        self.port = 0
        self.daemon: Daemon | None = None

    def _start(self) -> None:
        self.port = self.port or free_port()
        self.state.mkdir(parents=True, exist_ok=True)
        if self._tls == "mutual" and not (self.folder / "server.pem").exists():
            make_certificates(self.folder)
        log = self._root / "log" / f"{self.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        give(log, self._user)
        config = self.write_config(log)
        give(self.folder, self._user)
        argv: list[str | Path] = ["/usr/sbin/nrpe", "-c", config, "-f", *(["-n"] if self._tls == "plain" else [])]
        daemon = self.daemon = Daemon(self.name, argv, log, self._env, user=self._user, root=self._root)
        daemon.start()
        daemon.wait_ready(lambda: daemon.listens(self.port), 10, "NRPE accepts connections", (self.port,))

    def write_config(self, log: Path) -> Path:
        """The configuration file."""
        user = self._user or Daemon("nobody", [], log).env["USER"]
        text = CONFIG.format(
            log=log, folder=self.folder, port=self.port, user=user, command_timeout=self.command_timeout
        )
        text += MUTUAL_TLS.format(folder=self.folder) if self._tls == "mutual" else ""
        text += "".join(f"include={path}\n" for path in self.include)
        text += "".join(f"command[{name}]={line}\n" for name, line in self.commands.items())
        config = self.folder / "nrpe.cfg"
        config.write_text(text, encoding="utf-8")
        return config

    def stop(self) -> None:
        """Ends it and the checks it runs."""
        if self.daemon:
            self.daemon.stop()

    def options(self) -> list[str]:
        """check_nrpe's options for how to speak with this server (TLS or not), without its address."""
        if self._tls == "plain":
            return ["-n"]
        if self._tls == "anonymous":
            return []
        return ["-A", f"{self.folder}/ca.pem", "-C", f"{self.folder}/server.pem", "-K", f"{self.folder}/server.key"]

    def check_argv(self, command: str, timeout: str = "20:3") -> list[str]:
        """The check_nrpe command line that runs `command`; `timeout` is seconds and the exit code then."""
        return [CHECK_NRPE, "-H", "127.0.0.1", "-p", str(self.port), *self.options(), "-t", timeout, "-c", command]
