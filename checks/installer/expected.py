"""Whose an installer should be: the key files of those who are to own and use its vessels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from checks.deadline import CheckError, stage
from checks.installer.vesselinfo import Vessel
from checks.output import clean_name
from checks.seattle.errors import SeattleError
from checks.seattle.keys import PublicKey, read_key


class Expected:
    """Owners and users by their public keys, with the names of the files that hold them."""

    def __init__(self, owners: Sequence[Path], users: Sequence[Path]) -> None:
        """Read the key files. Raises CheckError."""
        self.owners, self.users = _read(owners), _read(users)

    def wrong(self, vessels: Sequence[Vessel]) -> Iterator[str]:
        """Yield who is missing in an installer, and who should not be there; the last vessel is the reserved one and has an owner of its own."""
        owners = {owner for vessel in vessels for owner in vessel.owners}
        users = {user for vessel in vessels for user in vessel.users}
        for does, expected, found in (("owns", self.owners, owners), ("uses", self.users, users)):
            for key, name in expected.items():
                if key not in found:
                    yield f"{name} {does} no vessel in it"
        for number, vessel in enumerate(vessels[:-1], 1):
            if self.owners and not self.owners.keys() >= set(vessel.owners):
                yield f"vessel {number} is owned by a key that is none of --owner"

    def people(self, vessel: Vessel) -> str:
        """Return whose a vessel is, known keys by the names of their files."""
        owners = ", ".join(self.owners.get(key) or abbreviated(key) for key in vessel.owners)
        users = ", ".join(self.users.get(key) or abbreviated(key) for key in vessel.users)
        return f"owner {owners}" + (f", users {users}" if users else "")


def abbreviated(key: PublicKey) -> str:
    """Return how a key begins and ends."""
    number = str(key.n)
    return (
        f"{key.e} {number}" if len(number) < 24 and key.e < 10**8 else f"{str(key.e)[:8]} {number[:8]}...{number[-8:]}"
    )


def _read(paths: Sequence[Path]) -> dict[PublicKey, str]:
    keys = {}
    for path in paths:
        shown = clean_name(str(path))
        try:
            with stage(f"reading key file {shown}"):
                keys[read_key(path)] = clean_name(path.name)
        except SeattleError as error:
            raise CheckError(f"key file {shown}: {error}") from error
    return keys
