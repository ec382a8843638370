"""graphios.ini as a whole: from a file to Settings."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from pathlib import Path

from graphios.configuration import carbon_conf, graphios2, paths, sections
from graphios.configuration.backends import Context, backends, carbon
from graphios.configuration.errors import ConfigError
from graphios.configuration.options import KINDS
from graphios.configuration.sections import Section
from graphios.configuration.settings import (
    BackendSettings,
    CarbonBackend,
    FifoInput,
    Limits,
    Names,
    OutputBackend,
    Settings,
    SpoolInput,
)

_LARGEST = 1_000_000


def load(
    path: Path, *, secrets: bool = True, need_input: bool = True, carbon_conf_path: Path = carbon_conf.PATH
) -> Settings:
    """The configuration in `path`, which is a graphios.ini or the configuration file of Graphios 2 (with a section [graphios]).

    `secrets` is false for commands that need none (password and token files are not opened then); `need_input` is false where the lines come
    from elsewhere. Raises ConfigError for what is missing, unknown or wrong.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; {paths.SAMPLE} is a sample with every option") from error
    if len(raw) > _LARGEST:
        raise ConfigError(f"{path}: longer than 1 MB, so this is no configuration")
    if graphios2.recognised(raw):
        return graphios2.read(raw, path, carbon_conf_path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start + 1})") from error
    found = sections.read(text, path)
    return _settings(path, found, Context(secrets, carbon_conf_path), need_input)


def _settings(path: Path, found: dict[str, Section], context: Context, need_input: bool) -> Settings:
    one = {name: found.get(name) or sections.empty(path, name) for name in KINDS}
    spools, fifos = _inputs(path, found, need_input)
    receivers = tuple(backends(found, context)) or (carbon(one["carbon"], context),)
    first = spools[0].directory if spools else fifos[0].path if fifos else "stdin"
    state = one["state"]["directory"] or paths.state_of(first)
    limits = one["limits"]
    settings = Settings(
        path=path,
        spools=spools,
        fifos=fifos,
        backends=receivers,
        names=_names(one["names"], one["filter"], one["rewrite"]),
        limits=Limits(limits["max_bytes"], limits["max_files"], limits["max_age_hours"] * 3600),
        state_directory=state,
        status_file=one["status"]["file"] or paths.status_file(state),
        reject_file=one["rejects"]["file"] or paths.reject_file(),
        reject_bytes=one["rejects"]["max_bytes"],
        settle=one["spool"]["settle_seconds"],
        poll=one["spool"]["poll_seconds"],
        self_prefix=one["self"]["prefix"],
        self_interval=one["self"]["interval_seconds"],
        log_level=one["log"]["level"],
        warnings=tuple(_same_carbon(path, receivers)),
    )
    refuse_shared_paths(settings)
    return settings


def _inputs(
    path: Path, found: dict[str, Section], need_input: bool
) -> tuple[tuple[SpoolInput, ...], tuple[FifoInput, ...]]:
    of_kind = {kind: [s for name, s in found.items() if name.partition(":")[0] == kind] for kind in ("spool", "fifo")}
    several = len(of_kind["spool"]) + len(of_kind["fifo"]) > 1
    spools, fifos = [], []
    for section in of_kind["spool"]:
        if section["directory"] is not None:
            spools.append(SpoolInput(section.name, section["directory"], section["files"]))
        elif section.name != "spool" or "files" in section.given or not (several or not need_input):
            raise section.wrong("directory is missing")
        for option in ("settle_seconds", "poll_seconds"):
            if section.name != "spool" and option in section.given:
                raise section.wrong(f"{option} is for all spools: it belongs into [spool]")
    for section in of_kind["fifo"]:
        if section["path"] is None:
            raise section.wrong("path is missing")
        fifos.append(FifoInput(section.name, section["path"]))
    if need_input and not spools and not fifos:
        raise ConfigError(f"{path}: [spool] directory is missing")
    return tuple(spools), tuple(fifos)


def _names(names: Section, rules: Section, rewrite: Section) -> Names:
    for option, needed, value in (
        ("template", "scheme", "template"),
        ("metric", "scheme", "tags"),
        ("tags", "scheme", "tags"),
        ("unprefixed", "scheme", "graphios"),
        ("replacement", "cleaning", "graphios"),
    ):
        if names[needed] != value and names.changed(option):
            raise names.wrong(f"{option} needs {needed} = {value}, and {needed} is {names[needed]}")
    found = Names(
        **names.values,
        include=rules["include"],
        exclude=rules["exclude"],
        rewrite=tuple(rewrite.values.values()),
    )
    from graphios.naming import schemes  # which imports the settings in turn

    try:
        schemes.check(found)
    except ValueError as error:
        raise names.wrong(str(error)) from None
    return found


def _same_carbon(path: Path, receivers: Iterable[BackendSettings]) -> Iterable[str]:
    seen: dict[tuple[str, int], str] = {}
    for backend in receivers:
        for server in backend.servers if isinstance(backend, CarbonBackend) else ():
            if (other := seen.setdefault(server, backend.name)) != backend.name:
                yield f"{path}: [{other}] and [{backend.name}] both send to {server[0]} port {server[1]}"


def refuse_shared_paths(settings: Settings) -> None:
    """Raises ConfigError when two parts of the configuration would use the same file or directory."""
    uses = [(f"[{spool.name}] directory", Path(spool.directory)) for spool in settings.spools]
    uses += [(f"[{fifo.name}] path", Path(fifo.path)) for fifo in settings.fifos]
    uses += [
        (f"[{backend.name}] path", backend.path)
        for backend in settings.backends
        if isinstance(backend, OutputBackend) and backend.path
    ]
    state = settings.state_directory
    uses += [("[state] directory", state), ("the inbox in [state] directory", state / "inbox")]
    uses += [("[status] file", settings.status_file), ("[rejects] file", settings.reject_file)]
    seen: dict[str, str] = {}
    for what, where in uses:
        if other := seen.get(real := os.path.realpath(where)):
            raise ConfigError(f"{settings.path}: {what} = {where}: {other} is the same")
        seen[real] = what
    for spool in settings.spools:
        _refuse_own_output(settings, spool, uses)


def _refuse_own_output(settings: Settings, spool: SpoolInput, uses: Iterable[tuple[str, Path]]) -> None:
    """What graphios writes must not look like a spool file to it."""
    directory = os.path.realpath(spool.directory)
    for what, where in uses:
        ours = os.path.realpath(where.parent) == directory and not where.name.startswith(".")
        if ours and any(fnmatch.fnmatchcase(where.name, pattern) for pattern in spool.files):
            raise ConfigError(
                f"{settings.path}: {what} = {where}: lies in the [{spool.name}] directory and is called like its files"
            )
