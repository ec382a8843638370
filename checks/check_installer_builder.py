"""A Custom Installer Builder of the Seattle testbed: its XML-RPC interface, its disk, and the installers it packs.

Alerts when it does not answer, fails or is another version, when it is slow (-w, -c: seconds in all), and, with --build-id, when an
installer can't be downloaded, is damaged, or is not the custom installer it should be. Needs no privileges.

What is done: api_version is asked; then the URLs of a build that is not there, which makes it look at its disk. Neither leaves
anything behind. With --build-id the installers of that build are downloaded (--platform) and read to the end, in a temporary file
without a name: every member is whole, vesselinfo is there, its percentages add up to 100, each vessel has an owner, and --owner and
--user are there. Only a download proves that the builder can pack: without its base installers every call still succeeds. And only the
first download of a build is packed, the server keeps the file: later ones prove that it is still whole and served.

--build makes a new build first, of the public keys of --owner and --user, so that packing itself is tried. EACH RUN WITH IT LEAVES A
FOLDER AND INSTALLERS ON THE SERVER, which nothing removes: run it by hand or once a day, not every five minutes. Private keys are
neither needed nor made.

Redirects are followed on the hosts of --url, of the URLs that the builder gives out itself, and of --redirect-host.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from checks import web
from checks.deadline import last_moment
from checks.installer import advice
from checks.installer.builder import PLATFORMS, Builder, hosts_of
from checks.installer.expected import Expected
from checks.installer.given import Hosts, Paths, build_option, must_hold_certificates, read_build
from checks.output import clean_name, perfdata
from checks.plugin import (
    GAUGE,
    Check,
    Command,
    Measure,
    Metric,
    Options,
    Resource,
    Threshold,
    Values,
    stage,
)
from checks.ranges import human
from checks.seattle.errors import SeattleError

TYPE_CHECKING = False
if TYPE_CHECKING:  # a run without downloads needs no archives
    from typing import IO

URL = "https://custombuilder.poly.edu/custom_install/"
MEASURES = (
    Measure("time.total", "s", GAUGE, "all of it, when nothing failed"),
    Measure("time.api", "s", GAUGE, "answer of api_version"),
    Measure("time.probe", "s", GAUGE, "answer for a build that is not there"),
    Measure("time.build", "s", GAUGE, "new build, with --build"),
    Measure("time.urls", "s", GAUGE, "answer for the build of --build-id"),
    Measure("time.download", "s", GAUGE, "downloads of all installers, packing included where they are new"),
    Measure("installer.<platform>.bytes", "B", GAUGE, "size of the installer"),
    Measure("installer.<platform>.members", "", GAUGE, "members of its archive"),
    Measure("installer.<platform>.vessels", "", GAUGE, "vessels it divides a machine into, the reserved one included"),
)
COMMANDS = (
    Command(
        "check_installer_builder",
        "-t 13",
        "a Custom Installer Builder's calls and disk",
        network="--url '$_HOSTBUILDER_URL$' $_HOSTBUILDER_OPTIONS$",
        special=True,
        interval=900,
    ),
    Command(
        "check_installer_builder_download",
        "--build-id /etc/testbed-checks/build-id -t 13",
        "an installer of a Custom Installer Builder, downloaded and verified",
        network="--url '$_HOSTBUILDER_URL$' --build-id '$_HOSTBUILD_ID$' -t 50",
        special=True,
        interval=86400,
    ),
)
_LONGEST_KEYS = 8


def options(parser: Options) -> None:
    """Declare the options of check_installer_builder."""
    parser.typed("--url", read=web.folder_url, metavar="URL", default=URL, help="base URL; xmlrpc/ is added to it")
    parser.range("-w", "--warning", help="warn by seconds in all")
    parser.range("-c", "--critical", help="critical by seconds in all")
    parser.add("--expect-api", metavar="VERSION", help="critical where api_version is another one, such as 2.0")
    parser.typed(
        "--build-id",
        read=build_option,
        metavar="ID",
        help="download and verify this build's installers: 40 letters and digits, or the path of a file that holds them",
    )
    parser.choices("--platform", words=PLATFORMS, default="linux", help="installers to download, as a list or all")
    parser.collected(
        "--owner",
        into=Paths,
        metavar="KEYFILE",
        help="public key that owns a vessel, and no other key but for the reserved vessel's; repeatable",
    )
    parser.collected("--user", into=Paths, metavar="KEYFILE", help="public key that is a vessel's user; repeatable")
    parser.flag("--build", help="make a new build of --owner and --user; EACH RUN LEAVES A FOLDER ON THE SERVER")
    size = "bytes, with K M G as powers of 1024; PLATFORM=RANGE for one"
    parser.rules("--bytes-warning", sizes=True, help=f"warn by size of an installer ({size}), such as 1M:")
    parser.rules("--bytes-critical", sizes=True, help=f"critical by size of an installer ({size})")
    parser.collected(
        "--redirect-host", into=Hosts, metavar="HOST", help="host that a download may be redirected to; repeatable"
    )
    parser.path("--ca", help="certificates to trust instead of the system's")


def validate(opts: Values) -> None:
    """Refuse options that do not go together. Raises UsageError."""
    from checks.options import UsageError

    if opts.build and opts.build_id:
        raise UsageError("--build and --build-id exclude each other")
    if opts.build and not 0 < len(opts.owner) <= _LONGEST_KEYS:
        raise UsageError(f"--build needs the public key of at least one --owner, and takes {_LONGEST_KEYS} at most")


class InstallerBuilder(Resource):
    """One installer builder, asked from the cheapest call to the packed installers."""

    def __init__(self, opts: Values) -> None:
        super().__init__(opts)
        self._times: dict[str, float] = {}
        self._sizes: dict[str, float] = {}
        self._figures: dict[str, float] = {}
        self._lines: list[str] = []
        self._notes: list[str] = []
        self._failed = False

    def contexts(self) -> Sequence[Threshold]:
        """Return a context for the time and one for sizes."""
        opts = self.opts
        return (
            Threshold("time", opts.warning, opts.critical, unit=" s"),
            Threshold("size", opts.bytes_warning, opts.bytes_critical, word="installer", unit=" bytes"),
        )

    def probe(self) -> Iterator[Metric]:
        """Yield what is to be judged, level by level until one fails. Raises CheckError."""
        until = last_moment(self.opts.timeout)
        self._expected = Expected(self.opts.owner, self.opts.user)
        build = read_build(self.opts.build_id)
        ca = str(self.opts.ca) if self.opts.ca else None
        if ca:
            must_hold_certificates(ca)
        web.load()
        started = time.monotonic()
        builder = Builder(self.opts.url, until, ca)
        for metric in self._ask(builder, build):
            self._failed |= metric.context == "finding"
            yield metric
        if not self._failed:
            self._times["total"] = time.monotonic() - started
            self.headline += f", {self._times['total']:.2f} s"
            yield Metric("\0total time", self._times["total"], context="time")

    def _ask(self, builder: Builder, build: str) -> Iterator[Metric]:
        method = "api_version"
        try:
            with stage(f"asking {web.place(builder.base)} ({method})"), _Clock(self._times, "api"):
                version = clean_name(builder.version())
            self.headline = f"API {version}"
            if self.opts.expect_api not in (None, version):
                expected = clean_name(self.opts.expect_api)
                yield _problem(f"API {version}, not {expected}: its clients must be told, or --expect-api")
            method = "get_urls"
            with stage(f"asking {web.place(builder.base)} ({method})"), _Clock(self._times, "probe"):
                builder.probe()
            if not (build or self.opts.build):
                return
            urls: dict[str, str] | None
            if self.opts.build:
                method = "build_installers"
                with stage(f"asking {web.place(builder.base)} ({method})"), _Clock(self._times, "build"):
                    build, urls = builder.build(list(self._expected.owners), list(self._expected.users))
                self._notes.append(f"new build {build} was left on the server")
            else:
                with stage(f"asking {web.place(builder.base)} ({method})"), _Clock(self._times, "urls"):
                    urls = builder.urls(build)
        except web.WebError as error:
            if isinstance(error, web.WrongStatus):
                self._tell_of_debugging(error.page)
            # Nothing is known about a server whose name has no address.
            state = "unknown" if isinstance(error, web.Unresolvable) else "critical"
            yield Metric(advice.failed_call(error, builder.base, method), state, context="finding")
            return
        if urls is None:
            again = "check --build-id, or make a new one by --build"
            yield _problem(f"{web.place(builder.base)} has no build {build[:8]}... any more: {again}")
            return
        yield from self._installers(builder, build, urls)

    def _installers(self, builder: Builder, build: str, urls: dict[str, str]) -> Iterator[Metric]:
        """Yield what is wrong with each installer."""
        whole: list[str] = []
        for platform in self.opts.platform:
            if platform not in urls:
                offered = ", ".join(clean_name(name) for name in list(urls)[:5]) or "none"
                yield _problem(f"{web.place(builder.base)} offers no {platform} installer, only {offered}")
                continue
            found = list(self._installer(builder, build, platform, hosts_of(urls)))
            yield from found
            if not found:
                whole.append(platform)
        for platform, size in self._sizes.items():
            yield Metric(platform, size, context="size")
        if len(whole) == 1:
            vessels = int(self._figures[f"installer.{whole[0]}.vessels"])
            self.headline += f", {whole[0]} installer of {human(self._sizes[whole[0]])} with {vessels} vessels"
        elif whole:
            self.headline += f", {len(whole)} installers ({', '.join(whole)})"

    def _installer(self, builder: Builder, build: str, platform: str, hosts: set[str]) -> Iterator[Metric]:
        import tempfile

        with stage(f"downloading the {platform} installer"), tempfile.TemporaryFile() as file:
            started = time.monotonic()
            try:
                page = builder.download(build, platform, file, hosts | set(self.opts.redirect_host))
            except web.WebError as error:
                yield _problem(advice.failed_download(error, builder.base, platform))
                return
            if page.status != 200:
                self._tell_of_debugging(page)
                yield _problem(advice.wrong_page(page, builder.base, platform, build))
                return
            if _is_page(file):
                yield _problem(advice.error_page(builder.base, platform))
                return
            self._times["download"] = self._times.get("download", 0.0) + time.monotonic() - started
            self._sizes[platform] = page.size
            yield from self._verify(file, platform, builder)

    def _tell_of_debugging(self, page: web.Page) -> None:
        if advice.debug_page(page.body):
            self._notes.append("it shows debug pages, with its settings in them: set DEBUG = False there")

    def _verify(self, file: IO[bytes], platform: str, builder: Builder) -> Iterator[Metric]:
        from checks.installer import archive, vesselinfo

        repair = "remove it from its build's folder on the server, so that it is packed anew"
        try:
            contents = archive.read(file, builder.until)
            vessels = vesselinfo.parse(contents.vesselinfo)
        except archive.BadArchive as error:
            if time.monotonic() > builder.until:
                repair = "give more time by -t"
            yield _problem(f"the {platform} installer is bad, {clean_name(str(error))}: {repair}")
            return
        except SeattleError as error:
            yield _problem(f"the {platform} installer is bad, {clean_name(str(error))}: make a new build")
            return
        self._figures[f"installer.{platform}.members"] = contents.members
        self._figures[f"installer.{platform}.vessels"] = len(vessels)
        self._lines += [
            f"{platform}: vessel {number} of {len(vessels)}: {vessel.percent} %, {self._expected.people(vessel)}"
            for number, vessel in enumerate(vessels, 1)
        ]
        for wrong in self._expected.wrong(vessels):
            yield _problem(f"the {platform} installer is bad, {wrong}: find out who made this build")

    def perfdata(self) -> Sequence[str]:
        """Return what was measured: the times, with the total first, and each installer's figures."""
        times, opts = self._times, self.opts
        items = [perfdata("time.total", times["total"], "s", opts.warning, opts.critical)] if "total" in times else []
        items += [perfdata(f"time.{what}", seconds, "s") for what, seconds in times.items() if what != "total"]
        for platform, size in self._sizes.items():
            limits = (rules.find(platform) for rules in (opts.bytes_warning, opts.bytes_critical))
            items.append(perfdata(f"installer.{platform}.bytes", size, "B", *limits))
        return items + [perfdata(label, value) for label, value in self._figures.items()]

    def lines(self) -> Sequence[str]:
        """Return a line for each vessel of each installer."""
        return self._lines

    def notes(self) -> Sequence[str]:
        """Return what is left behind on the server, and what it shows to everybody."""
        return list(dict.fromkeys(self._notes))


class _Clock:
    """Keeps how long what succeeds took."""

    def __init__(self, times: dict[str, float], what: str) -> None:
        self._times, self._what = times, what

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._times[self._what] = time.monotonic() - self._started


def _problem(text: str) -> Metric:
    return Metric(text, "critical", context="finding")


def _is_page(file: IO[bytes]) -> bool:
    """Whether a file that was downloaded is a page for a reader instead."""
    file.seek(0)
    begin = file.read(512).lstrip().lower()
    return begin.startswith((b"<!doctype", b"<html", b"<head", b"<h1"))


CHECK = Check(InstallerBuilder, MEASURES, options, commands=COMMANDS, timeout=30.0, validate=validate)
main = CHECK.main
