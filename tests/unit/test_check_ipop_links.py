"""check_ipop_links on a statistics directory, on readings of every source, and from one run to the next."""

import json
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checks import counters
from checks.check_ipop_links import CHECK
from checks.ipop import asking
from checks.ipop.records import AGE_WRAP, Link, Pair, Reading
from tests import soak
from tests.ipop import overlay
from tests.ipop.tincan import Tincan, pair, peer
from tests.unit.clock import Clock

RECORDED = Path(__file__).parent / "data" / "check_ipop_links"
EPOCH = 1_790_000_000.0
FIRST, SECOND = "172.31.0.101", "172.31.0.102"


@pytest.fixture(autouse=True)
def clock(tmp_path, monkeypatch):
    """Time that a test sets: of the wall, of the files and of the counters."""
    clock = Clock()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(time, "clock_gettime", clock)
    monkeypatch.setattr(time, "time", lambda: EPOCH + clock.now)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(counters, "_boot_id", lambda: "boot-1")
    return clock


class Stats:
    """A statistics directory as a controller writes it, and the check on it."""

    def __init__(self, directory, clock):
        self.directory, self.clock = directory, clock
        directory.mkdir(exist_ok=True)

    def write(self, *peers):
        """Write the list and the files of these peers, as they are now."""
        self.put("peer_list_ganglia.json", [one["ip4"] for one in peers])
        for one in peers:
            self.put(f"{one['ip4']}_ganglia_data.json", one)

    def put(self, name, document):
        (self.directory / name).write_text(json.dumps(document))
        self.touch(name)

    def touch(self, name, ago=0.0):
        then = EPOCH + self.clock.now - ago
        os.utime(self.directory / name, (then, then))

    def run(self, *argv):
        return run("--stats-dir", str(self.directory), *argv)

    def later(self, seconds, *peers, argv=()):
        """What a regular run finds after these seconds, in which the controller wrote these peers."""
        self.clock.now += seconds
        self.write(*peers)
        return self.run("--save-state", *argv)


@pytest.fixture
def stats(tmp_path, clock):
    return Stats(tmp_path / "stats", clock)


def run(*argv):
    outcome = CHECK.run(argv)
    assert "internal error" not in outcome.text
    return outcome.code, outcome.text


def values(text):
    """The perfdata, as numbers by label."""
    items = text.split("\n", 1)[0].partition(" | ")[2].split()
    return {
        label: float(re.match("-?[0-9.]+", value)[0]) for label, _, value in (item.partition("=") for item in items)
    }


def up(received=2000, sent=1000, *, number=1, age=120, **more):
    return peer(number, [pair(received, sent)], last_time=age, **more)


@pytest.fixture
def reading(monkeypatch):
    """Lets the source be any reading."""

    def be(*links, source="a source", bits=64, **fields):
        monkeypatch.setattr(asking, "read", lambda _: Reading(source, links, bits, **fields))

    return be


ANY = ("--controller-json", "x", "--max-output", "100000")


# What it shows


def test_ok_links_of_a_statistics_directory(stats):
    stats.write(up(), peer(2, online=False))
    code, text = stats.run()
    assert code == 0
    first, note = text.splitlines()
    assert first.startswith(
        "IPOP_LINKS OK - 1 of 2 links active, 1 stun | links.active=1 links.listed=2 links.offline_percent=50% "
    )
    assert note == "no rates: first run; --save-state keeps counters for the next"
    for item in (
        "source.age=0s;;60",
        "172_31_0_101.status=1",
        "172_31_0_102.status=0",
        "172_31_0_101.age=120s",
        "172_31_0_102.xmpp_time=30s",
        "172_31_0_101.rtt=0.023s",
        "172_31_0_101.connection=2",
        "172_31_0_101.recv_total_bytes=2000c",
        "172_31_0_101.sent_total_bytes=1000c",
    ):
        assert item in first.split()
    assert "bytes_second" not in first
    assert "172_31_0_102.age" not in first


def test_the_second_run_shows_rates(stats):
    stats.later(0, up())
    code, text = stats.later(60, up(2600, 1030, age=180))
    assert code == 0
    assert len(text.splitlines()) == 1
    found = values(text)
    assert (found["172_31_0_101.recv_bytes_second"], found["172_31_0_101.sent_bytes_second"]) == (10, 0.5)
    assert found["links.remade"] == 0


