"""Why no node manager was found, in words for an operator: what is wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping

from checks.output import clean_text, host_port
from checks.seattle.errors import EmptyAnswer, Malformed, NoAnswer, Refused, SeattleError, Unreachable, Unresolvable
from checks.seattle.nodemanager import Target, Told

# What tells most about a node manager comes first.
_TELLING = (Told, NoAnswer, EmptyAnswer, Malformed, Unreachable, Unresolvable)
LOG = "see nodemanager.old and .new in its service vessel"


def explain(failures: dict[Target, SeattleError]) -> tuple[str, str]:
    """Return severity and text for the first line."""
    if all(isinstance(error, Refused) for error in failures.values()):
        return "critical", _all_refused(list(failures))
    target = _most_telling(failures)
    error = failures[target]
    if isinstance(error, Unresolvable):
        return "unknown", f"{target[0]}: {error}"
    return "warning" if isinstance(error, Told) and error.status == "Warning" else "critical", _one(target, error)


def notes(failures: dict[Target, SeattleError], waited: float) -> list[str]:
    """Return what else helps where no node manager was found: the other places, and what is known of these failures."""
    told = _most_telling(failures)
    said = others({target: error for target, error in failures.items() if target != told})
    if isinstance(failures[told], NoAnswer):
        said.append(f"waited {waited:.3g} s; each idle client holds the only worker for 10 s: look for these too")
    if isinstance(failures[told], EmptyAnswer):
        said.append(f"it takes 5 connections from one address at a time; {LOG}")
    if isinstance(failures[told], Refused) and all(host.startswith("127.") for host, _ in failures):
        said.append(
            f"a node manager listens at the address its host has towards others, not at {told[0]}: leave -H out"
        )
    return said


def others(failures: Mapping[Target, SeattleError | None]) -> list[str]:
    """Return a line for each place that neither refused nor is the node manager."""
    waiting = "took the connection and has not answered yet"
    return [
        f"{host_port(*target)}: {error or waiting}"
        for target, error in failures.items()
        if not isinstance(error, Refused)
    ]


def _most_telling(failures: dict[Target, SeattleError]) -> Target:
    return min(failures, key=lambda target: _rank(failures[target]))


def _rank(error: SeattleError) -> int:
    if isinstance(error, Refused):
        return len(_TELLING)
    return next((number for number, kind in enumerate(_TELLING) if isinstance(error, kind)), len(_TELLING))


def _all_refused(targets: list[Target]) -> str:
    if len(targets) == 1:
        return f"{host_port(*targets[0])} refuses connections: no node manager runs there, start it (start_seattle.sh)"
    hosts = " and ".join(dict.fromkeys(host for host, _ in targets))
    ports = {port for _, port in targets}
    which = f"all {len(ports)} known ports refuse" if len(ports) > 1 else f"port {targets[0][1]} refuses"
    return f"no node manager at {hosts}, {which}: start it (start_seattle.sh)"


def _one(target: Target, error: SeattleError) -> str:
    where, said = host_port(*target), clean_text(str(error))
    if isinstance(error, Told):
        return f"{where} answers GetVessels with {said}; {LOG}"
    if isinstance(error, NoAnswer):
        return f"{where} takes connections but never answers: the node manager hangs, restart it"
    if isinstance(error, EmptyAnswer):
        return f"{where} closes connections unanswered, twice: too many from this address, or see its log"
    if isinstance(error, Malformed):
        return f"{where} gives no readable answer: {said}; look what listens there"
    return f"{where}: {said}: is the host up, and its port open? Or the node manager hangs"
