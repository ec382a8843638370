"""What `testbed-checks worker` says when it can't begin: one line, exit code 3."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import cli


@pytest.fixture
def nagios_cfg(tmp_path: Path) -> Path:
    for name in ("results", "spool"):
        (tmp_path / name).mkdir()
    path = tmp_path / "nagios.cfg"
    path.write_text(
        f"query_socket={tmp_path}/qh\ncheck_result_path={tmp_path}/results\nenable_environment_macros=1\n",
        encoding="ascii",
    )
    return path


def said(nagios_cfg: Path, *options: str) -> str:
    code, text = cli.run(
        ["worker", "--nagios-cfg", str(nagios_cfg), "--spool", str(nagios_cfg.parent / "spool"), *options]
    )
    assert code == 3
    assert text.count("\n") == 1
    return text


def test_without_environment_macros_it_does_not_begin(nagios_cfg: Path) -> None:
    with nagios_cfg.open("a", encoding="ascii") as file:
        file.write("enable_environment_macros=0\n")
    assert said(nagios_cfg) == (
        f"testbed-checks: {nagios_cfg}: the worker needs enable_environment_macros=1: without it Nagios does not say whose check a job is\n"
    )


def test_without_a_folder_for_the_journal_it_does_not_begin(nagios_cfg: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert "--journal is missing" in said(nagios_cfg)


@pytest.mark.parametrize("name", ["results", "spool"])
def test_folders_it_needs_are_looked_at_first(nagios_cfg: Path, name: str) -> None:
    (nagios_cfg.parent / name).rmdir()
    assert said(nagios_cfg) == f"testbed-checks: {nagios_cfg.parent / name}: no such folder\n"


def test_a_second_worker_with_the_same_journal_does_not_begin(nagios_cfg: Path, tmp_path: Path) -> None:
    from checks.engine.worker.journal import Journal

    journal = Journal(tmp_path / "journal")
    assert "another worker uses the journal" in said(nagios_cfg, "--journal", str(tmp_path / "journal"))
    journal.close()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--plugin", "a b"], "'a b' is no name of a plugin"),
        (["--max-jobs", "0"], "0 is not a number from 1 to 100000"),
        (["--max-output", "70000"], "70000 is not a number from 200 to 60000"),
        (["--nagios-cfg", "/nonexistent/nagios.cfg"], "/nonexistent/nagios.cfg: No such file"),
        (["--max", "5"], "--max"),
    ],
    ids=["plugin", "no-jobs", "output", "no-file", "shortened"],
)
def test_mistakes_are_named(nagios_cfg: Path, options: list[str], named: str) -> None:
    assert named in said(nagios_cfg, *options)