def test_verbose_tells_of_the_source_and_each_link_offline_ones_first(stats):
    stats.later(0, up(), peer(2, online=False))
    _, text = stats.later(60, up(3_002_000, age=180), peer(2, online=False), argv=["-v"])
    assert text.splitlines()[1:] == [
        f"IPOP 14 statistics in {stats.directory}, written 0 s ago",
        "172.31.0.102: not active (offline), XMPP 30 s ago, also fd50:dbc:41f2:4a3c:0:0:1:2, " + f"{2:040x}",
        "172.31.0.101: active (online), stun, up for 3 min, 48.8 KiB/s in, 0 B/s out, round trip 23 ms, XMPP 30 s ago, "
        "also fd50:dbc:41f2:4a3c:0:0:1:1, " + f"{1:040x}",
    ]


def test_a_run_by_hand_leaves_the_counters_as_they_are(stats):
    stats.later(0, up())
    stats.clock.now += 30
    stats.write(up(2300))
    assert values(stats.run()[1])["172_31_0_101.recv_bytes_second"] == 10
    assert values(stats.later(30, up(2600))[1])["172_31_0_101.recv_bytes_second"] == 10


def test_no_links_at_all(stats):
    stats.write()
    assert stats.run() == (
        0,
        "IPOP_LINKS OK - no links listed | links.active=0 links.listed=0 links.local=0 links.stun=0 links.relay=0 source.age=0s;;60\n",
    )
    assert stats.run("-c", "1:")[0] == 2


@pytest.mark.parametrize(
    ("name", "source", "active", "listed"),
    [
        ("ipop-20.json", "IPOP 20", 1, 2),
        ("evio.json", "EdgeVPN 24", 1, 1),
        ("visualizer.json", "visualizer", 2, 3),
    ],
)
def test_documents_of_controllers_and_visualizer(name, source, active, listed, tmp_path):
    document = tmp_path / name
    document.write_bytes((RECORDED / name).read_bytes())
    os.utime(document, (EPOCH, EPOCH))
    code, text = run("--controller-json", str(document), "--stale-critical=", "-v", "--max-output", "20000")
    assert code in (0, 1)
    assert source in text
    assert values(text)["links.listed"] >= listed
    assert values(text)["links.active"] >= active


@pytest.mark.parametrize(
    ("old", "options", "code"),
    [
        (290, [], 0),
        (310, [], 1),
        (310, ["--stale-critical="], 0),
        (86400, ["--stale-critical=", "--stale-warning=9"], 1),
    ],
)
def test_warn_a_fresh_file_with_what_a_collector_wrote_long_ago(old, options, code, tmp_path, clock):
    path, now = tmp_path / "overlay.json", EPOCH + clock.now
    path.write_text(json.dumps(overlay.visualizer(4, created=0, moment=now - old)))
    os.utime(path, (now, now))
    found, text = run("--controller-json", str(path), *options)
    assert found == code
    assert ("its collector wrote this document" in text) == bool(code)
    assert values(text)["links.active"] == 4


def test_links_of_an_overlay_are_those_of_its_nodes():
    links = [Link(f"{o}/{n}/{p}", p, True, "up", node=n, overlay=o) for o, n, p in ("oab", "oba", "pab")]
    assert names(links) == {"o-a-b", "o-b-a", "p-a-b"}
    assert names(links, "--overlay", "o") == {"a-b", "b-a"}
    assert names(links, "--overlay", "o", "--node", "b") == {"a"}
    assert names(links[:1], node="a") == {"b"}


def test_labels_do_not_change_with_what_an_overlay_has_just_now():
    links = [Link("o/a/b", "b", True, "up", overlay="o"), Link("p/a/b", "b", True, "up", overlay="p")]
    assert names(links, node="a") == {"o-b", "p-b"}
    assert names(links[:1], node="a", overlays=("o", "p")) == {"o-b"}
    assert names(links[:1], "--overlay", "o", node="a", overlays=("o", "p")) == {"b"}
    assert names(links[:1], "--overlay", "p", node="a", overlays=("o", "p")) == set()


