"""Which processes are wanted: the profiles of Seattle's machines, and what --process and --user say.

Source of the names: the two lists of the testbed's own process monitor; a node's two programs are those its start script looks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from checks.options import UsageError
from checks.output import clean_name, label_part
from checks.ranges import Limit, parse_range

_LONGEST_NAME = 200
_SCRIPT = ".py"


class Wanted(NamedTuple):
    """Processes that should run: any of `names`, as many in all as `limit` says; None is any number.

    `advice`, `account` and `script` say how it is started, as whom, and what does it. `direct_only`: a program inside repy does not count, because
    on a node anybody may choose that program's name.
    """

    names: tuple[str, ...]
    limit: Limit | None
    advice: str = "start it"
    account: str = ""
    script: str = ""
    direct_only: bool = False

    @property
    def name(self) -> str:
        """The word it is known by in thresholds and in the counters kept: the first name, without its path."""
        return self.names[0].rpartition("/")[2]

    @property
    def title(self) -> str:
        """The names as the text says them."""
        return " or ".join(clean_name(name) for name in self.names)


_AT_LEAST_ONE = parse_range("1:")


def _profile(*names: str, **more: Any) -> tuple[Wanted, ...]:
    return tuple(Wanted(tuple(name.split("|")), _AT_LEAST_ONE, **more) for name in names)


PROFILES: Mapping[str, Sequence[Wanted]] = {
    "seattle": _profile("advertiseserver.py|advertiseserver_v2.r2py"),
    "clearinghouse": (
        *_profile(
            "transition_donation_to_canonical.py",
            "transition_onepercentmanyevents_to_canonical.py",
            "transition_canonical_to_twopercent.py",
            "transition_twopercent_to_twopercent.py",
            "check_active_db_nodes.py",
            "backend_daemon.py",
            "lockserver_daemon.py",
            account="ch",
            script="start_clearinghouse_components.sh",
        ),
        *_profile("apache2|httpd", advice="start the web server", account="root"),
        *_profile("mysqld|mariadbd", advice="start the database server", account="root"),
    ),
    "node": _profile(
        "nmmain.py",
        "softwareupdater.py",
        account="the user who installed Seattle",
        script="start_seattle.sh",
        direct_only=True,
    ),
    "zenodotus": _profile("zenodotus_built.repy|zenodotus.repy", advice="start it with repy.py under authbind"),
}


class Asked:
    """What --process asks for: NAME or NAME=RANGE, where NAME may be several with | between."""

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []

    def add(self, text: str) -> None:
        """Take one. Raises ValueError."""
        written, equals, limit = text.rpartition("=")
        if not equals:
            written, limit = text, "1:"
        names = tuple(name.strip() for name in written.split("|"))
        for name in names:
            if not name.rpartition("/")[2] or len(name) > _LONGEST_NAME or not name.isprintable():
                raise ValueError(f"{written[:80]!r} is no process name, such as advertiseserver.py or mysqld|mariadbd")
        self.wanted.append(Wanted(names, parse_range(limit)))


class Users:
    """What --user asks for: USER for all, NAME=USER for one process; users by name or number."""

    def __init__(self) -> None:
        self.default = ""
        self.by_name: dict[str, str] = {}

    def add(self, text: str) -> None:
        """Take one. Raises ValueError."""
        name, equals, user = text.rpartition("=")
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]*\$?", user) or len(user) > _LONGEST_NAME:
            raise ValueError(f"{user[:80]!r} is not a user's name or number")
        if equals:
            self.by_name[name] = user
        else:
            self.default = user

    def of(self, wanted: Wanted) -> str:
        """Return the user as whom it should run, or "" for any."""
        return next((self.by_name[name] for name in wanted.names if name in self.by_name), self.default)


def choose(profiles: Iterable[str], asked: Asked, users: Users) -> list[Wanted]:
    """Return what is wanted, in the order of the profiles; what --process asks for replaces the same name of a profile.

    Raises UsageError for the same name twice, and for a user of what is not wanted.
    """
    found = [one for profile in profiles for one in PROFILES[profile]]
    for one in asked.wanted:
        same = [number for number, other in enumerate(found) if set(other.names) & set(one.names)]
        if same:
            found[same[0]] = found[same[0]]._replace(names=one.names, limit=one.limit)
        else:
            found.append(one)
    names = [name for one in found for name in one.names]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"{twice!r} is wanted twice")
    unknown = next((name for name in users.by_name if name not in names), None)
    if unknown is not None:
        raise UsageError(f"--user: {unknown[:80]!r} is not among the processes looked for")
    return found


def labels(wanted: Sequence[Wanted]) -> list[str]:
    """Return the first part of each one's labels: advertiseserver for advertiseserver.py, zenodotus_built_repy for zenodotus_built.repy.

    Where two would share it, a hash of the name keeps them apart.
    """
    short = [_label(one.name) for one in wanted]
    return [
        label_part(f"{one.name}.") if short.count(label) > 1 else label
        for one, label in zip(wanted, short, strict=True)
    ]


def _label(name: str) -> str:
    return label_part(name.removesuffix(_SCRIPT).replace(".", "_"))
