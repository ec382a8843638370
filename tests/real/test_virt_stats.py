"""check_virt_stats on a real libvirtd with real QEMU guests: the numbers are libvirt's, and what hangs costs only itself."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from checks.check_virt_stats import CHECK
from tests.stack import place
from tests.stack.daemon import wait_until
from tests.stack.libvirt import Libvirt
from tests.unit.virt.recorded import Result

EVERYTHING = ("--max-output", "10000000")


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


def run(host: Libvirt, *argv: str) -> Result:
    """The check in this process."""
    return Result(*CHECK.run(["--uri", host.uri_ro, *EVERYTHING, *argv]))


def command(host: Libvirt, *argv: str, timeout: float = 30, **environment: str) -> tuple[Result, float]:
    """The installed command in a process of its own, and how long it took."""
    begin = time.monotonic()
    done = subprocess.run(
        [place.command("check_virt_stats"), "--uri", host.uri_ro, *argv],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | environment,
        check=False,
    )
    assert done.stderr == ""
    return Result(done.returncode, done.stdout), time.monotonic() - begin


def bulk(host: Libvirt) -> dict[str, dict[str, int]]:
    """libvirt's own statistics by guest."""
    with host.connection() as connection:
        return {domain.name(): stats for domain, stats in connection.getAllDomainStats()}


def test_every_number_is_the_one_libvirt_reports(libvirt_host, linux_guest):
    before, result, after = bulk(libvirt_host), run(libvirt_host), bulk(libvirt_host)
    factors = {"time": 1e-9, "user": 1e-9, "system": 1e-9, "delay": 1e-9, "wait": 1e-9, "times": 1e-9}
    compared = 0
    for name, low in before.items():
        for key, value in low.items():
            family, _, rest = key.partition(".")
            index, _, metric = rest.partition(".")
            if family == "block" and metric:
                label = f"{name}.block.{low.get(f'block.{index}.name')}.{metric.replace('.', '_')}"
            elif family == "net" and metric:
                label = f"{name}.net.{index}.{metric.replace('.', '_')}"
            else:
                label = f"{name}.{key}"
            if label not in result.perfdata or not isinstance(value, int):
                continue
            factor = factors.get(label.rpartition("_")[2].rpartition(".")[2], 1)
            factor = 1024 if family == "balloon" and "fault" not in key and "pg" not in key else factor
            high = after[name][key]
            lowest, highest = sorted((value * factor, high * factor))
            slack = 0.3 * abs(lowest) + 1 if family == "balloon" else 1e-5
            assert lowest - slack <= result.number(label) <= highest + slack, label
            compared += 1
    assert compared > 100


def test_every_family_of_a_linux_guest_is_there_and_its_memory_is_known(libvirt_host, linux_guest, needs_root):
    result = run(libvirt_host)
    families = {label.split(".")[1] for label in result.perfdata if label.startswith(f"{linux_guest}.")}
    if not libvirt_host.taps:
        needs_root("network counters, which libvirt has for taps only")
    assert families == {"state", "cpu", "balloon", "vcpu", "block"} | ({"net"} if libvirt_host.taps else set())
    assert 0 < result.number(f"{linux_guest}.balloon.used_percent") < 100
    assert 0 <= result.number(f"{linux_guest}.balloon.last_update_age") < 60


def test_rates_of_a_working_guest_are_between_0_and_100_percent(libvirt_host, linux_guest):
    run(libvirt_host, "--save-state")
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() - begin > 1.5, 5, "an interval")
    result = run(libvirt_host, "--save-state")
    assert 0 < result.number(f"{linux_guest}.cpu.percent") <= 100
    assert 0 <= result.number(f"{linux_guest}.vcpu.steal_percent") <= 100


def test_a_guest_that_is_started_anew_gives_no_spike(libvirt_host):
    run(libvirt_host, "--save-state")
    libvirt_host.stop_guest("db01")
    libvirt_host.start_guest("db01")
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() - begin > 0.7, 5, "an interval")
    result = run(libvirt_host, "--save-state")
    assert "db01.cpu.percent" not in result.perfdata
    assert "web01.cpu.percent" in result.perfdata