def test_a_node_is_chosen_by_its_name_or_id():
    links = [Link(f"o/{n}/c", "c", True, "up", node=f"node-{n}", node_id=n * 8) for n in "ab"]
    for name in ("node-a", "aaaaaaaa"):
        assert names(links, "--node", name) == {"c"}
        assert names([links[0]._replace(node="")], "--node", name, node="node-a") == {"c"}


def names(links, *argv, **fields):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "read", lambda _: Reading("a source", tuple(links), 64, **fields))
        return {label[:-7] for label in values(run(*ANY, *argv)[1]) if label.endswith(".status")}


def test_unknown_an_overlay_or_node_that_is_not_there(reading):
    reading(Link("o/a/b", "b", True, "up", node="a", overlay="o"), source="the visualizer")
    assert run(*ANY, "--overlay", "q|") == (
        3,
        "IPOP_LINKS UNKNOWN - no link of overlay q? in the visualizer; there: o\n",
    )
    assert run(*ANY, "--node", "b") == (3, "IPOP_LINKS UNKNOWN - no link of node b in the visualizer; there: a\n")


def test_traffic_of_a_network_device_where_the_document_has_none(reading, clock, tmp_path):
    device = tmp_path / "class" / "net" / "tnl-1"

    def count(received, ifindex=7):
        (device / "statistics").mkdir(parents=True, exist_ok=True)
        (device / "statistics" / "rx_bytes").write_text(f"{received}\n")
        (device / "statistics" / "tx_bytes").write_text("5\n")
        (device / "ifindex").write_text(f"{ifindex}\n")
        moment = EPOCH + clock.now - 20
        reading(Link("b", "b", True, "up", tap="tnl-1", age=clock.now, sampled=moment), changed=moment, node="a")
        return run(*ANY, "--sysfs", str(tmp_path), "--save-state", "--remade-warning", "0")

    assert values(count(10**9)[1])["b.recv_total_bytes"] == 10**9
    clock.now += 30
    code, text = count(10**9 + 600)
    assert (code, values(text)["b.recv_bytes_second"], values(text)["b.sent_bytes_second"]) == (0, 20, 0)
    clock.now += 30
    assert values(count(300, ifindex=8)[1])["b.recv_bytes_second"] == 10, "a new device has counted since it was made"
    (device / "ifindex").unlink()
    clock.now += 30
    assert (
        "no rate of b: bytes not reported, and there are no counters of a network device"
        in run(*ANY, "--sysfs", str(tmp_path))[1]
    )


# What it alerts on


def test_crit_a_stale_source_keeps_no_link_on(stats):
    stats.later(0, up())
    stats.clock.now += 3600
    code, text = stats.run("-c", "1:", "--require", FIRST, "--save-state", "-v")
    assert code == 2
    first, *rest = text.splitlines()
    assert first.startswith(
        f"IPOP_LINKS CRITICAL - IPOP 14 statistics in {stats.directory}: not written for 60 min (> 60 s): is its controller"
    )
    assert "CRITICAL: active links 0 (< 1)" in rest
    assert f"CRITICAL: required peer {FIRST} is not known to be up: the source is stale" in rest
    assert any(line.startswith(f"{FIRST}: not known any more (online)") for line in rest)
    found = values(text)
    assert found["172_31_0_101.status"] == 0
    assert not [label for label in found if label.startswith("172") and not label.endswith("status")], "old figures"


@pytest.mark.parametrize(
    ("argv", "code", "active"),
    [
        ([], 2, 0),
        (["--stale-critical=", "--stale-warning", "60"], 1, 0),
        (["--stale-critical", "300", "--stale-warning", "60"], 1, 1),
        (["--stale-critical="], 0, 1),
        (["--stale-critical", "300"], 0, 1),
    ],
)
def test_how_old_is_stale_is_a_choice(stats, argv, code, active):
    stats.write(up())
    stats.clock.now += 90
    found, text = stats.run(*argv)
    assert (found, values(text)["links.active"]) == (code, active)


def test_unknown_a_source_of_the_future_keeps_no_link_on(stats):
    stats.write(up())
    for name in ("peer_list_ganglia.json", f"{FIRST}_ganglia_data.json"):
        stats.touch(name, ago=-3600)
    code, text = stats.run("--save-state")
    assert code == 3
    assert "is dated 60 min in the future, so no link counts as active: set the clocks; 0 of 1 links active" in text
    assert stats.run("-c", "1:")[0] == 2


