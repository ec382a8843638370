"""What may lie in a spool: malformed, huge, binary, empty and half-written files, things that are nobody's perfdata, and other shippers.

Every good line is readable from Graphite, every bad one stands in the reject file, and what is not ours stays as it was.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.real.shipping_site import Ledger, MakeSite, Site
from tests.soak import count
from tests.stack.graphite import GraphiteWeb
from tests.stack.proxy import Proxy
from tests.unit.graphios.spool_lines import service_line

pytest_plugins = ("tests.real.shipping_fixtures",)

LIMIT = 64 * 1024**2


def recent() -> int:
    return int(time.time()) - 10


def test_binary_and_empty_files_among_good_ones(site: Site, graphite: GraphiteWeb) -> None:
    # Graphios 2: a bad byte ended its Python 3 port, which met the same file again after every restart.
    ledger = Ledger("binary")
    noise = random.Random(7)
    site.write("service-perfdata.1", ledger.text(2))
    site.write("service-perfdata.2-empty", b"", age=60)
    site.write("service-perfdata.3-newlines", b"\n" * 5000)
    site.write("service-perfdata.4-random", noise.randbytes(300_000) + b"\n")
    site.write("service-perfdata.5-zeros", bytes(300_000) + b"\n")
    site.write("service-perfdata.6-elf", Path("/bin/true").read_bytes() + b"\n")
    good = ledger.text(1).encode()
    site.write(
        "service-perfdata.7-mixed",
        b"".join(noise.randbytes(50).replace(b"\n", b"") + b"\n" + line + b"\n" for line in good.splitlines()),
    )
    site.write("service-perfdata.8", ledger.text(2))
    assert site.once().returncode == 1
    assert site.empty()
    ledger.check_readable(graphite)
    for name in ("4-random", "5-zeros", "6-elf", "7-mixed"):
        assert f"service-perfdata.{name}:" in site.rejects()


def test_a_huge_file_takes_little_memory(site: Site, graphite: GraphiteWeb) -> None:
    # Graphios 2 needed 1,192 MB for 47 MB.
    size = count(25, 100) * 10**6
    ledger = Ledger("huge", moments=400)
    text = ledger.text(300)
    filling = service_line(f"x=1;{'2' * 200};{'3' * 200} " * 100, host="huge-filling", service="same", timet=recent())
    with (site.spool / ".huge").open("w", encoding="ascii") as file:
        file.write(text)
        while file.tell() < size:
            file.write(filling)
            file.write("garbage\n" * 20)
        file.write(ledger.text(1))
    (site.spool / ".huge").rename(site.spool / "service-perfdata.huge")
    site.start()
    site.wait_until_empty(600)
    assert site.peak_memory() < LIMIT
    ledger.check_readable(graphite)
    assert site.stop() == 0


def test_lines_longer_than_any_read_buffer(site: Site, graphite: GraphiteWeb) -> None:
    # nagflux stops at 65,536 bytes and deletes the file.
    ledger = Ledger("long")
    when = recent()
    item = f"label=1.5s;{'2' * 100};{'3' * 100};0;10 "
    site.start()
    for size in (65_500, 65_536, 70_000, 1_000_000, 16_000_000):
        ledger.add(f"long.big{size}.label", when, 1.5)
        ledger.add(f"long.big{size}.last", when, 2.5)
        line = service_line(item * (size // len(item)) + "last=2.5", host="long", service=f"big{size}", timet=when)
        site.write(f"service-perfdata.{size}", ledger.text(1) + line + ledger.text(1))
    site.wait_until_empty(120)
    assert site.peak_memory() < LIMIT
    ledger.check_readable(graphite)
    assert site.rejects() == ""
    site.stop()


def test_a_line_of_100_mb_without_an_end_is_rejected_in_bounded_memory(site: Site, graphite: GraphiteWeb) -> None:
    ledger = Ledger("endless")
    piece = b"x=1 " * 250_000
    with (site.spool / ".endless").open("wb") as file:
        file.write(ledger.text(1).encode() + b"DATATYPE::SERVICEPERFDATA\tSERVICEPERFDATA::")
        for _ in range(count(30, 100)):
            file.write(piece)
        file.write(b"\n" + ledger.text(1).encode())
    (site.spool / ".endless").rename(site.spool / "service-perfdata.endless")
    site.start()
    site.wait_until_empty(120)
    assert site.peak_memory() < LIMIT
    ledger.check_readable(graphite)
    assert "service-perfdata.endless:11\t" in site.rejects()
    site.stop()


def test_very_many_files_at_once(site: Site, graphite: GraphiteWeb) -> None:
    # Graphios #88: 1.2 million files wait; which are the oldest must not cost memory for each.
    files = count(3000, 100_000)
    ledger = Ledger("many")
    when = recent()
    line = service_line("x=1", host="many-files", service="same", timet=when)
    for number in range(files):
        (site.spool / f"service-perfdata.{number:06}").write_text(line, encoding="ascii")
    site.write("service-perfdata.new", ledger.text(2))
    site.start()
    site.wait_until_empty(900)
    assert site.peak_memory() < LIMIT
    ledger.check_readable(graphite)
    assert graphite.latest("many-files.*.*") == {"many-files.same.x": 1.0}
    assert site.status()["rejected"]["total"] == 0
    site.stop()


def foreign(spool: Path) -> dict[str, object]:
    """Puts what is not perfdata into the spool, also under names like perfdata's; what there is, by name."""
    (spool / "README").write_text("ours\n", encoding="ascii")
    (spool / "core").write_bytes(bytes(range(256)) * 100)
    (spool / "service-perfdata").write_text("the file that Nagios writes to\n", encoding="ascii")
    (spool / ".service-perfdata.5").write_text("being written\n", encoding="ascii")
    (spool / "service-perfdata.1-dangling").symlink_to("/nowhere/at/all")
    (spool / "service-perfdata.2-link").symlink_to(spool / "README")
    (spool / "service-perfdata.3-loop").symlink_to(spool / "service-perfdata.3-loop")
    (spool / "service-perfdata.4-directory").mkdir()
    (spool / "service-perfdata.4-directory" / "file").write_text("x\n", encoding="ascii")
    os.mkfifo(spool / "service-perfdata.5-fifo")
    folder = os.open(spool, os.O_RDONLY)  # the path of a socket may have 107 bytes only
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{folder}/service-perfdata.6-socket")
    os.close(folder)
    if os.geteuid() == 0:
        os.mknod(spool / "service-perfdata.7-device", 0o600 | 0o20000, os.makedev(1, 5))
    return state(spool)


