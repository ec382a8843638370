"""check_zenodotus against the double: each state of Zenodotus, of the advertise service behind it, and of users' names."""

import re
import threading
import time

import pytest

from checks import check_zenodotus
from checks.check_zenodotus import CHECK
from checks.options import UsageError
from checks.seattle import dns
from checks.seattle.advertise import TcpAdvertise
from checks.zenodotus import lookups
from tests.seattle.advertise import AdvertiseServer
from tests.seattle.zenodotus import ZONE, Zenodotus

HELLO = f"hello.{ZONE}"
LATE = 0.15


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Pauses and look-ups in hundredths of the real time; this machine has no other address than 127.0.0.1."""
    monkeypatch.setattr(dns, "PAUSE", 0.02)
    monkeypatch.setattr(dns, "_LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(lookups, "_LEEWAY", 0.02)
    monkeypatch.setattr(lookups, "_LONGEST_LOOKUP", LATE)
    monkeypatch.setattr(lookups, "own_address", lambda: None)


@pytest.fixture
def zenodotus():
    with Zenodotus(settling=0.01, patience=LATE) as double:
        yield double


def run(double, *argv, seconds="5"):
    return CHECK.run(["-H", "127.0.0.1", "-p", str(double.port), "-t", seconds, *argv])


def first(outcome):
    """The first line without title and perfdata."""
    return outcome.text.split("\n", 1)[0].partition(" | ")[0].removeprefix("ZENODOTUS ")


def figures(outcome):
    """The perfdata by label."""
    items = outcome.text.split("\n", 1)[0].partition(" | ")[2].split()
    return {label: float(re.match(r"[0-9.]+", rest)[0]) for label, _, rest in (item.partition("=") for item in items)}


# Exit code, what the double does, options, and the first line (or how it begins): what is wrong, and what to do next.
STATES = {
    "ok-all-answers": (0, {}, [], "OK - zone and the advertise service behind answer in 0.…"),
    "ok-name": (0, {}, ["--name", "hello"], "OK - zone and 1 name answer in 0.…"),
    "ok-full-name-with-dot": (0, {}, ["--name", f"{HELLO}."], "OK - …"),
    "ok-capitals": (0, {}, ["--name", "HELLO"], "OK - …"),
    "ok-expected": (0, {}, ["--name", "hello", "--expect-address", "192.0.2.7"], "OK - …"),
    "ok-one-of-several": (0, {}, ["--name", "multi", "--expect-address", "192.0.2.9"], "OK - …"),
    "ok-each-its-own": (0, {}, ["--name", "hello=192.0.2.7", "--name", "multi=192.0.2.9,192.0.2.8"], "OK - …"),
    "ok-zone-address": (0, {}, ["--expect-address", "127.0.0.1"], "OK - …"),
    "ok-static-name-still-looks-behind": (0, {}, ["--name", "localhost"], "OK - …"),
    "ok-every-second-query-dropped": (0, {"manner": "second"}, ["--name", "hello", "--name", "multi"], "OK - …"),
    "ok-other-zone": (0, {"zone": "names.example.org"}, ["--zone", "Names.example.org."], "OK - …"),
    "warn-slow": (1, {}, ["-w", "0.00001"], "WARNING - answers took 0…"),
    "crit-slow": (2, {}, ["-c", "0.00001"], "CRITICAL - answers took 0…"),
    "crit-silent": (
        2,
        {"manner": "silent"},
        ["-t", "0.1"],
        "CRITICAL - Zenodotus 127.0.0.1:PORT is silent, no answer to N queries in S s: it hangs, restart it (or it works for another "
        "check: more -t tells)",
    ),
    "crit-silent-for-long": (
        2,
        {"manner": "silent"},
        ["-t", "0.4"],
        "CRITICAL - Zenodotus 127.0.0.1:PORT is silent, no answer to N queries in S s: it hangs, restart it",
    ),
    "crit-advertise-down": (
        2,
        {"behind": "down"},
        [],
        "CRITICAL - the advertise service behind Zenodotus 127.0.0.1:PORT is down (SERVFAIL at once): start the advertise server",
    ),
    "crit-advertise-down-with-names": (
        2,
        {"behind": "down"},
        ["--name", "hello", "--name", "multi"],
        "CRITICAL - the advertise service behind Zenodotus 127.0.0.1:PORT is down (SERVFAIL at once): start the advertise server",
    ),
    "crit-advertise-hangs": (
        2,
        {"behind": "hung"},
        [],
        "CRITICAL - the advertise service behind Zenodotus 127.0.0.1:PORT hangs (SERVFAIL after S s): restart the advertise server",
    ),
    "crit-advertise-hangs-and-little-time": (
        2,
        {"behind": "hung", "patience": 9},
        ["-t", "0.14"],
        "CRITICAL - Zenodotus 127.0.0.1:PORT answers for its zone, but no look-up in S s: see first whether the advertise service behind "
        "it hangs (-t 20 tells)",
    ),
    "crit-name-gone": (
        2,
        {},
        ["--name", "gone"],
        f"CRITICAL - gone.{ZONE} is no longer announced (NXDOMAIN): restart what announces it; advertise answers",
    ),
    "crit-name-without-ipv4-address": (2, {"names": {HELLO: ["192.0.2.255"]}}, ["--name", "hello"], f"CRITICAL - {HELLO} is no longer…"),
    "crit-divided-name": (
        2,
        {},
        ["--name", f"node1.groupname.{ZONE}"],
        f"CRITICAL - node1.groupname.{ZONE} is no longer announced (NXDOMAIN): Zenodotus resolves no name with a dot before its last 28 "
        "characters, rename it",
    ),
    "crit-delegated-name": (
        2,
        {"names": {f"NS .{ZONE}": ["ns.example.org"]}},
        ["--name", f"node1.groupname.{ZONE}"],
        f"CRITICAL - node1.groupname.{ZONE} has no address: Zenodotus resolves no name with a dot…",
    ),
    "crit-wrong-address": (
        2,
        {},
        ["--name", "hello=192.0.2.8"],
        f"CRITICAL - {HELLO} is 192.0.2.7, not 192.0.2.8: see who announces that",
    ),
    "crit-one-of-two-missing": (
        2,
        {},
        ["--name", "multi=192.0.2.8", "--expect-address", "192.0.2.1"],
        f"CRITICAL - multi.{ZONE} is 192.0.2.8 and 192.0.2.9, not 192.0.2.1: see who announces that",
    ),
    "crit-zone-address": (
        2,
        {},
        ["--expect-address", "192.0.2.1"],
        f"CRITICAL - {ZONE} is 127.0.0.1, not 192.0.2.1: Zenodotus runs elsewhere, or was started with another address",
    ),
    "crit-zone-address-beside-names": (2, {}, ["--name", f"{ZONE}=192.0.2.1", "--name", "hello"], f"CRITICAL - {ZONE} is 127.0.0.1,…"),
    "crit-other-zone": (
        2,
        {},
        ["--zone", "names.example.org"],
        "CRITICAL - 127.0.0.1:PORT answers for names.example.org with NXDOMAIN: is that its zone (--zone), and is this Zenodotus?",
    ),
    "crit-formerr": (
        2,
        {"manner": "formerr"},
        [],
        f"CRITICAL - 127.0.0.1:PORT answers for {ZONE} with FORMERR: does something change queries on their way?",
    ),
    "crit-wrong-id": (2, {"manner": "wrong id"}, [], "CRITICAL - Zenodotus 127.0.0.1:PORT is broken, restart it or see what else answers…"),
    "crit-cut": (2, {"manner": "cut"}, [], "CRITICAL - Zenodotus 127.0.0.1:PORT is broken, restart it or see what else answers there: answer cut…"),
    "crit-loop": (2, {"manner": "loop"}, [], "CRITICAL - Zenodotus 127.0.0.1:PORT is broken, restart it or see what else answers there: name that…"),
    "crit-100-kilobytes": (2, {"manner": "huge"}, [], "CRITICAL - Zenodotus 127.0.0.1:PORT is broken, restart it or see what else answers…"),
    "warn-too-many-addresses": (
        1,
        {"names": {HELLO: [f"192.0.2.{number}" for number in range(40)]}},
        ["--name", "hello=192.0.2.39"],
        f"WARNING - {HELLO} has 40 addresses, 21 fit into an answer, not 192.0.2.39: see who announces so many",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "double", "argv", "line"), STATES.values(), ids=STATES.keys())
def test_states(code, double, argv, line, monkeypatch):
    if double.get("behind") == "hung":
        monkeypatch.setattr(lookups, "_HANGING", LATE / 2)
    if argv == ["-t", "0.1"]:
        monkeypatch.setattr(lookups, "_LONGEST_LOOKUP", 10)
    with Zenodotus(**{"settling": 0.01, "patience": LATE, **double}) as zenodotus:
        outcome = run(zenodotus, *argv)
    shown = first(outcome).replace(f":{zenodotus.port}", ":PORT")
    shown = re.sub(r"\d+ quer(y|ies) in \d+\.\d s", "N queries in S s", shown)
    shown = re.sub(r"(after|look-up in) \d+\.\d s", r"\1 S s", shown)
    assert outcome.code == code, outcome.text
    assert shown == line or (line.endswith("…") and shown.startswith(line[:-1]))


def test_crit_stopped_then_ok_restarted():
    double = Zenodotus()
    double.stop()
    outcome = run(double)
    assert (outcome.code, first(outcome)) == (
        2,
        f"CRITICAL - Zenodotus is down: nothing listens on UDP 127.0.0.1:{double.port}, start it",
    )
    with Zenodotus(double.port) as restarted:
        assert run(restarted).code == 0


def test_crit_stopped_between_zone_and_look_up(zenodotus, monkeypatch):
    look_up = lookups.Lookups.look_up
    monkeypatch.setattr(lookups.Lookups, "look_up", lambda self, name: zenodotus.stop() or look_up(self, name))
    assert first(run(zenodotus)) == (
        f"CRITICAL - Zenodotus 127.0.0.1:{zenodotus.port} ended during a look-up: start it; its last output says why"
    )


def test_crit_hung_between_zone_and_look_up(zenodotus, monkeypatch):
    look_up = lookups.Lookups.look_up

    def hang(self, name):
        zenodotus.manner = "silent"
        return look_up(self, name)

    monkeypatch.setattr(lookups.Lookups, "look_up", hang)
    monkeypatch.setattr(lookups, "_LONGEST_LOOKUP", -1)
    assert "it hangs, restart it, and see whether the advertise service answers" in first(run(zenodotus, "-t", "0.2"))


def test_unknown_host():
    outcome = CHECK.run(["-H", "nosuch.invalid"])
    assert (outcome.code, outcome.text.count("\n")) == (3, 1)
    assert "nosuch.invalid: no address" in outcome.text


def test_ok_a_single_failure_is_asked_again(zenodotus, monkeypatch):
    reply = zenodotus.reply
    failures = [b"\x85\x82"]

    def once(data):
        return data[:2] + failures.pop() + data[4:] if failures and b"nagios-" in data else reply(data)

    monkeypatch.setattr(zenodotus, "reply", once)
    assert run(zenodotus).code == 0
    assert failures == []


def test_ok_busy_with_another_check_of_the_same_machine(zenodotus, monkeypatch):
    """A look-up of another check hangs, so that all our queries are dropped until it is over."""
    hangs, over = threading.Event(), threading.Event()
    look_up = zenodotus._look_up

    def hang_once(name):
        if not hangs.is_set():
            hangs.set()
            over.wait(5)
        return look_up(name)

    monkeypatch.setattr(zenodotus, "_look_up", hang_once)
    other = threading.Thread(target=run, args=(zenodotus,))
    other.start()
    assert hangs.wait(5)
    dropped = zenodotus.dropped
    found = []
    ours = threading.Thread(target=lambda: found.append(run(zenodotus)))
    ours.start()
    deadline = time.monotonic() + 5
    while zenodotus.dropped < dropped + 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    over.set()
    ours.join()
    other.join()
    assert found[0].code == 0, found[0].text


# Without -H


def test_ok_without_host_this_machines_own_address_is_asked_where_nothing_listens_on_the_first(zenodotus, monkeypatch):
    monkeypatch.setattr(lookups, "LOCAL", "127.0.0.2")
    monkeypatch.setattr(lookups, "own_address", lambda: "127.0.0.1")
    outcome = CHECK.run(["-p", str(zenodotus.port)])
    assert outcome.code == 0, outcome.text
    assert figures(outcome)["unanswered"] >= 3


def test_crit_without_host_both_addresses_are_named(zenodotus, monkeypatch):
    monkeypatch.setattr(lookups, "own_address", lambda: "127.0.0.2")
    zenodotus.stop()
    outcome = CHECK.run(["-p", str(zenodotus.port)])
    assert f"nothing listens on UDP 127.0.0.1:{zenodotus.port} and 127.0.0.2:{zenodotus.port}, start it" in outcome.text


# From registration to answer


@pytest.fixture
def advertise():
    with AdvertiseServer(generation=2) as server:
        yield server


@pytest.fixture
def behind(advertise):
    """A Zenodotus that asks this advertise server."""
    with Zenodotus(advertise=TcpAdvertise("127.0.0.1", advertise.port), settling=0.01, patience=LATE) as double:
        yield double


def test_ok_registered_name_is_found(advertise, behind):
    outcome = run(behind, "--advertise-host", f"127.0.0.1:{advertise.port}")
    assert outcome.code == 0, outcome.text
    assert first(outcome).startswith("OK - zone and a name just announced answer in 0.")
    assert {"time.zone", "time.register", "time.registered", "time.total"} <= set(figures(outcome))
    put = next(request for request in advertise.requests if b"SPUT" in request)
    assert re.search(rb"Snagios-[0-9a-f]{32}\.zenodotus\.poly\.edu10:S192\.0\.2\.14:I9000:", put)


def test_ok_registered_for_as_long_as_asked(advertise, behind):
    assert run(behind, "--advertise-host", f"127.0.0.1:{advertise.port}", "--ttl", "300").code == 0
    assert any(request.endswith(b"4:I3000:") for request in advertise.requests)


def test_ok_registered_name_is_a_new_one_each_time(advertise, behind):
    for _ in range(3):
        run(behind, "--advertise-host", f"127.0.0.1:{advertise.port}")
    names = {re.search(rb"nagios-\w+", request)[0] for request in behind.requests if b"nagios-" in request}
    assert len(names) == 3


def test_ok_a_value_that_an_idle_server_forgot_is_announced_again(advertise, behind, monkeypatch):
    put = TcpAdvertise.put
    puts = []

    def forgetful(self, key, value, ttl, until):
        puts.append(key)
        return put(self, b"elsewhere" if len(puts) == 1 else key, value, ttl, until)

    monkeypatch.setattr(TcpAdvertise, "put", forgetful)
    assert run(behind, "--advertise-host", f"127.0.0.1:{advertise.port}").code == 0
    assert len(puts) == 2


def test_crit_zenodotus_asks_another_server(advertise, zenodotus):
    server = f"127.0.0.1:{advertise.port}"
    assert first(run(zenodotus, "--advertise-host", server)) == (
        f"CRITICAL - Zenodotus does not find a name announced at {server}, which knows it: does it ask another server?"
    )


def test_crit_advertise_server_forgets(advertise, behind):
    advertise.lie = "forgets"
    server = f"127.0.0.1:{advertise.port}"
    assert first(run(behind, "--advertise-host", server)) == (
        f"CRITICAL - advertise server {server} forgets what was just announced: restart it; Zenodotus itself answers"
    )


def test_crit_registered_name_has_another_address(advertise, zenodotus, monkeypatch):
    monkeypatch.setattr(zenodotus, "_look_up", lambda name: ["192.0.2.66"])
    server = f"127.0.0.1:{advertise.port}"
    assert first(run(zenodotus, "--advertise-host", server)) == (
        f"CRITICAL - Zenodotus 127.0.0.1:{zenodotus.port} gives 192.0.2.66 for a name announced as 192.0.2.1 at {server}: restart it"
    )


def test_crit_advertise_server_down_is_told_once_for_both(advertise, behind):
    advertise.stop()
    server = f"127.0.0.1:{advertise.port}"
    outcome = run(behind, "--advertise-host", server, "--name", "hello")
    assert outcome.text.split(" | ")[0] == (
        f"ZENODOTUS CRITICAL - advertise server {server}: connection refused: start it; Zenodotus gets no answers either"
    )
    assert outcome.text.endswith(f"\nwithout an answer: {HELLO}\n")


def test_crit_advertise_server_down_while_zenodotus_gets_answers(zenodotus):
    outcome = run(zenodotus, "--advertise-host", "127.0.0.1:1")
    assert first(outcome) == (
        "CRITICAL - advertise server 127.0.0.1:1: connection refused: start it; Zenodotus gets answers, maybe from another one"
    )


def test_crit_advertise_server_hangs(advertise, behind, monkeypatch):
    monkeypatch.setattr(check_zenodotus, "_ADVERTISE_SECONDS", 0.1)
    advertise.manner = "silent"
    said = first(run(behind, "--advertise-host", f"127.0.0.1:{advertise.port}"))
    assert said.startswith(
        f"CRITICAL - advertise server 127.0.0.1:{advertise.port}: no answer in time: it hangs, restart it; "
    )


def test_unknown_advertise_host(zenodotus):
    outcome = run(zenodotus, "--advertise-host", "nosuch.invalid")
    assert outcome.code == 3
    assert "advertise server nosuch.invalid:10102: no address" in first(outcome)


def test_crit_zenodotus_down_nothing_is_registered(advertise, behind):
    behind.stop()
    run(behind, "--advertise-host", f"127.0.0.1:{advertise.port}")
    assert advertise.requests == []


# Several names


def test_crit_names_are_judged_each_and_listed(zenodotus):
    outcome = run(zenodotus, "-v", "--name", "gone", "--name", "hello=192.0.2.1", "--name", "multi")
    lines = outcome.text.splitlines()
    assert first(outcome).endswith("advertise answers, 1 more")
    assert lines[1:3] == [
        f"CRITICAL: gone.{ZONE} is no longer announced (NXDOMAIN): restart what announces it; advertise answers",
        f"CRITICAL: {HELLO} is 192.0.2.7, not 192.0.2.1: see who announces that",
    ]
    assert [line.rpartition(", ")[0] for line in lines[3:]] == [
        "zone: 127.0.0.1",
        f"gone.{ZONE}: not announced",
        f"{HELLO}: 192.0.2.7",
        f"multi.{ZONE}: 192.0.2.8 and 192.0.2.9",
    ]


def test_crit_names_behind_a_dead_advertise_service_are_not_asked_one_by_one():
    with Zenodotus(behind="down", settling=0) as double:
        outcome = run(double, *(f"--name=name{number}" for number in range(20)))
        assert len(double.requests) < 20
    assert "\nwithout an answer: name0." in outcome.text


def test_unknown_no_time_for_all_names():
    names = [f"name{number}.{ZONE}" for number in range(200)]
    with Zenodotus(names={name: ["192.0.2.7"] for name in names}) as double:
        outcome = run(double, *(f"--name={name}" for name in names), "-t", "0.5")
    assert (outcome.code, first(outcome)) == (
        3,
        "UNKNOWN - no time was left to look up all names, those before were answered: give more -t",
    )
    assert re.fullmatch(r"without an answer: name.* and \d+ more", outcome.text.splitlines()[1])
    assert "time.total" not in figures(outcome)


def test_ok_random_names_are_asked_only_where_no_other_proves_the_way_behind(zenodotus):
    run(zenodotus, "--name", "hello")
    assert not any(b"nagios-" in request for request in zenodotus.requests)


def test_queries_are_plain(zenodotus):
    run(zenodotus, "--name", "Hello")
    assert all(request[2:12].hex() == "01000001000000000000" for request in zenodotus.requests)
    assert b"\x05hello\x09zenodotus\x04poly\x03edu\0\0\1\0\1" in zenodotus.requests[-1]


# Perfdata


def test_perfdata_of_each_level(zenodotus):
    outcome = run(zenodotus, "--name", "hello", "--name", "multi", "--name", "a.example.org", "-w", "3", "-c", "")
    found = figures(outcome)
    labels = ["time.zone"]
    for name in ("hello", "multi"):
        labels += [f"time.name.{name}", f"addresses.{name}"]
    assert list(found)[:5] == labels
    assert re.fullmatch(r"time\.name\.a_example_org_[0-9a-f]{8}", list(found)[5])
    assert list(found)[6:] == ["queries", "unanswered", "time.total"]
    assert (found["addresses.hello"], found["addresses.multi"]) == (1, 2)
    times = [value for label, value in found.items() if label.startswith("time.")]
    assert found["time.total"] == pytest.approx(sum(times[:-1]), abs=1e-5)
    assert re.search(r"time\.total=[0-9.]+s;3$", outcome.text.splitlines()[0])


def test_perfdata_of_a_failure_is_what_was_measured():
    with Zenodotus(behind="down", settling=0) as double:
        assert list(figures(run(double))) == ["time.zone", "queries", "unanswered"]
    found = figures(run(double))
    assert list(found) == ["queries", "unanswered"]
    assert found["queries"] == found["unanswered"] >= 3


def test_time_of_dropped_queries_and_pauses_is_not_zenodotus_time(monkeypatch):
    monkeypatch.setattr(dns, "PAUSE", 0.1)
    with Zenodotus(manner="second", settling=0) as double:
        began = time.monotonic()
        found = figures(run(double, "--name", "hello", "--name", "multi"))
    assert time.monotonic() - began - found["time.total"] >= 0.3


# Options


@pytest.mark.parametrize(
    "argv",
    [
        ["--name", ""],
        ["--name", "a b"],
        ["--name", "a..b"],
        ["--name", "hello="],
        ["--name", "hello=monkey"],
        ["--name", "hello=1.2.3.256"],
        ["--name", "hello=1.2.3.4,"],
        ["--name", "x" * 64],
        ["--expect-address", "::1"],
        ["--expect-address", "1.2.3"],
        ["--zone", "edu"],
        ["--zone", "a|b.c"],
        ["--advertise-host", "-x"],
        ["--advertise-host", "a:0"],
        ["--advertise-host", "a:65536"],
        ["--advertise-host", "a:b"],
        ["--advertise-host", ""],
        ["--ttl", "0"],
        ["--ttl", "86401"],
        ["--ttl", "-1"],
        ["-H", "a b"],
        ["-p", "0"],
    ],
)
def test_unknown_wrong_options(argv):
    with pytest.raises(UsageError):
        CHECK.parse(argv)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.example", "a.example:10102"),
        ("1.2.3.4:5", "1.2.3.4:5"),
        ("[::1]", "[::1]:10102"),
        ("[fe80::1%eth0]:7", "[fe80::1%eth0]:7"),
    ],
)
def test_advertise_hosts(text, said):
    assert str(CHECK.parse(["--advertise-host", text]).advertise_host) == said


def test_names_given_twice_are_asked_once():
    opts = CHECK.parse(
        [
            "--name",
            "hello=1.2.3.4",
            "--name",
            f"HELLO.{ZONE}.",
            "--name",
            "hello=5.6.7.8",
            "--expect-address",
            "9.9.9.9",
        ]
    )
    assert opts.names == [(HELLO, ("1.2.3.4", "9.9.9.9", "5.6.7.8"))]