def test_one_file_of_the_future_hides_no_dead_controller(stats):
    stats.write(up(), up(number=2))
    stats.touch("peer_list_ganglia.json", ago=-3600)
    assert stats.run()[0] == 0
    stats.touch(f"{SECOND}_ganglia_data.json", ago=-3600)
    code, text = stats.run()
    assert code == 1
    assert f"{SECOND}: its data are dated 60 min in the future; 1 of 2 links active" in text
    stats.clock.now += 90
    code, text = stats.run()
    assert code == 2
    assert "not written for 90 s (> 60 s)" in text


def test_warn_a_listed_peer_without_data_by_name(stats):
    stats.write(up(), up(number=2))
    (stats.directory / f"{SECOND}_ganglia_data.json").unlink()
    code, text = stats.run()
    assert code == 1
    assert text.startswith(f"IPOP_LINKS WARNING - {SECOND}: listed, but its file ")
    assert "; 1 of 2 links active" in text
    assert "172_31_0_102.status" not in values(text)  # nobody knows
    assert stats.run("--no-data-severity", "critical")[0] == 2
    assert stats.run("--no-data-severity", "ok")[0] == 0


def test_warn_one_stale_peer_costs_that_peer(stats):
    stats.write(up(), up(number=2))
    stats.touch(f"{SECOND}_ganglia_data.json", ago=300)
    code, text = stats.run()
    assert code == 1
    assert text.startswith(
        f"IPOP_LINKS WARNING - {SECOND}: its data are 5 min old, while others are fresh; 1 of 2 links active"
    )


def test_a_document_is_fresh_by_its_own_time_whenever_its_links_were_counted(reading, clock):
    now = EPOCH + clock.now
    reading(Link("b", "b", True, "up", sampled=now - 3600), changed=now)
    assert run(*ANY)[1].startswith("IPOP_LINKS OK - 1 of 1 links active")


@pytest.mark.parametrize("name", [FIRST, "172_31_0_101", "fd50:dbc:41f2:4a3c:0:0:1:1", f"{1:040x}"])
def test_a_required_peer_by_any_of_its_names(stats, name):
    stats.write(up())
    assert stats.run("--require", name)[0] == 0
    stats.write(peer(1, online=False))
    code, text = stats.run("--require", name)
    assert code == 2
    assert text.startswith(f"IPOP_LINKS CRITICAL - required peer {name} is not active: offline; 0 of 1 links active")


def test_crit_a_required_peer_that_is_not_listed_or_has_no_data(stats):
    stats.write(up())
    assert stats.run("--require", "172.31.0.1")[1].startswith(
        "IPOP_LINKS CRITICAL - required peer 172.31.0.1 is not listed; 1 of 1"
    )
    (stats.directory / f"{FIRST}_ganglia_data.json").write_text("{")
    code, text = stats.run("--require", FIRST)
    assert code == 2
    assert f"required peer {FIRST} is without data: " in text


