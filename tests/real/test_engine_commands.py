"""The real NRPE as judge of how the engine reads its configuration: the same names, and the same command behind each."""

from __future__ import annotations

import json
import os
import pwd
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import checks
from checks.engine.commands.commands import Command, Commands, environment, job
from tests import soak
from tests.stack import place
from tests.stack.nrpe import CHECK_NRPE, Nrpe

FILES = {
    "a.cfg": """\
command[twice]=/bin/echo first
command[twice]=/bin/echo second
command[files]=/bin/echo a
command[included]=/bin/echo before the include
include={folder}/other
command[after]=/bin/echo after the include
  command[blanks]  =   /bin/echo   b   c  \t
command[]close]=/bin/echo close
command[x][y]=/bin/echo x
command[unclosed=/bin/echo unclosed
foo command[inner]=/bin/echo inner
command[two words]=/bin/echo words
command[equals]=/bin/echo a=b=c
=command[leading]=/bin/echo leading
command[comment]=/bin/echo a # comment
#command[commented]=/bin/echo no
Command[case]=/bin/echo case
command [space]=/bin/echo space
no_such_directive=1
# interval=60
command[interval]=/bin/echo interval
command[crlf]=/bin/echo crlf\r
command[quotes]=/bin/echo 'it'"'"'s' "a b" \\\\ end
command[pair]=FOO=bar sh -c 'echo $FOO $FOO'
command[awk]=awk 'BEGIN {{ print "a $1 b $2 c" }}'
command[arguments]=/bin/echo -w '$ARG1$' -c "$ARG2$" end
command[odd]=/bin/echo $LOGNAME '$ARG1$' end $
command[fits]=/bin/echo {fits}
command[environment]=printenv PATH HOME USER LOGNAME SHELL; pwd; umask
""",
    "b.cfg": "command[files]=/bin/echo b\ncommand[after]=/bin/echo b\n",
    "B.cfg": "command[files]=/bin/echo B\n",
    ".hidden.cfg": "command[hidden_file]=/bin/echo hidden\n",
    ".cfg": "command[no_name]=/bin/echo no\n",
    "x.conf": "command[other_end]=/bin/echo no\n",
    "sub/a.cfg": "command[sub]=/bin/echo sub\n",
    ".git/a.cfg": "command[hidden_folder]=/bin/echo no\n",
    "folder.cfg/a.cfg": "command[folder]=/bin/echo no\n",
    "y.cfg": "command[before_nonsense]=/bin/echo before\nnonsense\n",
    "z.cfg": "command[last]=/bin/echo last\n",
}
ASKED = [
    *(
        "twice",
        "files",
        "included",
        "after",
        "blanks",
        "close",
        "x",
        "y",
        "unclosed",
        "inner",
        "two words",
        "equals",
        "leading",
    ),
    *("comment", "commented", "case", "space", "interval", "crlf", "quotes", "pair", "awk", "arguments", "odd", "fits"),
    *(
        "environment",
        "hidden_file",
        "no_name",
        "other_end",
        "sub",
        "hidden_folder",
        "folder",
        "before_nonsense",
        "last",
    ),
]
JUNK = (
    *(b" ", b"\t", b"=", b"[", b"]", b"#", b"# ", b"$", b"$$", b"$ARG1$", b"'", b'"', b"\\", b";", b"\n"),
    *(b"command", b"include", b"include_dir", b"debug", b"interval=60", b"x"),
)
# check_nrpe does not ask for a name with one of them.
NASTY = set("|`&><'\\[]{};\r\n\"")


def run(command: Command, user: str | None) -> bytes:
    """What the engine would run, as the user of NRPE."""
    found = job(command, environment=environment())
    argv, where = found.argv, found.directory
    return subprocess.run(
        argv,
        capture_output=True,
        env=found.environment,
        cwd=where,
        umask=found.umask,
        user=user,
        group=user,
        check=False,
    ).stdout


def ask(server: Nrpe, name: str) -> bytes:
    """What NRPE answers; empty where it knows no such command."""
    argv = [CHECK_NRPE, "-H", "127.0.0.1", "-p", str(server.port), "-n", "-t", "20:3", "-c", name]
    answer = subprocess.run(argv, capture_output=True, timeout=60, check=False).stdout
    return b"" if b"not defined" in answer else answer


def odd(command: Command) -> bool:
    """Whether NRPE puts a $ behind it: there is an odd number of them in the value."""
    line = command.source.read_bytes().split(b"\n")[command.number - 1]
    return line.lstrip(b" \t=").partition(b"=")[2].count(b"$") % 2 == 1


