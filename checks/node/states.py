"""The state that a clearinghouse has given a node: the one user of its extra vessel is the key of the state."""

from __future__ import annotations

import itertools
from pathlib import Path

from checks.deadline import BadInput, stage
from checks.output import clean_name
from checks.seattle.errors import Malformed
from checks.seattle.keys import PublicKey, read_key
from checks.seattle.nodemanager import Node

_MOST_KEYS = 1000


def key_of(file: Path) -> PublicKey:
    """Return the key of a .publickey file. Raises CheckError."""
    shown = clean_name(str(file))
    with stage(f"reading the key {shown}"):
        try:
            return read_key(file)
        except Malformed as error:
            raise BadInput(f"{shown}: {error}") from error


def state_keys(folder: Path) -> dict[PublicKey, str]:
    """Return the states' names by key: the files NAME.publickey of a folder. Raises CheckError."""
    with stage(f"reading the keys in {clean_name(str(folder))}"):
        files = sorted(itertools.islice((path for path in folder.iterdir() if path.suffix == ".publickey"), _MOST_KEYS))
    if not files:
        raise BadInput(f"no file *.publickey in {clean_name(str(folder))}")
    return {key_of(file): file.stem for file in files}


def states(node: Node, keys: dict[PublicKey, str]) -> list[str]:
    """Return the states of a node, sorted: one where the clearinghouse has taken it in, none or several where something went wrong."""
    users = {vessel.users[0] for vessel in node.vessels if len(vessel.users) == 1}
    return sorted({keys[key] for key in users if key in keys})
