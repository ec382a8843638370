"""The narrow road, without the tap: what check_virt_stats prints stays under Nagios's 4 KB and passes it whole, every time."""

from __future__ import annotations

from pathlib import Path

from tests import recordings
from tests.real.monitoring import MonitoringServer, Node, Output, Shipping, columns, differences
from tests.soak import count
from tests.stack import place
from tests.stack.daemon import wait_until
from tests.stack.libvirt import Libvirt


def spooled(spool: Path) -> dict[str, list[str]]:
    """The perfdata of each host in a spool, line by line as Nagios wrote it."""
    found: dict[str, list[str]] = {}
    for file in sorted(spool.iterdir()):
        for line in file.read_text(encoding="utf-8").splitlines():
            fields = dict(field.partition("::")[::2] for field in line.split("\t"))
            found.setdefault(fields["HOSTNAME"], []).append(fields["SERVICEPERFDATA"])
    return found


def perfdata_text(output: Output) -> str:
    return output.text.split("\n")[0].partition(" | ")[2]


def test_under_4000_bytes_every_run_reaches_spool_status_and_graphite_as_it_was_printed(
    shipping: Shipping, libvirt_host: Libvirt
) -> None:
    hosts = [f"narrow{number}" for number in range(count(6, 40))]
    node = Node(shipping.root, shipping.user, "narrow")
    file = recordings.write(shipping.root / "narrow.json", recordings.make(500))
    place.give(file, shipping.user)
    # Every third looks at the real guests; the recording is cut to the last byte that fits.
    sources = [("--uri", libvirt_host.uri_ro) if n % 3 == 2 else ("--replay", file) for n in range(len(hosts))]
    for host, source in zip(hosts, sources, strict=True):
        node.add(host, "check_virt_stats", *source, "--save-state")
    node.nrpe.start()
    spool = shipping.root / "narrow-spool"
    spool.mkdir()
    place.give(spool, shipping.user)
    server = MonitoringServer(shipping.root, shipping.user, node, spool, 3, "nagios-narrow")
    for host in hosts:
        server.add_host(host)
        server.add_service(host, "testbed-check_virt_stats", "testbed-nrpe-tls", host)
    server.start()
    runs = count(5, 1000 // len(hosts))
    wait_until(lambda: min(map(node.runs, hosts)) >= runs, count(60, 900), f"{runs} runs of each")
    server.finish()
    node.nrpe.stop()

    outputs = {host: node.outputs(host) for host in hosts}
    every = [output for host in hosts for output in outputs[host]]
    assert max(len(output.text.encode()) for output in every) <= 4000
    assert max(len(output.text.encode()) for output in every) > 3900, "one that would have been longer is among them"
    assert {host: [perfdata_text(output) for output in outputs[host]] for host in hosts} == spooled(spool)
    for host in hosts:
        first, *more = outputs[host][-1].text.rstrip("\n").split("\n")
        status = server.status(host, host)
        assert status["plugin_output"] == first.partition(" | ")[0].rstrip()
        assert status["long_plugin_output"] == "\\n".join(more)
        assert status["performance_data"] == perfdata_text(outputs[host][-1])

    shipper = shipping.shipper(spool, "graphios-narrow", "--once")
    shipper.start()
    wait_until(lambda: not shipper.alive(), 120, "graphios has shipped the spool")
    assert not any(spool.iterdir())
    for host in hosts:
        shipping.wait_for_series(host, columns(outputs[host]), 60)
        assert differences(outputs[host], shipping.metrics_of(host)) == []
