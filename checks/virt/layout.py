"""Which devices a guest's statistics speak of. Guests with the same keys share one layout, so that it is worked out once."""

from __future__ import annotations

from typing import Any, NamedTuple

from checks.output import label_part


class Layout(NamedTuple):
    """The devices: NICs by their number in the guest, disks by target, and the keys that rates and percentages need."""

    identity: int
    nics: tuple[str, ...]
    disks: tuple[tuple[str, str], ...]
    """(label, libvirt's key up to the number, such as block.0); a label is a disk's target in the guest, which survives restarts."""
    delays: tuple[str, ...]
    """Keys of the time each vCPU was ready but not run."""


class Layouts:
    """Finds the layout of statistics by their keys and the names of the disks."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[tuple[str, ...], dict[tuple[Any, ...], Layout]]] = {}
        self._count = 0

    def find(self, stats: dict[str, Any]) -> Layout:
        """Return the layout of `stats`."""
        keys = tuple(stats)
        known = self._known.get(keys)
        if known is None:
            known = self._known[keys] = (
                tuple(key for key in keys if key.startswith("block.") and key.endswith(".name")),
                {},
            )
        names = tuple([stats[key] for key in known[0]])
        layout = known[1].get(names)
        if layout is None:
            self._count += 1
            layout = known[1][names] = _layout(self._count, stats, known[0])
        return layout


def _layout(identity: int, stats: dict[str, Any], names: tuple[str, ...]) -> Layout:
    nics = {key.split(".")[1]: None for key in stats if key.startswith("net.") and key.count(".") == 3}
    disks: dict[str, str] = {}
    for key in names:
        disks.setdefault(label_part(str(stats[key])), key.removesuffix(".name"))
    delays = [key for key in stats if key.startswith("vcpu.") and key.endswith(".delay")]
    return Layout(identity, tuple(nics), tuple(disks.items()), tuple(delays))
