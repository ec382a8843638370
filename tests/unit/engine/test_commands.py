"""NRPE's configuration as the engine reads it: what is taken, what is named, and how a command runs. What the real NRPE makes of it: tests/real."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.engine.commands import commands as room
from checks.engine.commands.commands import Command, Commands, Reading, environment, job
from checks.engine.jobs import Job

PLAIN = {"PATH": room.PATH}


def read(folder: Path, **files: str | bytes) -> Reading:
    for name, content in files.items():
        path = folder / f"{name}.cfg"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Commands([folder]).read()


def broken(reading: Reading) -> list[tuple[str, int, str]]:
    return [(one.source.name, one.number, one.reason) for one in reading.broken]


def intervals(reading: Reading) -> dict[str, float | None]:
    return {name: command.interval for name, command in reading.commands.items()}


def test_a_command_has_its_line_its_interval_and_its_place(tmp_path: Path) -> None:
    found = read(
        tmp_path, a="# Disks.\n# interval=5m\n# They are slow.\n  command[check_disk] = /opt/check_disk -w 10  \n"
    )
    source = tmp_path / "a.cfg"
    assert found == Reading({"check_disk": Command("check_disk", "/opt/check_disk -w 10", 300, source, 4)}, [])


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("60", 60),
        ("90s", 90),
        ("5m", 300),
        ("1h", 3600),
        ("1 d", 86400),
        ("1.5m", 90),
        ("1", 1),
        (" 7 ", 7),
        ("2H", 7200),
    ],
)
def test_interval_in_seconds_minutes_hours_or_days(tmp_path: Path, said: str, seconds: float) -> None:
    for comment in (f"# interval={said}", f"#Interval = {said}", f"## interval ={said}"):
        assert intervals(read(tmp_path, a=f"{comment}\ncommand[x]=x\n")) == {"x": seconds}


@pytest.mark.parametrize(
    "said", ["", "0", "0.5", "-5", "1e3", "nan", "inf", "x", "60 x", "5 min", "99999999999", "400d", "٣"]
)
def test_a_bad_interval_is_named_and_the_command_has_none(tmp_path: Path, said: str) -> None:
    found = read(tmp_path, a=f"# interval={said}\ncommand[x]=x\n# interval=9\ncommand[y]=y\n")
    assert intervals(found) == {"x": None, "y": 9}
    assert broken(found) == [("a.cfg", 1, f"interval {said!r} is not seconds from 1 on, or such as 5m or 1h")]


@pytest.mark.parametrize("between", ["\n", "  \t\n", "command[other]=x\n", "debug=0\n", "nonsense\n"])
def test_an_interval_is_of_the_next_command_only(tmp_path: Path, between: str) -> None:
    found = read(tmp_path, a=f"# interval=60\n{between}command[x]=x\n")
    assert intervals(found)["x"] is None
    if "other" not in between:
        assert broken(found)[0] == ("a.cfg", 1, "an interval, but no command right below it")


def test_an_interval_of_a_command_that_is_commented_out_is_no_mistake(tmp_path: Path) -> None:
    found = read(tmp_path, a="# interval=60\n#command[x]=x\n\n# interval=60\n# Why.\n# command[y]=y\ncommand[z]=z\n")
    assert (intervals(found), found.broken) == ({"z": None}, [])


def test_the_last_of_two_intervals_counts_and_none_reaches_the_next_file(tmp_path: Path) -> None:
    found = read(tmp_path, a="# interval=60\n# interval=61\ncommand[x]=x\n# interval=5\n", b="command[y]=y\n")
    assert intervals(found) == {"x": 61, "y": None}
    assert broken(found) == [("a.cfg", 4, "an interval, but no command right below it")]


def test_other_directives_are_none_of_ours(tmp_path: Path) -> None:
    text = "log_facility=daemon\nallowed_hosts=127.0.0.1\ndont_blame_nrpe=0\nwhatever=1\ncommand[x]=x\n#command[y]=y\n"
    found = read(tmp_path, a=text)
    assert (list(found.commands), found.broken) == (["x"], [])


def test_command_prefix_stands_before_every_command(tmp_path: Path) -> None:
    found = read(tmp_path, a="command[x]=/bin/x 1\n", b="command_prefix=/usr/bin/nice -n 5\n")
    assert found.commands["x"].line == "/usr/bin/nice -n 5 /bin/x 1"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nonsense", "not a name, = and a value"),
        (b"command[x]", "not a name, = and a value"),
        (b"command[x]=", "not a name, = and a value"),
        (b"=", "not a name, = and a value"),
        (b"command[]=x", "no name in command[...]"),
        (b"command[ ]=x", "no name in command[...]"),
        (b"command[caf\xe9]=x", "not UTF-8"),
        (b"command[x]=echo caf\xe9", "not UTF-8"),
        (b"command[x]=echo \x00 y", "control characters"),
        (b"command[x]=echo \x1b[31m", "control characters"),
        ("command[a\u202eb]=x".encode(), "no name in command[...]"),
        (b"command[x]=" + b"y" * 2036, "longer than 2046 bytes, where NRPE cuts it"),
        (b"# " + b"y" * 3000, "longer than 2046 bytes, where NRPE cuts it"),
    ],
)
def test_a_broken_line_is_named_and_costs_only_itself(tmp_path: Path, line: bytes, reason: str) -> None:
    found = read(tmp_path, a=b"command[before]=x\n" + line + b"\ncommand[after]=x\n")
    assert list(found.commands) == ["before", "after"]
    assert broken(found) == [("a.cfg", 2, reason)]
    assert str(found.broken[0]) == f"{tmp_path}/a.cfg, line 2: {reason}"


def test_lines_as_long_as_nrpe_takes_them(tmp_path: Path) -> None:
    found = read(tmp_path, a=b"command[x]=" + b"y" * 2035 + b"\n")
    assert (len(found.commands["x"].line), found.broken) == (2035, [])


def pipe(path: Path) -> None:
    os.mkfifo(path)


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(17 * 1024 * 1024)


def nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("make", "reason"),
    [(pipe, "not a regular file"), (large, "more than 16777216 bytes in all"), (nowhere, "No such file or directory")],
)
def test_a_broken_file_is_named_and_costs_only_itself(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(tmp_path / "b.cfg")
    found = read(tmp_path, a="command[a]=x\n", c="command[c]=x\n")
    assert list(found.commands) == ["a", "c"]
    assert broken(found) == [("b.cfg", 0, reason)]


def test_a_path_that_is_not_there_is_named_until_it_is(tmp_path: Path) -> None:
    there = Commands([tmp_path / "nrpe.d"])
    assert [str(one) for one in there.read().broken] == [f"{tmp_path}/nrpe.d: No such file or directory"]
    (tmp_path / "nrpe.d").mkdir()
    (tmp_path / "nrpe.d" / "a.cfg").write_text("command[x]=x\n")
    assert [there.changed(), there.changed()] == [False, True]
    assert list(there.read().commands) == ["x"]


def test_files_are_found_as_nrpe_finds_them(tmp_path: Path) -> None:
    for name in ("b.cfg", "B.cfg", ".hidden.cfg", "deep/er/x.cfg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"command[{path.stem}]=x\ncommand[twice]={path.stem}\n")
    for name in (".cfg", "a.conf", "a.cfg.dpkg-new", "a.cfg~", "x.cfg/a.cfg", ".git/a.cfg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("command[wrong]=x\n")
    (tmp_path / ".#b.cfg").symlink_to("operator@host.123")
    found = Commands([tmp_path]).read()
    assert sorted(found.commands) == [".hidden", "B", "b", "twice", "x"]
    assert found.commands["twice"].line == "x"
    assert not found.broken


def test_includes_are_followed_in_place_and_a_later_command_wins(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "d.cfg").write_text("command[c]=deep\n")
    (tmp_path / "one").write_text("command[a]=included\ncommand[b]=included\n")
    main = tmp_path / "nrpe.cfg"
    main.write_text(f"command[a]=main\ninclude={tmp_path}/one\ncommand[b]=main\ninclude_dir={tmp_path}/deep/\n")
    found = Commands([main]).read()
    assert {name: command.line for name, command in found.commands.items()} == {
        "a": "included",
        "b": "main",
        "c": "deep",
    }
    assert not found.broken


def test_what_includes_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text(f"command[a]=x\ninclude={tmp_path}/b.cfg\ninclude_dir={tmp_path}\n")
    (tmp_path / "b.cfg").write_text(f"command[b]=x\ninclude={tmp_path}/a.cfg\ninclude=relative\ninclude=/{'x' * 300}\n")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = Commands([tmp_path]).read()
    assert sorted(found.commands) == ["a", "b"]
    assert {reason for _, _, reason in broken(found)} == {
        "includes itself",
        "No such file or directory",
        "File name too long",
    }


def test_files_that_include_each_other_ever_more_often_end(tmp_path: Path) -> None:
    for level in range(12):
        (tmp_path / f"{level}").write_text(f"include={tmp_path}/{level + 1}\n" * 10)
    found = Commands([tmp_path / "0"]).read()
    assert len(found.broken) <= 1001


def test_a_change_is_seen_when_it_is_the_same_twice(tmp_path: Path) -> None:
    there = Commands([tmp_path])
    assert there.changed(), "nothing was read yet"
    there.read()
    path = tmp_path / "a.cfg"
    path.write_text("command[a]=/bin/ec")
    assert not there.changed(), "it may be written to still"
    path.write_text("command[a]=/bin/echo a\n")
    assert not there.changed(), "and it was"
    assert there.changed()
    assert there.read().commands["a"].line == "/bin/echo a"
    path.unlink()
    assert [there.changed(), there.changed()] == [False, True]
    assert not there.read().commands


def test_a_change_of_same_length_in_the_same_moment_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Commands([tmp_path])
    path = tmp_path / "a.cfg"
    path.write_text("command[a]=1\n")
    there.read()
    before = path.stat()
    with path.open("r+") as file:
        file.write("command[a]=2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    monkeypatch.setattr(time, "time_ns", lambda: before.st_ctime_ns + 2_000_000_000)
    assert [there.changed(), there.changed()] == [False, True]
    assert there.read().commands["a"].line == "2"
    assert [there.changed(), there.changed(), there.changed()] == [False, False, False]


def test_a_folder_that_never_rests_is_read_nevertheless(tmp_path: Path) -> None:
    there = Commands([tmp_path])
    there.read()

    def changed(number: int) -> bool:
        (tmp_path / "a.cfg").write_text("command[a]=x\n" + "#" * number)
        return there.changed()

    assert any(changed(number) for number in range(1, 30))


DAMAGE = st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=4)), max_size=6)
GOOD = b"# interval=60\ncommand[check_disk]=/opt/bin/check_disk -w 10\n\ninclude=/nonexistent/x.cfg\ncommand[b]=FOO=1 /bin/b '$ARG1$'\n"


@given(damage=DAMAGE, end=st.integers(0, 200))
def test_damaged_files_cost_what_is_damaged(damage: list[tuple[int, bytes]], end: int) -> None:
    content = bytearray(GOOD)
    for place, junk in damage:
        start = place % (len(content) + 1)
        content[start : start + len(junk)] = junk
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), a=bytes(content)[:end], b="command[other]=x\n")
        assert found.commands["other"].line == "x"
        for command in found.commands.values():
            assert command.name.isprintable()
            assert "\0" not in command.line
            job(command, environment=PLAIN)
        for one in found.broken:
            assert str(one).isprintable()
            assert len(str(one)) < 400


def command(line: str) -> Command:
    return Command("name", line, None, Path("a.cfg"), 1)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a command that counts as ours."""
    program = f"{tmp_path}/check_disk"
    monkeypatch.setattr(room, "entry_for", lambda word, path: "checks.check_disk:main" if word == program else "")
    return program