def test_a_required_peer_of_an_overlay_is_up_where_one_link_to_it_is(reading):
    links = [Link(f"{n}/c", "c", active, "up", node=n) for n, active in (("a", False), ("b", True))]
    reading(*links)
    assert run(*ANY, "--require", "c")[0] == 0
    assert run(*ANY, "--require", "b-c")[0] == 0
    assert run(*ANY, "--require", "a-c")[0] == 2


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["-w", "2:"], 0, ""),
        (["-w", "3:"], 1, "active links 2 (< 3)"),
        (["-c", "3:"], 2, "active links 2 (< 3)"),
        (["--offline-warning", "34"], 0, ""),
        (["--offline-warning", "33"], 1, "links offline 33.33 % (> 33)"),
        (["--offline-critical", "30"], 2, "links offline 33.33 % (> 30)"),
        (["--xmpp-warning", "30"], 0, ""),
        (["--xmpp-critical", "29"], 2, "172.31.0.101 not heard of over XMPP for 30 s (> 29 s)"),
        (["--xmpp-warning", r"172\.31\.0\.103=29"], 1, "172.31.0.103 not heard of over XMPP for 30 s (> 29 s)"),
        (["--age-warning", "120:"], 0, ""),
        (["--age-warning", "300:"], 1, "172.31.0.101 is up for 2 min (< 5 min)"),
        (["--age-critical", r".*\.102=300:"], 2, "172.31.0.102 is up for 2 min (< 5 min)"),
        (["--age-critical", r".*\.103=300:"], 0, ""),
        (["--direct", "10.*"], 0, ""),
        (["--direct", r"172\..*"], 1, "172.31.0.102 is reached through a relay, not directly"),
        (["--direct", "0*2"], 1, "172.31.0.102 is reached through a relay, not directly"),
    ],
)
def test_limits_of_links(stats, argv, code, said):
    stats.write(up(), peer(2, [pair(rem_type="relay")]), peer(3, online=False))
    found, text = stats.run(*argv)
    assert found == code
    assert said in text


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["--xmpp-warning", "120"], "XMPP times: --xmpp-*"),
        (["--age-critical", "c=300:"], "ages of links: --age-*"),
        (["--direct", ".*"], "how links run: --direct"),
    ],
)
def test_unknown_a_limit_that_could_never_alert(reading, argv, what):
    link = Link("b", "b", True, "up", age=1.0, xmpp_age=2.0, connection="stun")
    reading(link._replace(age=None, xmpp_age=None, connection=""))
    assert run(*ANY, *argv)[0] == 3
    assert f"a source does not tell {what} judges nothing" in run(*ANY, *argv)[1]
    reading(link)
    assert run(*ANY, *argv)[0] == 0
    reading(link._replace(active=False, age=None, connection=""))
    assert run(*ANY, *argv)[0] == 0


def test_limits_stand_in_the_perfdata_of_what_they_judge(stats):
    stats.later(0, up())
    limits = [
        "-w",
        "2:",
        "-c",
        "1:",
        "--offline-warning",
        "50",
        "--age-warning",
        "60:",
        "--xmpp-critical",
        r"172\..*=120",
    ]
    _, text = stats.later(60, up(), argv=[*limits, "--remade-warning", "0"])
    for item in (
        "links.active=1;2:;1:",
        "links.offline_percent=0%;50",
        "links.remade=0;0",
        "172_31_0_101.age=120s;60:",
    ):
        assert item in text.split()
    assert "172_31_0_101.xmpp_time=30s;;120" in text.split()


def test_what_the_source_says_of_itself_is_a_warning(reading):
    reading(Link("b", "b", True, "up"), troubles=("2 datagrams were | lost",))
    assert run(*ANY)[:1] == (1,)
    assert "WARNING - 2 datagrams were ? lost" in run(*ANY)[1]


# From one run to the next


def test_warn_links_made_anew_since_the_last_run(stats):
    stats.write(up())
    assert "no rates, nor links made anew: first run" in stats.run("--remade-warning", "0")[1]
    stats.later(0, up(), up(number=2))
    code, text = stats.later(60, up(500, age=10), up(number=2, age=180), argv=["--remade-warning", "0"])
    assert code == 1
    assert text.startswith(
        f"IPOP_LINKS WARNING - links made anew since the last run ({FIRST}): 1 (> 0); 2 of 2 links active"
    )
    assert f"no rate of {FIRST}: made anew since the last run" in text
    assert "172_31_0_101.recv_bytes_second" not in values(text)
    assert values(text)["172_31_0_102.recv_bytes_second"] == 0
    code, text = stats.later(60, up(1100, age=70), up(number=2, age=240), argv=["--remade-warning", "0"])
    assert (code, values(text)["172_31_0_101.recv_bytes_second"]) == (0, 10)


def test_a_peer_that_goes_and_comes_back_gives_no_spike_and_it_is_said(stats):
    stats.later(0, up(10**9))
    assert "recv_bytes_second" not in stats.later(60, peer(1, online=False))[1]
    _, text = stats.later(60, up(2 * 10**9))
    assert "recv_bytes_second" not in text
    assert f"no rate of {FIRST}: not active at the last run" in text
    stats.later(60)
    assert f"no rate of {FIRST}: not listed at the last run" in stats.later(60, up(3 * 10**9))[1]
    assert values(stats.later(60, up(3 * 10**9 + 60))[1])["172_31_0_101.recv_bytes_second"] == 1


