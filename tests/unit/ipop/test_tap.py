"""Counters of a tap device from sysfs: which end is which, and names that are no device's."""

from pathlib import Path

import pytest

from checks.ipop import tap


def device(
    sysfs: Path, name: str = "tnl-b200feb", received: str = "10000\n", sent: str = "5000\n", index: str = "7\n"
) -> Path:
    folder = sysfs / "class" / "net" / name
    (folder / "statistics").mkdir(parents=True)
    (folder / "statistics" / "rx_bytes").write_text(received)
    (folder / "statistics" / "tx_bytes").write_text(sent)
    (folder / "ifindex").write_text(index)
    return folder


def test_what_the_device_received_came_from_the_peer(tmp_path):
    device(tmp_path)
    assert tap.read(tmp_path, "tnl-b200feb") == tap.TapCounters(received=10000, sent=5000, ifindex=7)


def test_this_hosts_own_devices_are_read():
    counter = Path("/sys/class/net/lo/statistics/rx_bytes")
    before = int(counter.read_text())
    found = tap.read(Path("/sys"), "lo")
    assert found is not None
    assert found.ifindex == 1
    assert before <= found.received <= int(counter.read_text())


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../net/tnl", "tnl/../tnl", "a b", "a\n", "a" * 16, "\ud800", "tnl\x00"]
)
def test_what_is_no_name_of_a_device_is_not_looked_for(tmp_path, name):
    device(tmp_path, "tnl")
    assert tap.read(tmp_path, name) is None


@pytest.mark.parametrize("file", ["statistics/rx_bytes", "statistics/tx_bytes", "ifindex"])
@pytest.mark.parametrize("damage", [None, "", "-1", "1.5", "x", "²", "9" * 30, "1" * 5000])
def test_a_counter_that_is_missing_or_damaged_makes_the_device_unknown(tmp_path, file, damage):
    path = device(tmp_path) / file
    path.unlink()
    if damage is not None:
        path.write_text(damage)
    assert tap.read(tmp_path, "tnl-b200feb") is None


def test_a_missing_device_is_unknown(tmp_path):
    assert tap.read(tmp_path, "tnl-b200feb") is None
    (tmp_path / "class" / "net").mkdir(parents=True)
    (tmp_path / "class" / "net" / "bonding_masters").write_text("\n")
    assert tap.read(tmp_path, "bonding_masters") is None