@pytest.mark.parametrize(
    ("written", "words", "assigned"),
    [
        ("P", ["P"], {}),
        ("P -w 10 -c '20'", ["P", "-w", "10", "-c", "20"], {}),
        (
            """P 'it'"'"'s' "a b" '' a'b'"c" "'" '$x' "#" '*' """,
            ["P", "it's", "a b", "", "abc", "'", "$x", "#", "*"],
            {},
        ),
        ("P --path=/srv/donn\u00e9es 10%", ["P", "--path=/srv/donn\u00e9es", "10%"], {}),
        ("A=1 B_2='x y' P C=3", ["P", "C=3"], {"A": "1", "B_2": "x y"}),
        ("A= HOME=/x P", ["P"], {"A": "", "HOME": "/x"}),
        ("LANG=de_DE.UTF-8 P", ["P"], {"LANG": "de_DE.UTF-8"}),
        ("P\t-w\t10", ["P", "-w", "10"], {}),
    ],
)
def test_plain_words_run_warm(installed: str, written: str, words: list[str], assigned: dict[str, str]) -> None:
    found = job(
        command(written.replace("P", installed, 1) if written[0] == "P" else written.replace(" P", f" {installed}")),
        environment=PLAIN,
        seconds=7,
        output_limit=99,
    )
    assert found.entry == "checks.check_disk:main"
    assert list(found.argv) == [word if word != "P" else installed for word in words]
    assert found.environment == PLAIN | assigned
    assert (found.name, found.directory, found.umask, found.seconds, found.output_limit) == ("name", "/", 0o022, 7, 99)