def test_counters_that_wrap_and_counters_that_begin_anew(stats):
    stats.later(0, up(2**32 - 300, age=1000))
    assert values(stats.later(60, up(300, age=1060))[1])["172_31_0_101.recv_bytes_second"] == 10
    stats.later(60, up(10**9, age=1120))
    _, text = stats.later(60, up(10**6, age=1180))
    assert f"no rate of {FIRST}: counters began anew" in text
    assert "recv_bytes_second" not in text


def test_an_age_that_wraps_is_no_alarm_and_no_link_made_anew(stats):
    limits = ["--age-critical", "300:", "--remade-critical", "0"]
    assert stats.later(0, up(age=AGE_WRAP - 30), argv=limits)[0] == 0
    for age in (30, 90, 150):
        code, text = stats.later(60, up(age=age), argv=limits)
        assert (code, values(text)["172_31_0_101.age"]) == (0, AGE_WRAP + age)


def test_a_file_that_was_not_written_again_gives_no_rate_and_says_so(stats):
    stats.later(0, up(age=10))
    stats.clock.now += 30
    code, text = stats.run("--save-state", "--remade-critical", "0")
    assert code == 0
    assert f"no rate of {FIRST}: not written again since the last run" in text
    assert values(stats.later(30, up(2600, age=70))[1])["172_31_0_101.recv_bytes_second"] == 10


def test_a_reboot_is_a_first_run(stats, monkeypatch):
    stats.later(0, up())
    monkeypatch.setattr(counters, "_boot_id", lambda: "boot-2")
    assert "no rates: first run since this machine booted" in stats.later(60, up(10**9))[1]


STATE = st.fixed_dictionaries(
    {"status": st.sampled_from(["online", "offline", "x", None])},
    optional={
        "last_time": st.integers(-1, AGE_WRAP) | st.none() | st.floats(),
        "xmpp_time": st.integers(-1, AGE_WRAP) | st.text(max_size=3),
        "stats": st.lists(
            st.builds(
                pair,
                st.integers(-1, 2**32) | st.sampled_from([0, 2**32 - 1, None, "7", True, 1e300]),
                st.integers(0, 2**32 - 1),
                port=st.integers(1, 3),
            ),
            max_size=3,
        ),
    },
)


@pytest.mark.slow
@settings(max_examples=soak.count(30, 1000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0.5, 10**5), STATE | st.none()), min_size=2, max_size=4))
def test_any_sequence_of_files_gives_no_negative_figure_and_no_rate_above_what_they_allow(stats, steps):
    old = None
    stats.later(1)  # what another example left is forgotten
    for seconds, state in steps:
        if state is None:
            stats.later(seconds)
            old = None
            continue
        _, text = stats.later(seconds, {"ip4": FIRST, **state}, argv=["--max-output", "9999"])
        found = values(text)
        assert min(found.values()) >= 0
        rate = found.get("172_31_0_101.recv_bytes_second")
        if rate is not None:
            assert old
            assert old["status"] == state["status"] == "online"
            before = {entry["rem_addr"]: entry["recv_total_bytes"] for entry in old["stats"]}
            gained = 0
            for entry in state["stats"]:
                was, now = before.get(entry["rem_addr"], 0), entry["recv_total_bytes"]
                gained += now - was + (2**32 if now < was else 0)
            assert rate <= gained / seconds + 0.006
        old = state


# Sources that fail, and mistakes


@pytest.mark.slow
def test_the_state_of_a_running_tincan():
    with Tincan() as tincan:
        code, text = run("--tincan", f"[::1]:{tincan.port}", "-v")
        assert code == 0
        assert text.startswith("IPOP_LINKS OK - 1 of 2 links active, 1 stun | ")
        assert f"tincan 14 to 16 at [::1]:{tincan.port}" in text
        assert "source.age" not in text


def test_crit_nothing_listens():
    code, text = run("--tincan", "127.0.0.1:1", "-t", "2")
    assert (code, text) == (2, "IPOP_LINKS CRITICAL - tincan 127.0.0.1:1: nothing listens there: is IPOP running?\n")
    code, text = run("--controller-json", "http://127.0.0.1:1/", "-t", "2")
    assert code == 2
    assert text.startswith("IPOP_LINKS CRITICAL - nothing listens at 127.0.0.1:1: ")


