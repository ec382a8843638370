"""A private Apache for the pages: Nagios's CGIs, and graphite-web with its static files, on one loopback port."""

from __future__ import annotations

from pathlib import Path

from tests.stack.daemon import Daemon, OnFreePort, StackError
from tests.stack.graphite import GraphiteWeb
from tests.stack.nagios import Nagios
from tests.stack.place import free_port, give

MODULE_FOLDER = Path("/usr/lib/apache2/modules")
MODULES = (
    "mpm_prefork",
    "authz_core",
    "authz_host",
    "alias",
    "dir",
    "mime",
    "env",
    "cgi",
    "proxy",
    "proxy_http",
)

CONFIG = """\
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/httpd.pid
ErrorLog {folder}/error.log
{modules}
StartServers 2
MinSpareServers 1
MaxSpareServers 2
MaxRequestWorkers 8
TypesConfig /etc/mime.types
DirectoryIndex index.php index.html
<Directory />
  Require all denied
</Directory>
SetEnv NAGIOS_CGI_CONFIG {cgi_config}
ScriptAlias /cgi-bin/nagios4 /usr/lib/cgi-bin/nagios4
Alias /nagios4/stylesheets /etc/nagios4/stylesheets
Alias /nagios4 /usr/share/nagios4/htdocs
Alias /static /usr/share/graphite-web/static
<DirectoryMatch "^(/usr/share/(nagios4|graphite-web/static|javascript)|/usr/lib/cgi-bin/nagios4|/etc/nagios4/stylesheets)">
  Options FollowSymLinks ExecCGI
  Require all granted
</DirectoryMatch>
<FilesMatch "\\.php$">
  SetHandler application/x-httpd-php
</FilesMatch>
ProxyPass /nagios4 !
ProxyPass /cgi-bin !
ProxyPass /static !
ProxyPass / {graphite}/
"""


class Web(OnFreePort):
    """Apache in the foreground; everybody on this machine may look, nobody else."""

    def __init__(self, root: Path, nagios: Nagios, graphite: GraphiteWeb, user: str | None = None) -> None:
        self.folder = root / "web"
        self._root = root
        self._nagios = nagios
        self._graphite = graphite
        self._user = user
        self.port = 0
        self.daemon: Daemon | None = None

    @property
    def nagios_url(self) -> str:
        """The Nagios pages."""
        return f"http://127.0.0.1:{self.port}/nagios4/"

    @property
    def status_url(self) -> str:
        """The list of all services in Nagios."""
        return f"http://127.0.0.1:{self.port}/cgi-bin/nagios4/status.cgi?host=all"

    @property
    def graphite_url(self) -> str:
        """Graphite's composer; ends in a slash, so that `render?...` can follow."""
        return f"http://127.0.0.1:{self.port}/"

    def _start(self) -> None:
        self.port = self.port or free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"LoadModule {name}_module {MODULE_FOLDER}/mod_{name}.so" for name in MODULES]
        if not (php := sorted(MODULE_FOLDER.glob("libphp*.so"))):
            raise StackError("Apache's PHP module is missing; it comes with Debian's package libapache2-mod-php")
        lines.append(f"LoadModule php_module {php[-1]}")
        text = CONFIG.format(
            folder=self.folder,
            port=self.port,
            modules="\n".join(lines),
            cgi_config=self._nagios.cgi_config,
            graphite=self._graphite.url,
        )
        config = self.folder / "httpd.conf"
        config.write_text(text, encoding="utf-8")
        give(self.folder, self._user)
        log = self._root / "log" / "apache.log"
        argv: list[str | Path] = ["/usr/sbin/apache2", "-f", config, "-DFOREGROUND"]
        daemon = self.daemon = Daemon("apache", argv, log, user=self._user, root=self._root)
        daemon.start()
        daemon.wait_ready(lambda: daemon.listens(self.port), 10, "Apache accepts connections", (self.port,))

    def stop(self) -> None:
        """Ends it."""
        if self.daemon:
            self.daemon.stop()
