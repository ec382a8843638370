"""Seattle's update site, and a node against it: signature, expiry, files, and the updater's process.

Alerts when the site can't be used: it does not answer, its metainfo is no metainfo, is altered, is signed by another key than the pinned
one, has expired or will soon, or files are not what it says. A push that is going on looks like that for a moment, so there is a second look
before an alarm. Needs no privileges.

The pinned key is that of --key (a .publickey file), or else the one in softwareupdater.py of --install-dir. Without either, a signature by
any key passes, and the output says so.

Which files are looked at: as many as --files says, others every hour, so that all have their turn, and 64 MiB at most; how many it were is
said. --files all is thorough where the site is near.

With --install-dir, on a node, its files are compared with the site's metainfo: missing and different ones alert, extra ones only with a
threshold. So do an updater that does not run, and a local metainfo that is older than the site's: an updater that runs may still not update.
A node takes some minutes to follow a push: --grace 900 waits for it. Needs the right to read the installation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from checks import web
from checks.deadline import last_moment
from checks.options import UsageError
from checks.output import clean_name
from checks.plugin import (
    GAUGE,
    SEVERITIES,
    Check,
    CheckError,
    Command,
    Measure,
    Metric,
    Options,
    Resource,
    Threshold,
    Values,
    stage,
)
from checks.processes.procfs import Procfs
from checks.seattle.errors import Malformed
from checks.seattle.keys import PublicKey, read_key
from checks.seattle.metainfo import Pinned
from checks.update import report
from checks.update.judge import Judge, contexts
from checks.update.node import Node, look_at, read_installed
from checks.update.process import find_updater
from checks.update.visit import Plan, Visit, visit

MEASURES = (
    Measure("expires", "s", GAUGE, "time until the signature expires, negative when it has"),
    Measure("age", "s", GAUGE, "time since metainfo was signed"),
    Measure("files.listed", "", GAUGE, "files that metainfo lists"),
    Measure("files.checked", "", GAUGE, "files of the site that were looked at"),
    Measure("files.wrong", "", GAUGE, "of these, those that are missing or not what metainfo says"),
    Measure("files.bytes", "B", GAUGE, "what was downloaded of them"),
    Measure("local.compared", "", GAUGE, "local files that were compared"),
    Measure("local.missing", "", GAUGE, "listed files that the installation lacks"),
    Measure("local.different", "", GAUGE, "local files that are not what metainfo says"),
    Measure("local.extra", "", GAUGE, "local files that metainfo does not list"),
    Measure("local.age", "s", GAUGE, "time since the local metainfo was signed"),
    Measure(
        "local.behind", "s", GAUGE, "time since the site's metainfo was signed, while the local one is older; else 0"
    ),
    Measure("updater.running", "", GAUGE, "1 while the updater's process runs, else 0"),
    Measure("time.metainfo", "s", GAUGE, "time until metainfo was there"),
    Measure("time.files", "s", GAUGE, "time for the files"),
    Measure("time.total", "s", GAUGE, "both together"),
)
COMMANDS = (
    Command(
        "check_software_update",
        "",
        "the update site: reachable, signed, not about to expire, files as they should be",
        network="--url '$_HOSTSOFTWARE_URL$' $_HOSTUPDATE_OPTIONS$",
        special=True,
        interval=900,
    ),
    Command(
        "check_software_update_install",
        "--install-dir /opt/seattle/seattle_repy --files 0 --grace 900 --warning= --critical=",
        "a node's files against its update site, and its updater's process",
        special=True,
        interval=1800,
    ),
)
DEFAULT_URL = "http://seattlesoftwareupdater.poly.edu/updatesite/"


def options(parser: Options) -> None:
    """Declare the options of check_software_update."""
    parser.typed(
        "--url",
        read=_folder,
        metavar="URL",
        help=f"the site's folder (default that of the installed updater, else {DEFAULT_URL})",
    )
    parser.range("-w", "--warning", default="7:", help="warn by days until the signature expires")
    parser.range(
        "-c",
        "--critical",
        default="2:",
        help="critical by days until the signature expires; without one, expired is a warning",
    )
    parser.path("--key", help="file of the public key that has to sign, 'e n' in decimal")
    parser.typed("--files", read=_count, metavar="N", default=20, help="how many files of the site to check, or 'all'")
    parser.range("--time-warning", help="warn by seconds the site takes")
    parser.range("--time-critical", help="critical by seconds the site takes")
    parser.path("--install-dir", help="folder of a node's installation (seattle_repy) to compare")
    parser.regexes("--ignore", help="no local files whose whole name matches; repeatable")
    parser.typed(
        "--grace",
        read=_grace,
        metavar="SECONDS",
        default=0.0,
        help="time after a metainfo was signed in which a node may still have the one before, and its files",
    )
    for what, default in (("missing", "0"), ("different", "0"), ("extra", "")):
        parser.range(f"--{what}-warning", default=default, help=f"warn by {what} local files")
        parser.range(f"--{what}-critical", help=f"critical by {what} local files")
    said = "seconds the site's metainfo is there without being taken"
    parser.range("--behind-warning", default="0", help=f"warn by {said}")
    parser.range("--behind-critical", help=f"critical by {said}")
    words = ", ".join(SEVERITIES)
    parser.add(
        "--not-running-severity",
        default="critical",
        choices=tuple(SEVERITIES),
        metavar="STATE",
        help=f"state when the updater of --install-dir does not run: {words}",
    )
    parser.path("--lock-dir", default="/tmp", help="folder of the updater's lock file, its temporary folder")
    parser.path("--proc", default="/proc", help="where procfs is mounted")


class UpdateSite(Resource):
    """The update site, and the node that --install-dir shows."""

    def __init__(self, opts: Values) -> None:
        super().__init__(opts)
        self._now = time.time()
        self._visit: Visit | None = None
        self._node: Node | None = None
        self._url = self._signer = ""
        self._notes: list[str] = []

    def contexts(self) -> Sequence[Threshold]:
        """Return a context for each kind of threshold."""
        return contexts(self.opts)

    def probe(self) -> Iterator[Metric]:
        """Yield what is to be judged: the site, then the node. Raises CheckError."""
        opts = self.opts
        until = last_moment(opts.timeout)
        installed = self._installed()
        key, self._signer = self._pinned(installed)
        self._url = self._choose_url(installed)
        with stage(f"asking {web.place(self._url)}"):
            self._visit = visit(Plan(self._url, key, self._signer, opts.files, opts.timeout), until)
        self._now = time.time()
        self._notes += self._visit.sample.left_out
        judge = Judge(opts, self._now, self._notes)
        yield from judge.site(self._visit, web.place(self._url))
        if opts.install_dir:
            self._node = self._look_at_node(self._visit, until)
            yield from judge.trust(installed, key)
            yield from judge.node(self._node)
        self.headline = report.headline(self._visit, self._node, self._signer, self._now)

    def _installed(self) -> Pinned | str | None:
        folder = self.opts.install_dir
        if not folder:
            return None
        with stage(f"reading {clean_name(str(folder))}"):
            return read_installed(folder)

    def _look_at_node(self, found: Visit, until: float) -> Node:
        opts = self.opts
        updater = find_updater(opts.lock_dir, Procfs(opts.proc))
        if not found.metainfo:
            self._notes.append("local files were not compared: the site has no metainfo to trust")
            return Node(None, None, None, updater, ())
        with stage(f"comparing {clean_name(str(opts.install_dir))}"):
            return look_at(opts.install_dir, updater, found.metainfo, opts.ignore, until, self._now)

    def _pinned(self, installed: Pinned | str | None) -> tuple[PublicKey | None, str]:
        """Return the key that has to sign, and where it is from."""
        path = self.opts.key
        if path:
            with stage(f"reading {clean_name(str(path))}"):
                try:
                    return read_key(path), "that of --key"
                except Malformed as error:
                    raise CheckError(f"{clean_name(str(path))} is {error}") from error
        if isinstance(installed, Pinned):
            return installed.key, "the pinned one"
        return None, ""

    def _choose_url(self, installed: Pinned | str | None) -> str:
        """Return the URL that was given, or else the one the installed updater uses, or else the default."""
        theirs = installed.url if isinstance(installed, Pinned) else ""
        try:
            theirs = _folder(theirs) if theirs else ""
        except ValueError as error:
            self._notes.append(f"softwareurl of the installed updater: {error}")
            theirs = ""
        if self.opts.url and theirs and self.opts.url.rstrip("/") != theirs.rstrip("/"):
            self._notes.append(f"the installed updater asks another site: {theirs}")
        return self.opts.url or theirs or DEFAULT_URL

    def notes(self) -> Sequence[str]:
        """Return what was left out, and what a node waits for."""
        return self._notes

    def perfdata(self) -> Sequence[str]:
        """Return what was measured of the site, of the node, and the times."""
        return report.perfdata_items(self._visit, self._node, self.opts, self._now) if self._visit else ()

    def lines(self) -> Sequence[str]:
        """Return the site's signature, and a line for each file that is not as it should be."""
        return report.lines(self._url, self._visit, self._node, self._signer) if self._visit else ()


def _folder(text: str) -> str:
    url = web.read_url(text)
    if "?" in url:
        raise ValueError(f"{text[:80]!r} is not the URL of a folder")
    return url


def _count(text: str) -> int | None:
    if text == "all":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise ValueError(f"{text[:80]!r} is neither a number of files nor 'all'")
    return int(text)


def _grace(text: str) -> float:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise ValueError(f"{text[:80]!r} is not a number of seconds up to 999999")
    return float(text)


def _go_together(opts: Values) -> None:
    if not opts.install_dir and (opts.ignore or opts.grace):
        raise UsageError(
            f"{'--ignore' if opts.ignore else '--grace'} is for the local files: --install-dir says where they are"
        )


CHECK = Check(UpdateSite, MEASURES, options, commands=COMMANDS, validate=_go_together)
main = CHECK.main