def test_a_tincan_that_could_be_newer_is_never_sent_anything():
    with Tincan() as tincan:
        for argv in (["--tincan-version", "16.08"], ["--tincan-version", "v20"]):
            code, text = run("--tincan", f"127.0.0.1:{tincan.port}", *argv)
            assert code == 3
            assert "newer than 16" in text
            assert "read its controller's document with --controller-json" in text
        code, text = run("--tincan", "192.0.2.1:5800", "-t", "2")
        assert code == 3
        assert "--tincan-version" in text
        assert tincan.told == 0


@pytest.mark.parametrize("argv", [["--stats-dir", "/nonexistent"], ["--controller-json", "/nonexistent"]])
def test_unknown_a_source_that_is_not_there(argv):
    code, text = run(*argv)
    assert code == 3
    assert "/nonexistent" in text


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--stats-dir", "x", "--tincan", "127.0.0.1"],
        ["--controller-json", "x", "--tincan", "127.0.0.1", "--stats-dir", "x"],
    ],
)
def test_unknown_anything_but_one_source_names_the_three(argv):
    code, text = run(*argv)
    assert code == 3
    for option in ("--stats-dir", "--tincan", "--controller-json"):
        assert option in text


@pytest.mark.parametrize(
    "argv",
    [
        ["--stats-dir", ""],
        ["--controller-json", ""],
        ["--controller-json", "ftp://x/"],
        ["--controller-json", "http://u:p@x/"],
        ["--tincan", "127.0.0.1", "--tincan-version", "sixteen"],
        ["--tincan", "127.0.0.1:0"],
        ["--stats-dir", "x", "--direct", "("],
        ["--stats-dir", "x", "--stale-critical", "soon"],
        ["--stats-dir", "x", "--require"],
    ],
)
def test_unknown_mistakes_are_told_in_one_line(argv):
    code, text = run(*argv)
    assert code == 3
    assert text.count("\n") == 1
    assert "--help)" in text


def test_unknown_a_version_of_no_tincan():
    assert run("--stats-dir", "x", "--tincan-version", "16") == (
        3,
        "IPOP_LINKS UNKNOWN - --tincan-version needs --tincan\n",
    )


# Hostile and large sources


def test_nothing_a_source_says_reaches_the_output_uncleaned(reading):
    nasty = "a|b\n<script>\x1b[31m\u202e\ud800"
    best = Pair(nasty, 5, 5, True, 0.1, "relay")
    reading(
        Link(
            nasty, nasty, True, nasty, overlay=nasty, aliases=(nasty,), pairs=(best,), connection="relay", trouble=nasty
        ),
        Link("2" + nasty, nasty, False, nasty, trouble=nasty),
        source="a source",
        troubles=(nasty,),
    )
    code, text = run(*ANY, "-v", "--direct", "(?s).*", "--require", nasty, "--age-warning", "1")
    assert code == 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f<>\u202e\ud800]", text)
    assert text.count("|") == 1
    assert len(values(text)) == len(text.split("\n", 1)[0].partition(" | ")[2].split())


def test_of_many_links_the_essentials_come_first_and_the_rest_is_counted(reading):
    number = 1000
    links = [
        Link(f"k{n}", f"10.0.{n >> 8}.{n & 255}", n > 9, "up", age=9.0, pairs=(Pair("p", n, n),)) for n in range(number)
    ]
    reading(*links)
    code, text = run("--controller-json", "x", "-c", "1:", "--offline-warning", "0.5", "-v")
    assert code == 1
    assert len(text.encode()) <= 4000
    first = text.split("\n", 1)[0]
    assert first.startswith("IPOP_LINKS WARNING - links offline 1 % (> 0.5); 990 of 1000 links active")
    items = first.partition(" | ")[2].split()
    assert items[0] == "links.active=990;;1:"
    assert {item.partition(".")[2][:6] for item in items[3:]} == {"status"}
    everything = 3 + number + 3 * (number - 10)
    assert f"[{len(items)} of {everything} metrics fit]" in first
    assert len(values(run(*ANY, "-c", "1:", "--max-output", "1000000")[1])) == everything