def state(spool: Path) -> dict[str, object]:
    """Kind and content of everything in a directory."""
    found: dict[str, object] = {}
    for path in sorted(spool.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path.relative_to(spool))] = (status.st_mode, status.st_ino, status.st_mtime_ns, content)
    return found


def test_what_is_not_perfdata_stays_untouched(site: Site, graphite: GraphiteWeb) -> None:
    # Graphios 2 deleted README and core, and a dangling link ended it.
    ledger = Ledger("foreign")
    before = foreign(site.spool)
    site.start()
    for number in range(3):
        path = site.write(f"service-perfdata.{number}", ledger.text(2))
        site.wait(lambda path=path: not path.exists(), "the file to be shipped")  # type: ignore[misc]
    ledger.check_readable(graphite)
    site.stop()
    after = {name: what for name, what in state(site.spool).items() if not name.startswith(".delivered")}
    assert after == before


def test_a_file_that_is_appended_to_after_it_came_into_the_spool(site: Site, graphite: GraphiteWeb) -> None:
    # Graphios 2 lost 2,000 of 3,000 lines: read once, then deleted under the writer.
    ledger = Ledger("growing")
    site.configure({"spool": {"settle_seconds": 5}})
    site.start()
    path = site.write("service-perfdata.grows", ledger.text(20))
    with path.open("ab", buffering=0) as file:
        for _ in range(40):
            data = ledger.text(1).encode()
            middle = random.randint(1, len(data) - 1)
            file.write(data[:middle])
            time.sleep(random.choice([0, 0.01, 0.05]))
            file.write(data[middle:])
            time.sleep(random.choice([0, 0.01]))
    site.wait_until_empty()
    ledger.check_readable(graphite)
    assert site.rejects() == ""
    site.stop()


