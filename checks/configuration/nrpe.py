"""NRPE's side: a snippet with the commands of each check, the timeout they need, and encryption with certificates.

Directives: nrpe.cfg(5) of NRPE 4.1 as Debian 12 builds it, which takes no command arguments.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from checks.configuration import engine_unit
from checks.configuration.declared import ConfigurationError, about, parts, splits
from checks.configuration.seattle import profile_alias, profile_commands
from checks.configuration.settings import Settings, header
from checks.options import Asked, UsageError
from checks.plugin import Check, Command

ROOM = "nrpe"
COMMAND_TIMEOUT = 15
_TLS_DIR = "/etc/nagios/tls"
# NRPE cuts the lines of its configuration at 2,048 bytes.
_LONGEST_ARGUMENTS = 1500


def files(checks: Sequence[Check], settings: Settings) -> dict[str, str]:
    """Return the files of the folder nrpe/. Raises ConfigurationError for arguments that a check does not take."""
    _verify(checks, settings)
    if settings.profile:
        found = {f"{settings.profile}.cfg": profile(checks, settings)}
    else:
        found = {f"{check.name}.cfg": _snippet(check, settings) for check in checks} | engine_unit.units(settings)
    found["nrpe_local.cfg"] = _local(settings)
    if settings.tls:
        found["nrpe_tls.cfg"] = tls(settings)
    return found


def _verify(checks: Sequence[Check], settings: Settings) -> None:
    for name, text in settings.arguments:
        meant = [(check, one) for check in checks for one in check.commands if name in (check.name, one.name)]
        if not meant:
            raise ConfigurationError(f"--arguments {name}: the checks are {', '.join(check.name for check in checks)}")
        try:
            for check, command in meant:
                check.parse([*shlex.split(command.arguments), *shlex.split(text)])
        except Asked:
            raise ConfigurationError(f"--arguments {name}: {text} runs no check") from None
        except (UsageError, ValueError) as error:
            raise ConfigurationError(f"--arguments {name}: {error}") from None
        if len(text) > _LONGEST_ARGUMENTS:
            raise ConfigurationError(
                f"--arguments {name}: longer than {_LONGEST_ARGUMENTS} bytes, a line of NRPE takes no more"
            )


def _snippet(check: Check, settings: Settings) -> str:
    lines = [
        f"{check.name}: {about(check)}",
        "",
        "Goes to /etc/nagios/nrpe.d/ of each node it looks at; then: systemctl reload nagios-nrpe-server",
        "Arguments are fixed: Debian's NRPE takes none from the network. Thresholds of your own: make this file with",
        f"  testbed-checks config nrpe --arguments {check.name}='OPTIONS'{_or_of_one(check)}",
        f"or define a command with a name of your own in another file. {settings.bindir}/{check.name} --help lists the options.",
        "No sudo: the check runs as NRPE's own user and needs no privileges.",
    ]
    if on_every_node(check) and not settings.engine_interval:
        lines.append(
            "Without Nagios: make it with --engine-interval SECONDS as well, and `testbed-checks serve` runs the check."
        )
    blocks = [header(ROOM, settings, *lines)]
    for command in check.commands:
        why = ["For graphios-tap: Nagios itself cuts output above 4,096 bytes."] if command.tap else []
        if command in on_every_node(check):
            why += _interval(command, settings)
        blocks.append(_block([command.description, *why], [command], check, settings))
    for command in check.commands:
        if splits(check, command):
            why = [
                f"The same in {settings.parts} parts with the same metric names, where {command.name} is over NRPE's 64 KB even when compressed.",
                f"Nagios needs the same number of parts: testbed-checks config nagios --parts {settings.parts}",
            ]
            blocks.append(_block(why, list(parts(check, command, settings.parts)), check, settings))
    return "\n".join(blocks)


def on_every_node(check: Check) -> Sequence[Command]:
    """Return the commands that the engine runs on any node without Nagios; of the same in two sizes the large one, as it takes all."""
    everywhere = [command for command in check.commands if not command.special and not command.server]
    return [command for command in everywhere if command.tap] or everywhere


def _interval(command: Command, settings: Settings) -> list[str]:
    """Return the engine's comment, see checks/engine/commands/commands.py; none where Nagios asks."""
    return [f"interval={max(settings.engine_interval, command.interval)}"] if settings.engine_interval else []


def _or_of_one(check: Check) -> str:
    others = [command.name for command in check.commands if command.name != check.name]
    return f" (for all of its commands, {others[0]}='OPTIONS' for one)" if others else ""