@pytest.mark.parametrize(
    "written",
    [
        "P | cat", "P; P", "P && P", "P > /dev/null", "P 2>&1", "P &", "P $HOME", 'P "$HOME"', "P `id`", "P \\ ", 'P "a\\b"', "P *", "P ?",
        "P [a]", "P ~", "P {a,b}", "P #", "(P)", "! P", "exec P", "A=$B P", "A='x", "P 'x", "'A=1' P", "A=1", "nice P", "/bin/echo P",
        "PYTHONPATH=/x P", "LANG=de_DE.ISO-8859-1 P", "LC_ALL=ja_JP.eucJP P", "LD_PRELOAD=/x.so P",
    ],
)  # fmt: skip
def test_everything_else_is_left_to_a_shell(installed: str, written: str) -> None:
    line = written.replace("P ", f"{installed} ") if " P" not in written else written.replace(" P", f" {installed}")
    line = installed if line == "P" else line
    assert job(command(line), environment=PLAIN) == Job("name", ("/bin/sh", "-c", line), "", PLAIN)


def test_an_environment_that_python_reads_at_its_start_is_not_warm(installed: str) -> None:
    assert job(command(installed), environment=PLAIN).entry
    assert not job(command(installed), environment=PLAIN | {"PYTHONOPTIMIZE": "1"}).entry
    assert not job(command(installed), environment=PLAIN | {"LC_CTYPE": "de_DE"}).entry
    assert job(command(installed), environment=PLAIN | {"LANG": "de_DE", "LC_ALL": "en_US.utf8"}).entry