def damaged(chance: random.Random, number: int) -> bytes:
    """A command's line with up to three pieces lost, replaced or too many."""
    pieces = [b"command", b"[", b"c%d" % number, b"]", b"=", b"/bin/echo", b" v%d" % number, b" 'a b'", b" $LOGNAME"]
    for _ in range(chance.randrange(4)):
        place = chance.randrange(len(pieces))
        pieces[place : place + chance.randrange(2)] = chance.choice([[], [chance.choice(JUNK)]])
    return b"".join(pieces) + b"\n"


def test_nrpe_and_the_engine_read_the_same(
    make_stack_root: Callable[[str], Path],
    make_nrpe: Callable[..., Nrpe],
    stack_user: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = make_stack_root("nrpe-commands")
    folder = root / "nrpe.d"
    folder.mkdir()
    (folder / "other").write_text("command[included]=/bin/echo included\n")
    fits = "y" * (2046 - len("command[fits]=/bin/echo "))
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.format(folder=folder, fits=fits).encode())
    os.mkfifo(folder / "pipe.cfg")
    main = root / "main.cfg"
    main.write_text(f"command[last]=/bin/echo main\ninclude_dir={folder}/\n")
    place.give(root, stack_user)
    server = make_nrpe({}, tls="plain", include=[main])

    if stack_user:
        user = pwd.getpwnam(stack_user).pw_uid
        monkeypatch.setattr(os, "geteuid", lambda: user)
    found = Commands([main]).read()
    assert [(one.source.name, one.number) for one in found.broken] == [("pipe.cfg", 0), ("y.cfg", 2)]
    told, runs = {}, {}
    for name in ASKED:
        told[name] = ask(server, name)
        runs[name] = run(found.commands[name], stack_user) if name in found.commands else b""
    # NRPE puts a $ behind a line with an odd number of them.
    told["odd"] = told["odd"].replace(b"$$\n", b"$\n")
    assert runs == told
    assert [name for name, answer in told.items() if not answer] == [
        *("y", "commented", "case", "space", "no_name", "other_end", "hidden_folder", "folder"),
    ]


def test_nrpe_and_the_engine_take_the_same_of_damaged_files(
    make_stack_root: Callable[[str], Path],
    make_nrpe: Callable[..., Nrpe],
    stack_user: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_stack_root("nrpe-damaged")
    chance = random.Random(None if soak.SOAK else 6)
    count = soak.count(100, 900)
    for number in range(count):
        (folder / f"{number}.cfg").write_bytes(damaged(chance, number))
    (folder / "main").write_text(f"include_dir={folder}/\n")
    server = make_nrpe({}, tls="plain", include=[folder / "main"])
    if stack_user:
        user = pwd.getpwnam(stack_user).pw_uid
        monkeypatch.setattr(os, "geteuid", lambda: user)
    found = Commands([folder / "main"]).read()
    assert count * 0.6 < len(found.commands) < count
    assert found.broken
    for name in {*found.commands, *(f"c{number}" for number in range(count))}:
        if not NASTY & set(name):
            answer, ours = ask(server, name), found.commands.get(name)
            assert bool(answer) == bool(ours), [path.read_bytes() for path in folder.glob(f"{name[1:]}.cfg")]
            if ours and not odd(ours):
                assert answer == (run(ours, stack_user) or b"NRPE: Unable to read output\n"), ours


def test_a_check_of_another_package_runs_as_ours_do(tmp_path: Path) -> None:
    site, folder = tmp_path / "site", tmp_path / "nrpe.d"
    info = site / "thing-1.0.dist-info"
    info.mkdir(parents=True)
    folder.mkdir()
    (site / "thing.py").write_text("def main():\n    print('THING WARNING - odd | x=1')\n    return 1\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[testbed_checks]\ncheck_thing = thing:main\n")
    (folder / "a.cfg").write_text("command[thing]=check_thing\n")
    engine = [
        sys.executable,
        "-P",
        "-c",
        "from checks.cli import main; main()",
        "run",
        "--commands",
        str(folder),
        "--json",
    ]
    path = {"PYTHONPATH": os.pathsep.join((str(site), str(Path(checks.__file__).parents[1])))}
    done = subprocess.run(engine, capture_output=True, env=os.environ | path, timeout=60, check=False)
    (result,) = json.loads(done.stdout)["results"]
    assert (done.returncode, result["state"], result["output"]) == (1, "WARNING", "THING WARNING - odd | x=1\n")