def profile(checks: Sequence[Check], settings: Settings) -> str:
    """Return NRPE's commands for hosts of one kind."""
    name = settings.profile
    lines = [
        f"{profile_alias(name)}: what NRPE runs on these hosts.",
        "",
        "Goes to /etc/nagios/nrpe.d/ of each of them, with nrpe_local.cfg, and instead of the files of the checks, which define the same commands;",
        "then: systemctl reload nagios-nrpe-server",
        "Arguments are fixed: Debian's NRPE takes none from the network. Arguments of your own: make this file with",
        f"  testbed-checks config nrpe --profile {name} --arguments COMMAND='OPTIONS'",
        f"or define a command with a name of your own in another file. {settings.bindir}/CHECK --help lists the options.",
        "No sudo: the checks run as NRPE's own user and need no privileges.",
    ]
    blocks = [header(ROOM, settings, *lines)]
    for check, command in profile_commands(name, checks):
        blocks.append(_block([command.description, *_interval(command, settings)], [command], check, settings))
    return "\n".join(blocks)


def _block(comments: Sequence[str], commands: Sequence[Command], check: Check, settings: Settings) -> str:
    lines = [f"# {comment}" for comment in comments]
    for command in commands:
        names = (check.name, command.name)
        more = [shlex.join(shlex.split(text)) for name, text in settings.arguments if name in names]
        words = [f"{settings.bindir}/{check.name}", command.arguments, *more]
        lines.append(f"command[{command.name}]={' '.join(filter(None, words))}")
    return "\n".join(lines) + "\n"


def _local(settings: Settings) -> str:
    server = settings.monitoring_server
    allowed = f"allowed_hosts=127.0.0.1,::1,{server}" if server else "#allowed_hosts=127.0.0.1,::1,192.0.2.10"
    return (
        header(
            ROOM,
            settings,
            "What the checks need of NRPE itself. Goes to /etc/nagios/nrpe_local.cfg (or a file in nrpe.d/).",
        )
        + f"""
# A check ends itself after 10 s and says what hung. NRPE waits longer, or all the check printed would be lost; check_nrpe (20 s) waits
# longer still, or the check would run on with nobody listening; Nagios (60 s) is the last.
command_timeout={COMMAND_TIMEOUT}

# Who may ask. To be set: the address of the monitoring server, as this node sees it. Until then NRPE closes its connections, and check_nrpe
# there says "Connection reset by peer" or "Receive header underflow". It is no more than a filter by address: use a firewall as well,
# and certificates (testbed-checks config nrpe --tls).
{allowed}

# As Debian sets it, and to be left so: with arguments from the network, whoever reaches NRPE chooses what a check does.
dont_blame_nrpe=0
allow_bash_command_substitution=0
"""
    )


def tls(settings: Settings) -> str:
    """Return NRPE's settings for certificates, with the recipe for those. Without the certificates NRPE would not start."""
    folder = settings.tls_dir or _TLS_DIR
    return (
        header(
            ROOM,
            settings._replace(tls=True),
            "NRPE with certificates: both sides prove who they are. Without, NRPE encrypts with anonymous keys: anybody who may connect may ask,",
            "and whoever sits between can read and answer.",
            "Goes to /etc/nagios/nrpe.d/ of a node once its certificates are in place; then: systemctl restart nagios-nrpe-server",
            "The monitoring server's side: testbed-checks config nagios --tls",
            "",
            "The certificates, made with openssl on the monitoring server, in a folder only root can read:",
            *_CERTIFICATES,
            "",
            f"ca.pem, node.pem and node.key go to {folder} of that node, ca.pem, server.pem and server.key to /etc/nagios4/tls of the monitoring",
            "server; the keys readable by user nagios only (chown nagios, chmod 400). ca.key stays where it is: who has it can make certificates.",
        )
        + f"""
ssl_version=TLSv1.2+
ssl_use_adh=0
ssl_client_certs=2
ssl_cacert_file={folder}/ca.pem
ssl_cert_file={folder}/node.pem
ssl_privatekey_file={folder}/node.key
"""
    )


def _certificate(name: str, subject: str, usage: str) -> tuple[str, str]:
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    return (
        f"  $ openssl req {key} -subj {subject} -addext extendedKeyUsage={usage} -keyout {name}.key -out {name}.csr",
        f"  $ openssl x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -days 1000 -out {name}.pem",
    )


_CERTIFICATES = (
    "  $ openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=nrpe-authority \\",
    "      -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.pem",
    *_certificate("server", "/CN=monitoring-server", "clientAuth"),
    "and for each node, with its name:",
    *_certificate("node", "/CN=node1", "serverAuth"),
)
