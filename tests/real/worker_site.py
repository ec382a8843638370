"""A Nagios whose checks run in an outside worker of ours, and everything that tells whether a result was lost or came twice.

Each run of the plugin has a number of its own. It stands in the text, which Nagios writes into a file for every result it takes, and at the end of
the perfdata, which is too long for Nagios: there only the spool of the worker has it.
"""

from __future__ import annotations

import array
import contextlib
import os
import re
import socket
import subprocess
from collections import Counter
from pathlib import Path

import psutil

from tests.stack import place
from tests.stack.daemon import Daemon, clean_environment, wait_until
from tests.stack.nagios import BASE_OBJECTS, Nagios

PLUGIN = """\
#!/bin/sh
run=$(date +%s%N)$$
sleep "$1"
echo "OK: run $run|$(cat '{pad}') run=$run"
echo 'more, with a \\ in it'
"""
MAIN = """\
enable_environment_macros=1
process_performance_data=1
service_perfdata_file={folder}/results
service_perfdata_file_template=$SERVICEDESC$\\t$SERVICEOUTPUT$\\t$SERVICEPERFDATA$
service_perfdata_file_mode=a
"""
SERVICE = """\
define service {{
  use                  generic-service
  host_name            node
  service_description  {name}
  check_command        numbered!{seconds}
  check_interval       1
  retry_interval       1
  max_check_attempts   1
}}
"""
PATIENCE = 60.0


class WorkerSite:
    """Nagios with quick and slow services, checked every second, and the worker's folders."""

    def __init__(self, root: Path, user: str | None, quick: int = 6, slow: int = 4) -> None:
        self.root, self.user = root, user
        self.spool, self.journal, self.log = root / "spool", root / "journal", root / "log" / "worker.log"
        for folder in (self.spool, self.journal):
            folder.mkdir()
            place.give(folder, user)
        pad, plugin, objects = root / "pad", root / "check_numbered", root / "objects.cfg"
        pad.write_text(" ".join(f"pad{number:03}=1" for number in range(600)), encoding="ascii")
        plugin.write_text(PLUGIN.format(pad=pad), encoding="ascii")
        plugin.chmod(0o755)
        self.seconds = {f"quick{number}": 0.1 for number in range(quick)} | {
            f"slow{number}": 1.5 for number in range(slow)
        }
        text = BASE_OBJECTS.format(alive="$USER1$/check_dummy 0")
        text += f"define command {{\n  command_name  numbered\n  command_line  {plugin} $ARG1$\n}}\n"
        text += (
            "define host {\n  use  generic-host\n  host_name  node\n  address  127.0.0.1\n  max_check_attempts  1\n}\n"
        )
        text += "".join(SERVICE.format(name=name, seconds=seconds) for name, seconds in self.seconds.items())
        objects.write_text(text, encoding="ascii")
        self.nagios = Nagios(root, [objects], user, main=MAIN.format(folder=root / "nagios"))
        self.worker: Daemon | None = None

    def argv(self) -> list[str]:
        """The worker's command line."""
        command = place.command("testbed-checks")
        options = [
            "--nagios-cfg",
            self.nagios.config,
            "--plugin",
            "check_numbered",
            "--spool",
            self.spool,
            "--journal",
            self.journal,
        ]
        return [str(word) for word in (command, "worker", *options)]

    def start_worker(self) -> Daemon:
        """Starts a worker; Nagios takes it as soon as it is ready."""
        self.worker = Daemon("worker", self.argv(), self.log, user=self.user, root=self.root)
        self.worker.start()
        return self.worker

    def stop(self) -> None:
        """Ends all of it."""
        if self.worker:
            self.worker.stop()
        self.nagios.stop()

    def kill_executor(self) -> None:
        """SIGKILL to the worker's executor, as soon as there is one."""
        assert self.worker
        worker = psutil.Process(self.worker.pid)

        def killed() -> bool:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in worker.children():
                    if "checks.engine.worker.executor" in child.cmdline():
                        child.kill()
                        return True
            return False

        wait_until(killed, PATIENCE, "the worker has an executor")

    def jobs(self) -> int:
        """How many jobs Nagios waits for."""
        return len(list(self.journal.glob("job.*")))

    def said(self) -> str:
        """Nagios's log."""
        return (self.nagios.folder / "nagios.log").read_text(encoding="utf-8", errors="replace")

    def taken(self) -> list[tuple[str, str, bool]]:
        """Each result that Nagios took: service, number of the run, whether it came from the worker (and so in its short form)."""
        try:
            text = (self.nagios.folder / "results").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        rows = [line.split("\t") for line in text.splitlines() if line.count("\t") >= 2]
        found = [(row[0], re.match(r"OK: run (\d+)", row[1]), row[2]) for row in rows]
        return [(service, run[1], len(perfdata) < 4000) for service, run, perfdata in found if run]

    def spooled(self) -> list[str]:
        """The number of each run in the spool."""
        texts = [path.read_text(encoding="utf-8") for path in self.spool.iterdir() if not path.name.startswith(".")]
        return re.findall(r"\brun=(\d+)", "".join(texts))

    def wait_for_each(self, times: int = 1, by_worker: bool = True) -> None:
        """Waits until Nagios has taken so many new results of every service, by the worker or by its own ones.

        Nagios itself gives up a check whose result never comes after more than ten minutes.
        """
        before = Counter(service for service, _, ours in self.taken() if ours == by_worker)

        def all_again() -> bool:
            now = Counter(service for service, _, ours in self.taken() if ours == by_worker)
            return all(now[service] - before[service] >= times for service in self.seconds)

        whose = "the worker" if by_worker else "Nagios's own workers"
        wait_until(all_again, PATIENCE, f"every service is checked by {whose}")

    def finish(self) -> None:
        """Has Nagios start no more checks, and waits until the worker has nothing to do."""
        self.nagios.submit("STOP_EXECUTING_SVC_CHECKS")
        status = self.nagios.folder / "status.dat"

        def stopped() -> bool:
            text = status.read_text(encoding="utf-8", errors="replace").split("servicestatus {")[0]
            return "\tactive_service_checks_enabled=0\n" in text

        wait_until(stopped, PATIENCE, "Nagios starts no more checks")
        wait_until(lambda: not self.jobs(), PATIENCE, "the worker has nothing to do")
        wait_until(
            lambda: {run for _, run, ours in self.taken() if ours} >= set(self.spooled()),
            PATIENCE,
            "Nagios takes the results",
        )


