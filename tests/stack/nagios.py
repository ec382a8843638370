"""A private Nagios Core 4 (Debian's nagios4-core) with a perfdata spool; needs no privileges and no systemd."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.stack.daemon import Daemon, StackError
from tests.stack.place import give, run, socket_folder

MAIN = """\
log_file={folder}/nagios.log
resource_file={folder}/resource.cfg
object_cache_file={folder}/objects.cache
precached_object_file={folder}/objects.precache
status_file={folder}/status.dat
status_update_interval=1
temp_file={folder}/nagios.tmp
temp_path={folder}/tmp
check_result_path={folder}/checkresults
state_retention_file={folder}/retention.dat
retain_state_information=0
lock_file={folder}/nagios.lock
command_file={sockets}/nagios.cmd
query_socket={sockets}/nagios.qh
log_archive_path={folder}/archives
nagios_user={user}
nagios_group={group}
use_syslog=0
check_for_updates=0
interval_length={interval}
check_workers=2
check_external_commands=1
check_result_reaper_frequency=1
service_inter_check_delay_method=n
host_inter_check_delay_method=n
max_service_check_spread=1
max_host_check_spread=1
service_check_timeout=60
perfdata_timeout=5
enable_environment_macros=0
enable_flap_detection=0
enable_notifications=0
log_rotation_method=n
"""

CGI = """\
main_config_file={folder}/nagios.cfg
physical_html_path=/usr/share/nagios4/htdocs
url_html_path=/nagios4
use_authentication=0
default_user_name=nagiosadmin
refresh_rate=5
result_limit=100
escape_html_tags=1
"""

# The objects of Debian's nagios4 that the generated configuration builds on; `alive` is the command line of check-host-alive.
BASE_OBJECTS = """\
define command {{
  command_name  check-host-alive
  command_line  {alive}
}}
define command {{
  command_name  nobody-is-told
  command_line  /bin/true
}}
define timeperiod {{
  timeperiod_name  24x7
  alias            always
  sunday     00:00-24:00
  monday     00:00-24:00
  tuesday    00:00-24:00
  wednesday  00:00-24:00
  thursday   00:00-24:00
  friday     00:00-24:00
  saturday   00:00-24:00
}}
define contact {{
  contact_name                   nobody
  host_notification_commands     nobody-is-told
  service_notification_commands  nobody-is-told
  host_notification_period       24x7
  service_notification_period    24x7
}}
define contactgroup {{
  contactgroup_name  admins
  members            nobody
}}
define host {{
  name                 generic-host
  register             0
  notification_period  24x7
}}
define service {{
  name                 generic-service
  register             0
  check_period         24x7
  contact_groups       admins
  notification_period  24x7
}}
"""


class Nagios:
    """Nagios Core over object files of the caller's."""

    def __init__(
        self,
        root: Path,
        config_files: Sequence[Path],
        user: str | None = None,
        *,
        main: str = "",
        resources: Mapping[str, str] | None = None,
        interval_seconds: int = 1,
        name: str = "nagios",
    ) -> None:
        """`config_files` hold objects; `main` is added to nagios.cfg (perfdata processing, for example); `resources` are $USERn$ macros.

        One unit of check_interval is `interval_seconds` (Nagios's own default is 60).
        """
        self.folder = root / name
        self.spool = self.folder / "spool"
        self.cgi_config = self.folder / "cgi.cfg"
        self.config = self.folder / "nagios.cfg"
        self.name = name
        self._config_files = list(config_files)
        self._root = root
        self._user = user
        self.main = main
        self._resources = {"USER1": "/usr/lib/nagios/plugins"} | dict(resources or {})
        self._interval = interval_seconds
        self.daemon: Daemon | None = None

    def add(self, config_file: Path) -> None:
        """Adds a file with objects."""
        self._config_files.append(config_file)

    def prepare(self) -> None:
        """Writes the configuration and the folders; start() does it, too."""
        for name in ("tmp", "checkresults", "archives", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        sockets = socket_folder(self._root) / self.name
        sockets.mkdir(parents=True, exist_ok=True)
        account = pwd.getpwnam(self._user) if self._user else pwd.getpwuid(os.getuid())
        text = MAIN.format(
            folder=self.folder,
            sockets=sockets,
            user=account.pw_name,
            group=account.pw_gid,
            interval=self._interval,
        )
        text += "".join(f"cfg_file={path}\n" for path in self._config_files) + self.main
        self.config.write_text(text, encoding="utf-8")
        resources = "".join(f"${name}$={value}\n" for name, value in self._resources.items())
        (self.folder / "resource.cfg").write_text(resources, encoding="utf-8")
        self.cgi_config.write_text(CGI.format(folder=self.folder), encoding="utf-8")
        for folder in (self.folder, sockets):
            give(folder, self._user)

    def verify(self) -> str:
        """What `nagios4 -v` says about the configuration. Raises StackError with its first complaint."""
        try:
            return run(["/usr/sbin/nagios4", "-v", self.config], "nagios4 -v", self._user)
        except StackError as error:
            done = run(["/bin/sh", "-c", f"/usr/sbin/nagios4 -v '{self.config}' || true"], "nagios4 -v", self._user)
            complaints = [line for line in done.splitlines() if line.startswith("Error")]
            raise StackError(complaints[0] if complaints else str(error)) from error

    def start(self) -> None:
        """Starts it and waits until it wrote its first status. Raises StackError."""
        self.prepare()
        self.verify()
        for stale in ("status.dat", "nagios.lock"):
            (self.folder / stale).unlink(missing_ok=True)
        log = self._root / "log" / f"{self.name}.log"
        self.daemon = Daemon(self.name, ["/usr/sbin/nagios4", self.config], log, user=self._user, root=self._root)
        self.daemon.start()
        self.daemon.wait_ready((self.folder / "status.dat").exists, 20, "Nagios writes its status")

    def stop(self) -> None:
        """Ends it and the checks that it runs; the spool stays."""
        if self.daemon:
            self.daemon.stop()

    def submit(self, command: str) -> None:
        """Gives it an external command, such as STOP_EXECUTING_SVC_CHECKS."""
        pipe = socket_folder(self._root) / self.name / "nagios.cmd"
        with pipe.open("w", encoding="utf-8") as file:
            file.write(f"[{int(time.time())}] {command}\n")

    def clear_spool(self) -> None:
        """Removes every file in the spool."""
        shutil.rmtree(self.spool, ignore_errors=True)
        self.spool.mkdir()
        give(self.spool, self._user)

    def status(self) -> dict[tuple[str, str], dict[str, str]]:
        """The fields of status.dat (plugin_output, current_state, has_been_checked ...) by host name and service description.

        The service description of a host itself is "".
        """
        found: dict[tuple[str, str], dict[str, str]] = {}
        try:
            text = (self.folder / "status.dat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return found
        for _, block in re.findall(r"^(host|service)status \{\n(.*?)\n\t\}", text, re.MULTILINE | re.DOTALL):
            fields = dict(line.strip().split("=", 1) for line in block.splitlines() if "=" in line)
            found[fields.get("host_name", ""), fields.get("service_description", "")] = fields
        return found