WORDS = st.lists(st.text("ab =:/%'\"\\\\$#*~;\u00e9\u3000-", min_size=1, max_size=5), min_size=1, max_size=4)


@given(words=WORDS)
def test_words_are_those_a_shell_makes(words: list[str]) -> None:
    line = "PROGRAM " + " ".join(words)
    plain = room._PLAIN.fullmatch(line)
    if plain:
        ours = shlex.split(plain[2])
        shell = subprocess.run(
            ["/bin/sh", "-c", line.replace("PROGRAM", "printf '%s\\0'", 1)], capture_output=True, check=True
        )
        assert [os.fsencode(word) for word in ours[1:]] == (shell.stdout.split(b"\0")[:-1] if ours[1:] else [])


@pytest.mark.parametrize(
    ("line", "run"),
    [
        ("a $ARG1$ '$ARG12$' b", "a  '' b"),
        ("a $HOME", "a $HOME"),
        ("a $HOME $ARG1$ b", "a $HOME $ARG1$ b"),
        ("for i in 1 2; do echo $i; done", "for i in 1 2; do echo $i; done"),
        ("awk '{ print $1, $2 }'", "awk '{ print $1, $2 }'"),
        ("a $", "a $"),
        ("a $$ $$b", "a $ $b"),
    ],
)
def test_nobody_gives_arguments(tmp_path: Path, line: str, run: str) -> None:
    assert read(tmp_path, a=f"command[x]={line}\n").commands["x"].line == run


def test_environment_is_that_of_nrpe_and_nothing_of_the_engines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "CREDENTIALS_DIRECTORY", "PYTHONPATH", "SECRET"):
        monkeypatch.setenv(name, "x")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert sorted(environment()) == ["HOME", "LOGNAME", "PATH", "SHELL", "USER"]
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/testbed-checks")
    assert environment()["STATE_DIRECTORY"] == "/var/lib/testbed-checks"
    assert environment()["PATH"] == "/usr/bin:/bin:/usr/sbin:/sbin"


def test_a_user_without_a_name_has_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 3_999_999)
    assert environment() == {
        "PATH": room.PATH,
        "HOME": "/",
        "USER": "3999999",
        "LOGNAME": "3999999",
        "SHELL": "/bin/sh",
    }
