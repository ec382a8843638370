"""Reads the source that the options name; a source that fails is told with its place and what to do next."""

from __future__ import annotations

from checks.deadline import last_moment
from checks.ipop.records import Reading
from checks.options import Server, Values
from checks.output import clean_name, clean_text

_LONGEST = 160


class SourceError(Exception):
    """The source was asked and fails; the text is for the first line, `severity` its state."""

    def __init__(self, text: str, severity: str = "critical") -> None:
        super().__init__(text)
        self.severity = severity


def read(opts: Values) -> Reading:
    """Return the links of the source, waiting at most until the last moment of --timeout. Raises SourceError, and CheckError for files."""
    if opts.stats_dir:
        from checks.ipop import stats_dir

        found: Reading = stats_dir.read(opts.stats_dir)
        return found
    until = last_moment(opts.timeout)
    return _tincan(opts, until) if opts.tincan else _document(opts.controller_json, until)


def _tincan(opts: Values, until: float) -> Reading:
    from checks.ipop import generation, tincan

    server: Server = opts.tincan
    generation.refuse_newer(server.host, server.port, opts.tincan_version)
    try:
        return tincan.ask(server.host, server.port, until)
    except tincan.Unresolvable as error:
        raise SourceError(f"tincan {server}: {error}", "unknown") from error
    except tincan.Refused as error:
        raise SourceError(f"tincan {server}: nothing listens there: is IPOP running?") from error
    except tincan.NoAnswer as error:
        said = f"tincan {server} does not answer get_state: it hangs, or is newer than 16.01 (then: --controller-json)"
        raise SourceError(said) from error
    except tincan.TincanError as error:
        raise SourceError(f"tincan {server}: {_short(error)}: is it IPOP 14 to 16.01?") from error


def _document(source: str, until: float) -> Reading:
    from checks import web
    from checks.ipop import document

    try:
        found = document.read(source, until)
    except web.Unresolvable as error:
        raise SourceError(f"{web.place(source)}: {error}", "unknown") from error
    except web.Refused as error:
        raise SourceError(f"nothing listens at {web.place(source)}: is the visualizer's service running?") from error
    except web.WrongStatus as error:
        raise SourceError(f"{web.place(source)} answers {error}: check the URL, then the service's log") from error
    except web.NoAnswer as error:
        raise SourceError(f"{web.place(source)} never answers: it hangs, restart it") from error
    except web.Malformed as error:
        raise SourceError(f"{web.place(source)}: {_short(error)}: check the URL") from error
    except web.WebError as error:
        raise SourceError(f"{web.place(source)}: {_short(error)}") from error
    return found._replace(source=f"{found.source} in {clean_name(source[:_LONGEST])}")


def _short(error: Exception) -> str:
    return clean_text(str(error))[:_LONGEST]