def test_a_name_that_is_used_again_at_once(site: Site, graphite: GraphiteWeb) -> None:
    # `mv` to a name with a time of one second puts a new file over the old one; what the old one held is gone, the new one must not be skipped.
    ledger = Ledger("reused", moments=400)
    site.start()
    for _ in range(count(15, 400)):
        path = site.write("service-perfdata.same", ledger.text(1))
        site.wait(lambda path=path: not path.exists(), "the file to be shipped")  # type: ignore[misc]
    ledger.check_readable(graphite)
    site.stop()


@pytest.mark.parametrize("naming", ["service", "prefix"])
def test_a_file_cut_at_every_position(site: Site, graphite: GraphiteWeb, naming: str) -> None:
    # Graphios 2 sent rta=1 for 123.456, and 12 points under names of no series.
    host = f"cut-{naming}"
    line = service_line("rta=123.456ms;200;500;0 pl=42%;1;2;0;100", host=host, service="ping", timet=recent())
    if naming == "prefix":
        line = (
            f"DATATYPE::SERVICEPERFDATA\tTIMET::{recent()}\tHOSTNAME::{host}\tSERVICEDESC::ping\t"
            "SERVICEPERFDATA::rta=123.456ms;200;500;0 pl=42%;1;2;0;100\tSERVICECHECKCOMMAND::check_ping\t"
            f"GRAPHITEPREFIX::{host}\tGRAPHITEPOSTFIX::network\n"
        )
    site.configure({"spool": {"settle_seconds": 0}})
    for end in range(1, len(line)):
        site.write(f"service-perfdata.{end:04}", line[:end], age=30)
    site.write("service-perfdata.whole", service_line("x=1", host=host, service="end", timet=recent()))
    site.start()
    site.wait_until_empty()
    graphite.wait_for(f"{host}.end.x")
    site.stop()
    assert graphite.latest(f"{host}.*.*") == {f"{host}.end.x": 1.0}
    assert graphite.latest(f"{host}.*") == {}
    assert graphite.latest(f"{host}.{host}.*.*") == {}
    assert site.status()["rejected"]["total"] == len(line) - 1
    assert len([row for row in site.rejects().splitlines() if "cut" in row]) == len(line) - 1


def test_a_half_written_file_waits_and_is_shipped_whole_when_it_is_complete(site: Site, graphite: GraphiteWeb) -> None:
    ledger = Ledger("half")
    site.configure({"spool": {"settle_seconds": 30}})
    site.start()
    text = ledger.text(10)
    half = site.write("service-perfdata.0-half", text[:-100])
    other = site.write("service-perfdata.1", ledger.text(1))
    site.wait(lambda: not other.exists(), "the other file to be shipped")
    assert half.exists()
    with half.open("a", encoding="ascii") as file:
        file.write(text[-100:])
    site.wait_until_empty(20)
    ledger.check_readable(graphite)
    assert site.rejects() == ""
    site.stop()


def test_files_that_come_by_a_slow_copy_from_another_file_system(site: Site, graphite: GraphiteWeb) -> None:
    # `mv` across file systems is a copy under the final name.
    ledger = Ledger("copied")
    site.configure({"spool": {"settle_seconds": 30}})
    site.start()
    for number in range(5):
        data = ledger.text(4).encode()
        with (site.spool / f"service-perfdata.{number}").open("wb", buffering=0) as file:
            for start in range(0, len(data), 700):
                file.write(data[start : start + 700])
                time.sleep(0.01)
    site.wait_until_empty(25)
    ledger.check_readable(graphite)
    assert site.rejects() == ""
    site.stop()