class ServiceManager:
    """systemd's part for one worker: it keeps the connections that the worker gives it, and hands them to the next one."""

    def __init__(self, site: WorkerSite) -> None:
        self._site = site
        self.kept: dict[str, int] = {}
        path = place.socket_folder(site.root) / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        path.chmod(0o777)
        self._path = path

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Starts a worker with what is kept."""
        names = ":".join(self.kept)
        fds = list(self.kept.values())
        # The descriptors have to be 3 and on, and LISTEN_PID its own. (dash knows descriptors below 10 only.)
        moves = " ".join(f"{3 + place}<&{fd}" for place, fd in enumerate(fds))
        script = f'exec {moves}; export LISTEN_PID=$$; exec "$@"' if fds else 'exec "$@"'
        environment = clean_environment(self._site.root, self._site.user) | {"NOTIFY_SOCKET": str(self._path)}
        if fds:
            environment |= {"LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": names}
        with self._site.log.open("ab") as log:
            return subprocess.Popen(
                ["/bin/bash", "-c", script, "bash", *self._site.argv()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=fds,
                start_new_session=True,
                user=self._site.user,
            )

    def listen(self) -> list[str]:
        """Takes what the worker has said by now."""
        said = []
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(4), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return said
            words = dict(line.split("=", 1) for line in data.decode().splitlines())
            if words.get("FDSTORE") == "1":
                fds = array.array("i", ancillary[0][2])
                # Low numbers are those the next worker gets them by.
                self.kept[words["FDNAME"]] = os.dup2(fds[0], 50 + len(self.kept))
                os.close(fds[0])
            elif words.get("FDSTOREREMOVE") == "1" and words["FDNAME"] in self.kept:
                os.close(self.kept.pop(words["FDNAME"]))
            said.append(data.decode())

    def close(self) -> None:
        """Closes what it keeps."""
        for fd in self.kept.values():
            os.close(fd)
        self._socket.close()
