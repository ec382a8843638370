"""Space and inodes of the mounted file systems, and mounts that turned read-only or no longer answer.

Alerts when a file system is full (used percent as df computes it), runs out of inodes, can no longer be written though it was mounted to
be, or does not answer. A mount that does not answer costs that mount only. Needs no privileges.

What is looked at: local file systems that hold data, each once at its shortest path, however often it is mounted. Left out are the
kernel's own file systems, read-only images (squashfs, iso9660), overlays other than /, what container engines mount for their
containers, logins under /run/user, and remote ones (NFS, CIFS, Ceph, 9p, FUSE ...), which --remote adds. --include-type replaces
this choice of types. A mount whose path is given literally with --include-path is looked at whatever its type; one that is missing is
a problem (--no-match-severity). What an --exclude option matches is left out, whatever includes it.

Every REGEX must match the whole path, type or device: /var is /var only, /var(/.*)? is all below it as well. Of several
REGEX=RANGE the most specific holds, in whatever order they are given: -w 90 -w '/var=80'. An empty RANGE switches the alert off.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from checks.disk.choice import choose
from checks.disk.mounts import Mount, in_memory, parse_fstab, parse_mountinfo, turned_read_only, visible
from checks.disk.usage import Answer, Trouble, Usage, ask
from checks.output import clean_name, label_part, perfdata
from checks.plugin import (
    GAUGE,
    SEVERITIES,
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
from checks.ranges import human, parse_range

MEASURES = (
    Measure("<mount>.used_percent", "%", GAUGE, "space used, of what is used or free for ordinary users"),
    Measure("<mount>.used", "B", GAUGE, "space used"),
    Measure("<mount>.free", "B", GAUGE, "space that ordinary users can still write"),
    Measure("<mount>.size", "B", GAUGE, "size of the file system"),
    Measure(
        "<mount>.inodes_used_percent", "%", GAUGE, "inodes used; missing where the file system has no fixed number"
    ),
    Measure("<mount>.inodes_used", "", GAUGE, "inodes used"),
    Measure("<mount>.inodes_free", "", GAUGE, "inodes free"),
)
COMMANDS = (Command("check_disk", "", "space and inodes of local file systems, read-only and hung mounts"),)
_LONGEST_LABEL = 80


def options(parser: Options) -> None:
    """Declare the options of check_disk."""
    parser.rules("-w", "--warning", default="90", help="warn by used percent")
    parser.rules("-c", "--critical", default="95", help="critical by used percent")
    size = "bytes, with K M G T as powers of 1024"
    parser.rules("--free-warning", sizes=True, help=f"warn by free space ({size}), such as 10G:")
    parser.rules("--free-critical", sizes=True, help=f"critical by free space ({size})")
    parser.rules("--used-warning", sizes=True, help=f"warn by used space ({size})")
    parser.rules("--used-critical", sizes=True, help=f"critical by used space ({size})")
    parser.rules("--inode-warning", default="90", help="warn by used percent of the inodes")
    parser.rules("--inode-critical", default="95", help="critical by used percent of the inodes")
    for kind, example in (("path", "/srv/.*"), ("type", "ext[234]"), ("device", "/dev/sd.*")):
        parser.regexes(f"--include-{kind}", help=f"only mounts whose {kind} matches, such as {example}; repeatable")
        parser.regexes(f"--exclude-{kind}", help=f"no mount whose {kind} matches; repeatable")
    parser.flag("--remote", help="remote file systems as well")
    parser.add(
        "--min-size",
        default=0,
        said_default="",
        type=_size,
        metavar="BYTES",
        help="only file systems of this size or more",
    )
    parser.seconds("--mount-timeout", help="time for one mount, at most 6/10 of --timeout", default=5.0)
    words = ", ".join(SEVERITIES)
    severities: dict[str, object] = {"choices": tuple(SEVERITIES), "metavar": "STATE"}
    parser.add(
        "--read-only-severity", default="warning", help=f"state of a mount that turned read-only: {words}", **severities
    )
    parser.add(
        "--hung-severity", default="critical", help="state of a mount that does not answer or fails", **severities
    )
    parser.add(
        "--no-match-severity",
        default="unknown",
        help="state where nothing, or no --include-path, matches",
        **severities,
    )
    parser.path("--proc", default="/proc", help="where procfs is mounted")
    parser.path("--fstab", default="/etc/fstab", help="table of the mounts that should be")


class Disks(Resource):
    """The chosen file systems and what they answered, the fullest first."""

    def __init__(self, opts: Values) -> None:
        super().__init__(opts)
        self.answers: list[tuple[Mount, Answer]] = []
        self.usages: list[tuple[Mount, Usage]] = []
        self.remarks: list[str] = []

    def probe(self) -> Iterator[Metric]:
        """Yield the numbers of each file system, and what is wrong with a mount."""
        opts = self.opts
        mounts = read_mounts(opts.proc)
        choice = choose(visible(mounts), opts)
        self.answers = self._ask(choice.mounts, in_memory(mounts))
        self.usages = [(mount, found) for mount, found in self.answers if isinstance(found, Usage)]
        self.usages.sort(key=lambda entry: -round(entry[1].used_percent, 1))
        # The headline of a problem is the problem itself where there is nothing else to say.
        nothing = "no file system matches" if opts.no_match_severity == "ok" else ""
        self.headline = self._headline() or nothing
        left_out = ", ".join(f"{count} {reason}" for reason, count in choice.left_out.most_common())
        if left_out:
            self.remarks.append(f"left out: {left_out}")
        for expression, reason in choice.unmatched.items():
            only = f" but what is left out as {reason}" if reason else ""
            said = f"--include-path {clean_name(expression)} matches nothing{only}"
            yield Metric(said, opts.no_match_severity, context="finding")
        if not self.answers and not choice.unmatched:
            said = f"no file system matches; {left_out}" if left_out else "no file system matches"
            yield Metric(said, opts.no_match_severity, context="finding")
        yield from self._findings()
        for mount, usage in self.usages:
            yield Metric(mount.path, usage.used_percent, context="used_percent")
            yield Metric(mount.path, usage.free, context="free")
            yield Metric(mount.path, usage.used, context="used")
            if usage.inodes:
                yield Metric(mount.path, usage.inodes_used_percent, context="inodes")

    def contexts(self) -> Sequence[Threshold]:
        """Return what judges space and inodes."""
        opts = self.opts
        return (
            Threshold("used_percent", opts.warning, opts.critical, word="used", unit="%"),
            Threshold("free", opts.free_warning, opts.free_critical, show=human),
            Threshold("used", opts.used_warning, opts.used_critical, show=human),
            Threshold("inodes", opts.inode_warning, opts.inode_critical, word="inodes used", unit="%"),
        )

    def perfdata(self) -> list[str]:
        """Return the percentages of all, then their sizes, then their inodes."""
        opts = self.opts
        space, sizes, inodes = [], [], []
        for mount, usage in self.usages:
            label, path = mount_label(mount.path), mount.path

            def limits(name: str, path: str = path) -> tuple[object, object]:
                return getattr(opts, f"{name}warning").find(path), getattr(opts, f"{name}critical").find(path)

            space.append(perfdata(f"{label}.used_percent", round(usage.used_percent, 2), "%", *limits("")))
            sizes.append(perfdata(f"{label}.used", usage.used, "B", *limits("used_")))
            sizes.append(perfdata(f"{label}.free", usage.free, "B", *limits("free_")))
            sizes.append(perfdata(f"{label}.size", usage.size, "B"))
            if usage.inodes:
                percent = round(usage.inodes_used_percent, 2)
                space.append(perfdata(f"{label}.inodes_used_percent", percent, "%", *limits("inode_")))
                inodes.append(perfdata(f"{label}.inodes_used", usage.inodes - usage.inodes_free))
                inodes.append(perfdata(f"{label}.inodes_free", usage.inodes_free))
        return space + sizes + inodes

    def lines(self) -> list[str]:
        """Return a line for each file system."""
        return [
            f"{clean_name(mount.path)} ({clean_name(mount.device)}, {mount.type}): {usage.used_percent:.1f}% used, {human(usage.used)} of"
            f" {human(usage.size)}, {human(usage.free)} free"
            + (f", {usage.inodes_used_percent:.1f}% of inodes" if usage.inodes else "")
            for mount, usage in self.usages
        ] + self.remarks

    def _ask(self, mounts: Sequence[Mount], quick: Container[int]) -> list[tuple[Mount, Answer]]:
        """Return what the mounts answer, without those that vanished meanwhile, have no size, or are too small.

        `quick`: numbers of those that need no child to be asked.
        """
        if not mounts:
            return []
        seconds = min(self.opts.mount_timeout, 0.6 * self.opts.timeout)
        here = {mount.path for mount in mounts if mount.number in quick}
        with stage("asking the mounted file systems"):
            found = ask([(mount.device_number, mount.path) for mount in mounts], seconds, here)
        still = {(mount.number, mount.path) for mount in visible(read_mounts(self.opts.proc))}
        answers: list[tuple[Mount, Answer]] = []
        for mount in mounts:
            answer = found.get(mount.path, Trouble())
            if (mount.number, mount.path) not in still:
                self.remarks.append(f"{clean_name(mount.path)} was unmounted meanwhile")
            elif not isinstance(answer, Usage) or answer.size >= max(self.opts.min_size, 1):
                answers.append((mount, answer))
        return answers

    def _findings(self) -> Iterator[Metric]:
        fstab = read_fstab(self.opts.fstab)
        for mount, answer in self.answers:
            path = clean_name(mount.path)
            if turned_read_only(mount, fstab):
                yield Metric(f"{path} turned read-only", self.opts.read_only_severity, context="finding")
            if isinstance(answer, Usage):
                continue
            severity = self.opts.hung_severity
            if answer.hung:
                said = f"{path} does not answer" + (" since an earlier run" if answer.earlier else "")
            elif answer.error:
                said = f"{path}: {os.strerror(answer.error)}"
                severity = "unknown" if PermissionError is type(OSError(answer.error, "")) else severity
            else:
                said, severity = f"{path}: no time was left to ask it", "unknown"
            yield Metric(said, severity, context="finding")

    def _headline(self) -> str:
        if not self.usages:
            return ""
        mount, usage = self.usages[0]
        count = f"{len(self.usages)} file system{'s' if len(self.usages) > 1 else ''}"
        return f"{count}, fullest {clean_name(mount.path)} {usage.used_percent:.1f}% used"


def read_mounts(proc: Path) -> list[Mount]:
    """Return the mounts of this process. Raises CheckError."""
    path = proc / "self" / "mountinfo"
    with stage(f"reading {path}"):
        return parse_mountinfo(path.read_bytes())


def read_fstab(path: Path) -> dict[str, frozenset[str]]:
    """Return the options of fstab by mount point; nothing where it can't be read, as in many containers."""
    try:
        return parse_fstab(path.read_bytes())
    except OSError:
        return {}


def mount_label(path: str) -> str:
    """Return the first part of a mount's labels: root for /, var_log for /var/log, var__log for /var_log.

    Where that could be another mount's label as well (/root, blanks, very long paths), a hash of the path keeps them apart.
    """
    if path == "/":
        return "root"
    parts = path[1:].split("/")
    # A slash becomes one underscore, an underscore two: no other path has this label while no part begins or ends with one.
    label = "_".join(part.replace("_", "__") for part in parts)
    unique = all(part.strip("_") == part and label_part(part) == part for part in parts)
    return label if unique and label != "root" and len(label) <= _LONGEST_LABEL else label_part(path).lstrip("_")


def _size(text: str) -> int:
    limit = parse_range(text, sizes=True)
    if limit is None or limit.invert or limit.start != 0 or limit.end == float("inf") or ":" in text:
        raise ValueError(f"{text!r} is not a size such as 500M")
    return int(limit.end)


CHECK = Check(Disks, MEASURES, options, commands=COMMANDS)
main = CHECK.main