def test_the_normal_path_is_one_connection_and_one_bulk_call_whatever_the_number_of_guests(libvirt_host, monkeypatch):
    import libvirt

    calls: list[str] = []

    def counted(owner, name):
        original = getattr(owner, name)

        def call(*arguments, **keywords):
            calls.append(name)
            return original(*arguments, **keywords)

        monkeypatch.setattr(owner, name, call)

    counted(libvirt, "openReadOnly")
    local = {"name", "UUIDString", "ID", "UUID", "connect", "c_pointer", "domain"}
    for owner in (libvirt.virConnect, libvirt.virDomain):
        for name in dir(owner):
            if not name.startswith("_") and name not in local and callable(getattr(owner, name)):
                counted(owner, name)
    run(libvirt_host, "--stats", "state,cpu,balloon,vcpu,net,block")
    assert sorted(calls) == ["getAllDomainStats", "openReadOnly"]
    calls.clear()
    run(libvirt_host)
    assert sorted(calls) == ["getAllDomainStats", "getInfo", "listAllDomains", "listAllStoragePools", "openReadOnly"]


def test_any_user_may_run_it_on_the_read_only_socket(libvirt_host, needs_root):
    if not libvirt_host.system:
        needs_root("a system libvirtd, asked by another user")
        return
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    done = subprocess.run(
        [*nobody, place.command("check_virt_stats"), "--uri", libvirt_host.uri_ro],
        capture_output=True,
        text=True,
        timeout=30,
        env={"PATH": os.environ["PATH"]},
        cwd="/",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "guests running" in done.stdout


@pytest.fixture
def crowd(libvirt_host):
    """Three more guests that a test may stop; whatever it did to them is undone."""
    names = [f"crowd{number}" for number in range(3)]
    for name in names:
        libvirt_host.add_guest(name)
    yield names
    for name in names:
        libvirt_host.resume_qemu(name)
    # A call that hung in libvirtd ends only now; the guest's job must be free before the next test.
    wait_until(lambda: not hung_calls(libvirt_host), 20, "no call waits for a stopped guest")
    for name in names:
        libvirt_host.remove_guest(name)


def hung_calls(host: Libvirt) -> int:
    """How many calls libvirtd has waiting for a guest's monitor."""
    count = 0
    with host.connection() as connection:
        for domain in connection.listAllDomains(1):
            state, _, milliseconds = domain.controlInfo()
            count += state == 2 and milliseconds > 500
    return count


def assert_all_but_the_stuck(result: Result, stuck: list[str]) -> None:
    assert result.code == 2
    for name in stuck:
        assert f"{name} is stuck: its" in result.text
        assert f"{name}.balloon.rss" not in result.perfdata
        assert result.perfdata[f"{name}.state.state"] == "1"
    for name in ("web01", "db01"):
        assert {f"{name}.balloon.rss", f"{name}.cpu.time", f"{name}.block.vda.rd_reqs"} <= set(result.perfdata)
    assert result.perfdata["host.guests.stuck"] == str(len(stuck))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_stuck_guests_are_named_and_every_other_guest_is_reported_within_the_deadline(libvirt_host, crowd, number):
    stuck = crowd[:number]
    for name in stuck:
        libvirt_host.pause_qemu(name)
    result, seconds = command(libvirt_host, *EVERYTHING, "-t", "8")
    assert seconds < 8.5
    assert_all_but_the_stuck(result, stuck)


def test_50_runs_leave_no_more_than_a_few_hung_calls_in_libvirtd(libvirt_host, crowd):
    for name in crowd:
        libvirt_host.pause_qemu(name)
    for _ in range(50):
        assert_all_but_the_stuck(run(libvirt_host), crowd)
    assert hung_calls(libvirt_host) <= 1


def test_stuck_guests_are_looked_for_first_where_nothing_can_be_remembered(libvirt_host, crowd, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file" / "state"))
    for name in crowd:
        libvirt_host.pause_qemu(name)
    for _ in range(5):
        assert_all_but_the_stuck(run(libvirt_host), crowd)
    assert hung_calls(libvirt_host) == 0


def test_without_procfs_stuck_guests_are_found_by_their_monitors_and_the_hung_calls_stay_few(
    libvirt_host, crowd, monkeypatch
):
    """As with a remote host, whose processes can't be seen."""
    monkeypatch.setattr("checks.virt.acquire.stopped_processes", set)
    for name in crowd:
        libvirt_host.pause_qemu(name)
    for _ in range(10):
        assert_all_but_the_stuck(run(libvirt_host), crowd)
    assert hung_calls(libvirt_host) <= len(crowd)


def test_a_guest_that_goes_on_is_reported_in_full_again(libvirt_host, crowd):
    libvirt_host.pause_qemu(crowd[0])
    assert run(libvirt_host).code == 2
    libvirt_host.resume_qemu(crowd[0])
    wait_until(lambda: not hung_calls(libvirt_host), 20, "the guest's job is free")
    assert run(libvirt_host).code == 0
    assert f"{crowd[0]}.balloon.rss" in run(libvirt_host).perfdata


def test_a_guest_that_answers_late_is_not_called_stuck_and_is_reported_in_full(libvirt_host, crowd, monkeypatch):
    """Its storage may just be slow; as with a remote host, whose processes can't be seen."""
    monkeypatch.setattr("checks.virt.acquire.stopped_processes", set)
    libvirt_host.pause_qemu(crowd[0])
    later = threading.Timer(1.8, libvirt_host.resume_qemu, [crowd[0]])
    later.start()
    result = run(libvirt_host)
    later.join()
    assert result.code == 0, result.text
    assert {f"{crowd[0]}.balloon.rss", "web01.balloon.rss"} <= set(result.perfdata)


def test_figures_are_dated_before_the_wait_for_a_stuck_guest(libvirt_host, crowd, monkeypatch):
    """Or every rate of the host would be wrong by the length of that wait."""
    from checks.virt.acquire import STUCK_AFTER, Hypervisor
    from checks.virt.calls import Clock

    monkeypatch.setattr("checks.virt.acquire.stopped_processes", set)
    libvirt_host.pause_qemu(crowd[0])
    marks: list[float] = []
    begin = time.monotonic()
    Hypervisor(
        libvirt_host.uri_ro, ["cpu-total", "balloon"], Clock(10), lambda: marks.append(time.monotonic())
    ).snapshot(False)
    waited = time.monotonic() - begin
    assert waited >= STUCK_AFTER * 0.9
    assert time.monotonic() - marks[-1] >= 1


def test_a_stopped_libvirtd_is_one_unknown_line_within_the_deadline(libvirt_host):
    libvirt_host.daemon.pause()
    try:
        result, seconds = command(libvirt_host, "-t", "2")
    finally:
        libvirt_host.daemon.resume()
    assert result.code == 3
    assert result.text.count("\n") == 1
    assert "no answer" in result.first
    assert "connecting to qemu" in result.first
    assert seconds < 2.5


def test_guests_that_come_and_go_during_the_runs_cost_nothing_but_themselves(libvirt_host):
    libvirt_host.add_guest("fleeting")
    done = threading.Event()

    def churn():
        while not done.is_set():
            libvirt_host.stop_guest("fleeting")
            libvirt_host.start_guest("fleeting")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(10):
            result = run(libvirt_host)
            assert result.code == 0, result.text
            assert "web01.balloon.rss" in result.perfdata
    finally:
        done.set()
        thread.join()
        libvirt_host.remove_guest("fleeting")


def test_two_checks_at_once_both_report_every_guest_in_full(libvirt_host):
    """NOWAIT leaves out a guest that another call asks at that moment; it is asked again."""
    results: list[Result] = []
    threads = [threading.Thread(target=lambda: results.extend(run(libvirt_host) for _ in range(5))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 15
    for result in results:
        assert result.code == 0, result.text
        assert {"web01.balloon.rss", "db01.balloon.rss", "web01.block.vda.rd_reqs"} <= set(result.perfdata), result.text


NAMES = ["a b", "a.b", 'it\'s "quoted"', "bücher-日本", "$(x)&<b>", "-dash"]


def test_names_with_blanks_dots_quotes_and_other_scripts_have_clean_labels_that_stay_apart(libvirt_host):
    for name in NAMES:
        libvirt_host.add_guest(name)
    try:
        result = run(libvirt_host, "-v")
    finally:
        for name in NAMES:
            libvirt_host.remove_guest(name)
    assert result.code == 0
    states = [label for label in result.perfdata if label.endswith(".state.state")]
    assert len(states) >= len(NAMES) + 3
    assert any(line.startswith("bücher-日本 (") for line in result.lines)


def test_a_guest_with_8_nics_and_12_disks_is_whole(libvirt_host, needs_root):
    libvirt_host.add_guest("wide", nics=8, disks=12)
    try:
        result = run(libvirt_host)
    finally:
        libvirt_host.remove_guest("wide")
    if libvirt_host.taps:
        assert {f"wide.net.{nic}.tx_drop" for nic in range(8)} <= set(result.perfdata)
    else:
        needs_root("the counters of 8 NICs, which libvirt has for taps only")
    assert {f"wide.block.vd{letter}.physical" for letter in "abcdefghijkl"} <= set(result.perfdata)


def test_guests_without_devices_or_balloon_are_not_taken_for_stuck(libvirt_host):
    libvirt_host.add_guest("bare", nics=0, disks=0, balloon=False)
    try:
        result = run(libvirt_host, "--memory-warning", "50")
    finally:
        libvirt_host.remove_guest("bare")
    assert result.code == 0
    assert "bare.cpu.time" in result.perfdata
    assert "bare.balloon.used_percent" not in result.perfdata


def test_a_suspended_guest_and_an_autostart_guest_that_is_off_are_warnings(libvirt_host):
    libvirt_host.add_guest("off", start=False, autostart=True)
    with libvirt_host.connection() as connection:
        connection.lookupByName("db01").suspend()
    try:
        result = run(libvirt_host)
    finally:
        with libvirt_host.connection() as connection:
            connection.lookupByName("db01").resume()
        libvirt_host.remove_guest("off")
    assert result.code == 1
    assert "off is marked autostart and does not run" in result.text
    assert "db01 is paused (user)" in result.text
    assert [label for label in result.perfdata if label.startswith("off.")] == ["off.state.state", "off.state.reason"]


def test_storage_pools_are_reported(libvirt_host, tmp_path):
    folder = tmp_path / "pool"
    folder.mkdir()
    xml = f"<pool type='dir'><name>images.a</name><target><path>{folder}</path></target></pool>"
    with libvirt_host.connection() as connection:
        pool = connection.storagePoolDefineXML(xml)
        try:
            pool.create()
            result = run(libvirt_host, "--pool-warning", "", "--pool-critical", "")
            assert result.code == 0, result.text
            (label,) = [label for label in result.perfdata if label.endswith(".pool.capacity")]
            assert result.number(label) == pool.info()[1]
            pool.destroy()
            pool.setAutostart(1)
            assert "storage pool images.a is inactive" in run(libvirt_host).text
        finally:
            if pool.isActive():
                pool.destroy()
            pool.undefine()


def test_a_recording_of_a_real_host_replays_to_the_same_numbers(libvirt_host, tmp_path):
    recording = tmp_path / "recording.json"
    live = run(libvirt_host, "--record", str(recording))
    replayed = Result(*CHECK.run(["--replay", str(recording), *EVERYTHING]))
    assert replayed.perfdata == live.perfdata
    assert "REPLAY" in replayed.first
    assert "REPLAY" not in live.first
    assert len(json.loads(recording.read_bytes())["guests"]) >= 3


def test_virsh_domstats_of_a_real_host_can_be_replayed(libvirt_host, tmp_path):
    recording = tmp_path / "domstats.txt"
    recording.write_bytes(subprocess.check_output(["virsh", "-c", libvirt_host.uri_ro, "domstats", "--raw"]))
    replayed = Result(*CHECK.run(["--replay", str(recording), *EVERYTHING]))
    assert "web01.block.vda.capacity" in replayed.perfdata


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (
            "qemu+unix:///system?socket=/nonexistent/sock",
            "connecting to qemu+unix:///system?socket=/nonexistent/sock: ",
        ),
        ("nosuchdriver:///", "connecting to nosuchdriver:///: "),
        ("test:///nonexistent.xml", "connecting to test:///nonexistent.xml: "),
        ("", "connecting to "),
        ("qemu+ssh://", "connecting to qemu+ssh://: "),
    ],
)
def test_a_uri_that_leads_nowhere_is_one_unknown_line(uri, said, monkeypatch):
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "nosuchdriver:///")
    code, text = CHECK.run(["--uri", uri])
    assert code == 3
    assert text.count("\n") == 1
    assert said in text


def test_a_driver_with_fewer_statistics_is_told_and_is_no_alert():
    result = Result(*CHECK.run(["--uri", "test:///default", *EVERYTHING]))
    assert result.code == 0, result.text
    assert "this libvirt reports no balloon statistics" in result.lines
    assert result.perfdata["test.state.state"] == "1"
    assert "default-pool.pool.capacity" in result.perfdata


def test_without_the_libvirt_module_one_unknown_line_says_what_to_install(tmp_path):
    (tmp_path / "libvirt.py").write_text("raise ImportError('No module named libvirt')\n")
    done = subprocess.run(
        [place.command("check_virt_stats")],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=False,
        timeout=30,
    )
    assert done.returncode == 3
    assert done.stdout.count("\n") == 1
    assert "python3-libvirt" in done.stdout
    assert done.stderr == ""


def test_rubbish_on_libvirts_socket_is_one_unknown_line(tmp_path):
    import socket

    path = str(Path(tmp_path) / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def answer():
            peer, _ = listener.accept()
            with peer:
                peer.recv(64)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)

        thread = threading.Thread(target=answer)
        thread.start()
        code, text = CHECK.run(["--uri", f"qemu+unix:///system?socket={path}", "-t", "5"])
        thread.join()
    assert code == 3
    assert text.count("\n") == 1
    assert "connecting to qemu+unix" in text
