"""Which generation of IPOP a tincan belongs to, found out without sending it anything."""

from __future__ import annotations

from pathlib import Path

from checks.deadline import CheckError


class TincanTooNew(CheckError):
    """The tincan there is newer than 16: what is sent to it could cut its controller off, and it answers nobody else."""


def refuse_newer(host: str, port: int, version: str | None = None, root: Path = Path("/")) -> None:
    """Raise TincanTooNew where anything says that the tincan at `host` and `port` is newer than 16; `version`: what the operator says it is."""