def test_a_second_graphios_on_the_same_spool_says_who_is_in_the_way(make_site: MakeSite, graphite: GraphiteWeb) -> None:
    # nagflux #39: two shippers on one spool, each deletes.
    ledger = Ledger("twins")
    first, second = make_site(), make_site()
    first.start()
    first.wait(first.running_status, "the first graphios to run")
    second.configure({"spool": {"directory": first.spool}})
    for _ in range(3):
        done = second.once()
        assert done.returncode == 3
        assert str(first.spool) in done.stderr
        assert first.process
        assert str(first.process.pid) in done.stderr or "another graphios" in done.stderr
    first.write("service-perfdata.1", ledger.text(5))
    first.wait_until_empty()
    ledger.check_readable(graphite)
    first.stop()
    second.write("service-perfdata.1", ledger.text(5), spool=first.spool)
    assert second.once().returncode == 0
    ledger.check_readable(graphite)


def test_two_graphios_whose_spools_overlap_in_one(make_site: MakeSite, graphite: GraphiteWeb) -> None:
    ledger = Ledger("overlap")
    first, second = make_site(), make_site()
    shared = first.root / "shared"
    shared.mkdir()
    link = second.root / "link"
    link.symlink_to(shared)
    first.configure({"spool:shared": {"directory": shared}})
    second.configure({"spool:shared": {"directory": link}})
    first.start()
    first.wait(first.running_status, "the first graphios to run")
    done = second.once()
    assert done.returncode == 3
    assert "another graphios" in done.stderr
    first.write("service-perfdata.1", ledger.text(5), spool=shared)
    first.write("service-perfdata.1", ledger.text(5))
    first.wait(lambda: first.empty() and not list(shared.glob("service*")), "both spools to be worked off")
    ledger.check_readable(graphite)
    first.stop()


def test_two_graphios_with_one_state_directory(make_site: MakeSite) -> None:
    first, second = make_site(), make_site()
    first.start()
    first.wait(first.running_status, "the first graphios to run")
    second.configure({"state": {"directory": first.state}})
    done = second.once()
    assert done.returncode == 3
    assert str(first.state) in done.stderr
    first.stop()


def test_two_started_at_once_again_and_again(make_site: MakeSite, proxy: Proxy, graphite: GraphiteWeb) -> None:
    ledger = Ledger("race", moments=200)
    first, second = make_site(port=proxy.port), make_site(port=proxy.port)
    second.configure({"spool": {"directory": first.spool}})
    for number in range(count(4, 50)):
        first.write(f"service-perfdata.{number}", ledger.text(4))
        running = [
            subprocess.Popen(one.command("--once"), env=one.env, stderr=subprocess.DEVNULL) for one in (first, second)
        ]
        codes = sorted(process.wait(60) for process in running)
        assert codes[0] == 0
        assert codes[1] in (0, 3)
    assert first.empty()
    lines = proxy.lines()
    assert len(lines) == len(set(lines)) == len(ledger)
    ledger.check_readable(graphite)


def test_ctrl_c_while_a_long_file_is_parsed(site: Site, graphite: GraphiteWeb) -> None:
    # Graphios 2 once ignored it for 10 minutes.
    ledger = Ledger("ctrlc", moments=400)
    site.configure({"carbon": {"batch_bytes": 5000}})
    for number in range(4):
        site.write(f"service-perfdata.{number}", ledger.text(100))
    site.start()
    site.wait(lambda: site.running_status() or len(site.waiting()) < 4, "graphios to work")
    began = time.monotonic()
    assert site.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 5
    site.start()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()
