"""The parts of the private stack do what the other real tests rely on."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.stack.daemon import wait_until
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.libvirt import Libvirt
from tests.stack.nagios import Nagios
from tests.stack.nrpe import Nrpe


def stats(libvirt_host: Libvirt, name: str) -> dict[str, Any]:
    """What libvirt reports of one guest over the connection that the check is given."""
    import libvirt

    connection = libvirt.openReadOnly(libvirt_host.uri_ro)
    try:
        all_stats: dict[str, dict[str, Any]] = {
            domain.name(): values for domain, values in connection.getAllDomainStats()
        }
        return all_stats[name]
    finally:
        connection.close()


def test_guests_have_the_shape_they_were_asked_for(libvirt_host: Libvirt) -> None:
    web, plain = stats(libvirt_host, "web01"), stats(libvirt_host, "plain")
    assert (web["vcpu.maximum"], web["net.count"], web["block.count"]) == (2, 2, 2)
    assert "balloon.last-update" in web
    assert "balloon.last-update" not in plain


def test_a_boot_sector_guest_reads_and_writes_its_disk(libvirt_host: Libvirt) -> None:
    before = stats(libvirt_host, "db01")

    def moved() -> bool:
        now = stats(libvirt_host, "db01")
        return all(now[key] > before[key] for key in ("block.0.rd.reqs", "block.0.wr.reqs", "cpu.time"))

    wait_until(moved, 30, "counters of db01 grow")


def test_a_guests_name_may_hold_blanks_dots_quotes_and_letters_that_are_not_ascii(libvirt_host: Libvirt) -> None:
    name = 'a guest\'s "näme" v1.2 <&> $x'
    libvirt_host.add_guest(name)
    try:
        assert stats(libvirt_host, name)["state.state"] == 1
        command = Path(f"/proc/{libvirt_host.qemu_pid(name)}/cmdline").read_bytes()
        assert f"guest={name}".encode() in command
    finally:
        libvirt_host.remove_guest(name)


def test_guests_go_on_while_libvirtd_is_killed_and_started_again(libvirt_host: Libvirt) -> None:
    pid = libvirt_host.qemu_pid("web01")
    assert libvirt_host.daemon
    libvirt_host.daemon.kill()
    libvirt_host.start()
    assert libvirt_host.qemu_pid("web01") == pid
    assert stats(libvirt_host, "web01")["state.state"] == 1


def test_a_linux_guest_reports_its_memory_and_makes_traffic_where_taps_can_be_made(
    libvirt_host: Libvirt, linux_guest: str, needs_root: Callable[[str], None]
) -> None:
    before = stats(libvirt_host, linux_guest)
    assert 0 < before["balloon.usable"] < before["balloon.available"]
    keys = ["block.0.wr.bytes", "block.0.rd.bytes"]
    if libvirt_host.taps:
        keys += ["net.0.rx.bytes", "net.0.tx.bytes"]
    else:
        needs_root("network counters, which libvirt has for taps only")

    def moved() -> bool:
        now = stats(libvirt_host, linux_guest)
        return all(now[key] > before[key] for key in keys)

    wait_until(moved, 60, f"{', '.join(keys)} of {linux_guest} grow")


def test_nrpe_answers_with_mutual_tls_anonymous_tls_and_without(make_nrpe: Callable[..., Nrpe]) -> None:
    for tls in (True, "anonymous", False):
        server = make_nrpe({"say": "/bin/echo said"}, tls=tls)
        done = subprocess.run(server.check_argv("say"), capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout) == (0, "said\n")


def test_nrpe_with_mutual_tls_refuses_a_client_without_a_certificate(make_nrpe: Callable[..., Nrpe]) -> None:
    server = make_nrpe({"say": "/bin/echo said"})
    bare = [word for word in server.check_argv("say") if word not in server.options()]
    done = subprocess.run(bare, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 3
    assert "said" not in done.stdout


def test_a_point_sent_to_carbon_is_read_from_graphite(carbon: Carbon, graphite: GraphiteWeb) -> None:
    with socket.create_connection(("127.0.0.1", carbon.port)) as connection:
        connection.sendall(b"stack.test.point 42.5 %d\n" % time.time())
    assert graphite.wait_for("stack.test.*") == {"stack.test.point": 42.5}


def test_carbon_keeps_its_ports_and_files_when_it_is_killed_and_started_again(carbon: Carbon) -> None:
    port = carbon.port
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"stack.test.kept 1 %d\n" % time.time())
    wait_until((carbon.whisper / "stack/test/kept.wsp").exists, 30, "carbon writes the file")
    carbon.kill()
    carbon.start()
    assert carbon.port == port
    assert (carbon.whisper / "stack/test/kept.wsp").exists()


OBJECTS = """\
define command {
  command_name say
  command_line /bin/echo said by $USER2$
}
define contact {
  contact_name nobody
  host_notification_commands say
  service_notification_commands say
}
define host {
  host_name here
  address 127.0.0.1
  max_check_attempts 1
  contacts nobody
}
define service {
  host_name here
  service_description said
  check_command say
  max_check_attempts 1
  check_interval 1
  retry_interval 1
  contacts nobody
}
"""


def test_nagios_schedules_a_check_and_reports_its_result(
    make_stack_root: Callable[[str], Path], stack_user: str | None
) -> None:
    root = make_stack_root("nagios")
    objects = root / "objects.cfg"
    objects.write_text(OBJECTS, encoding="utf-8")
    nagios = Nagios(root, [objects], stack_user, resources={"USER2": "a macro"})
    nagios.start()
    try:
        wait_until(
            lambda: nagios.status().get(("here", "said"), {}).get("has_been_checked") == "1", 30, "the first check"
        )
        assert nagios.status()["here", "said"]["plugin_output"] == "said by a macro"
    finally:
        nagios.stop()
    assert os.path.exists(nagios.spool)  # noqa: PTH110
