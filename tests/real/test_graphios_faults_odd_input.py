"""What receivers do with odd input never happens, because graphios sends clean lines only: sent as a usable number, or rejected by name.

The odd item stands between two good ones, whose points must arrive: carbon closes the connection at some of these, and what follows is lost.
"""

from __future__ import annotations

import re
import time

from tests.real.shipping_site import Ledger, MakeSite, Site
from tests.stack.daemon import wait_until
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.proxy import Proxy
from tests.unit.graphios.spool_lines import service_line

pytest_plugins = ("tests.real.shipping_fixtures",)

CLEAN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)* -?[0-9]+(\.[0-9]+)? [0-9]{10}")
# perfdata -> the value that Graphite shows under its label, None: rejected; "skipped": neither, as nothing was measured.
ITEMS: dict[str, tuple[str, float | str | None]] = {
    "empty": ("odd=", None),
    "unknown": ("odd=U", "skipped"),
    "decimal-comma": ("odd=1,5", 1.5),
    "comma-after": ("odd=7,", 7.0),
    "broken-exponent": ("odd=1-05", None),
    "exponent": ("odd=1e-05", 0.00001),
    "broken-exponent-2": ("odd=1.5-05", None),
    "hexadecimal": ("odd=0x10", None),
    "nan": ("odd=nan", None),
    "inf": ("odd=inf", None),
    "minus-inf": ("odd=-Inf", None),
    "underscore": ("odd=1_000", None),
    "no-digit": ("odd=abc", None),
    "micro": ("odd=12µs", 12.0),
    "two-points": ("odd=1.2.3", None),
    "plus": ("odd=+5", 5.0),
    "bare-point": ("odd=.5", 0.5),
    "point-after": ("odd=5.", 5.0),
    "semicolons": ("odd=3;;;;;;", 3.0),
    "huge-exponent": ("odd=1e999", None),
    "endless-number": (f"odd={'9' * 5000}", None),
    "large-counter": ("odd=18446744073709551615c", 18446744073709551615.0),
    "minus": ("odd=-", None),
    "nul-in-value": ("odd=1\x002", None),
}
LABELS = {
    "nul": "o\x00dd",
    "latin-1": "gr\udcfc\udcdfe",
    "utf-8": "größe",
    "slash": "a/b",
    "dots": "..a..b..",
    "leading-dot": ".hidden",
    "trailing-dot": "end.",
    "only-dots": "...",
    "up": "../../../../tmp/out",
    "semicolon-tag": "a~b",
    "blank": "'two words'",
    "equals": "'a=b'",
    "quote": "'it''s'",
    "carriage-return": "a\rb",
    "star": "*",
    "braces": "{a,b}",
    "control": "\x1b[31mred",
    "element-of-300": "e" * 300,
    "name-of-20000": "n" * 20_000,
}
TIMES = ["N", "-1", "", "0", "1.7e9", "99999999999999", "{now}000", "{now}.5", "1", "abc", "0x65", " ", "{now}_0", "²"]


def between(ledger: Ledger, odd: str, site: Site) -> None:
    """Ships good lines, the odd one, good lines, in one batch."""
    data = (ledger.text(1) + odd + ledger.text(1)).encode("utf-8", "surrogateescape")
    site.write("service-perfdata.1", data)
    site.start()
    site.wait_until_empty()


def check_lines_are_clean(proxy: Proxy) -> None:
    dirty = [line for line in proxy.lines() if not CLEAN.fullmatch(line)]
    assert not dirty, dirty[:5]
    assert all(not data or data.endswith(b"\n") for data in proxy.received)


def test_odd_values(proxied: Site, proxy: Proxy, graphite: GraphiteWeb) -> None:
    ledger = Ledger("oddvalue")
    now = int(time.time()) - 10
    odd = "".join(
        service_line(f"before=1 {item} after=2", host="oddvalue", service=name, timet=now)
        for name, (item, _) in ITEMS.items()
    )
    for name, (_, value) in ITEMS.items():
        ledger.add(f"oddvalue.{name}.before", now, 1)
        ledger.add(f"oddvalue.{name}.after", now, 2)
        if isinstance(value, float):
            ledger.add(f"oddvalue.{name}.odd", now, value)
    between(ledger, odd, proxied)
    ledger.check_readable(graphite)
    check_lines_are_clean(proxy)
    rows = proxied.rejects()
    for name, (_, value) in ITEMS.items():
        assert (f"oddvalue, {name}:" in rows) == (value is None), name
    proxied.stop()
    assert proxied.status()["rejected"]["total"] == sum(value is None for _, value in ITEMS.values())
    assert proxied.status()["skipped"]["U"] == 1


def test_odd_labels_never_reach_a_series_of_another(proxied: Site, proxy: Proxy, graphite: GraphiteWeb) -> None:
    ledger = Ledger("oddlabel")
    now = int(time.time()) - 10
    odd = "".join(
        service_line(f"{label}=3", host="oddlabels", service=f"label{number}", timet=now)
        for number, label in enumerate(LABELS.values())
    )
    between(ledger, odd, proxied)
    ledger.check_readable(graphite)
    check_lines_are_clean(proxy)
    proxied.stop()
    rows = proxied.rejects()
    sent = [line.split()[0] for line in proxy.lines() if line.startswith("oddlabels.")]
    for number, name in enumerate(LABELS):
        assert (f"oddlabels, label{number}:" in rows) != any(
            one.startswith(f"oddlabels.label{number}.") for one in sent
        ), name
    # What was sent can be read: no name that carbon drops, or files where nobody finds it.

    def found() -> set[str]:
        return {name for depth in range(2, 9) for name in graphite.latest("oddlabels" + ".*" * depth)}

    wait_until(lambda: found() >= set(sent), 30, "every series that was sent in Graphite")
    assert found() == set(sent)


def test_odd_host_names(proxied: Site, proxy: Proxy, graphite: GraphiteWeb) -> None:
    ledger = Ledger("oddhost")
    when = int(time.time()) - 10
    hosts = ["x" * 5000, "..", "a..b", ".", "a b", "a/b", "*", "h\x00st", "\udcff", "ho;st=1"]
    odd = "".join(service_line(f"x={n}", host=host, service=f"odd{n}", timet=when) for n, host in enumerate(hosts))
    between(ledger, odd, proxied)
    ledger.check_readable(graphite)
    check_lines_are_clean(proxy)
    proxied.stop()
    rows = proxied.rejects()
    for number in range(len(hosts)):
        sent = [line for line in proxy.lines() if f".odd{number}." in line]
        assert bool(sent) != (f"odd{number}\\x09" in rows or f", odd{number}:" in rows), hosts[number]


def test_odd_timestamps_are_rejected(proxied: Site, proxy: Proxy, graphite: GraphiteWeb) -> None:
    # Carbon replaces -1 by now, makes empty files for others, and closes nothing; a relay passes all of them on.
    ledger = Ledger("oddtime")
    now = int(time.time())
    times = [text.replace("{now}", str(now)) for text in TIMES] + [str(now + 90_000)]
    odd = "".join(
        service_line("x=1", host="oddtimes", service=f"t{number}", timet=text) for number, text in enumerate(times)
    )
    between(ledger, odd, proxied)
    ledger.check_readable(graphite)
    check_lines_are_clean(proxy)
    assert len(proxy.lines()) == len(ledger)
    proxied.stop()
    assert proxied.status()["rejected"]["total"] == len(times)
    assert proxied.rejects().count("\n") >= len(times)


def test_timestamps_that_graphite_does_not_show_cost_nobody_else(
    proxied: Site, proxy: Proxy, graphite: GraphiteWeb
) -> None:
    # Older than the retention, or an hour ahead: carbon takes them, and may not show them. They are delivered, as Nagios wrote them.
    ledger = Ledger("fartime")
    now = int(time.time())
    odd = "".join(
        service_line("x=1", host="fartimes", service=f"t{number}", timet=when)
        for number, when in enumerate((now - 86_400 * 30, now + 3600))
    )
    between(ledger, odd, proxied)
    ledger.check_readable(graphite)
    assert len(proxy.lines()) == len(ledger) + 2
    proxied.stop()


HOSTILE = {
    "class": "x=1\t__class__::x",
    "dunder": "x=1\t__init__::x\t__dict__::y",
    "victim-after": "x=1\tHOSTNAME::victim",
    "prefix-after": "x=1\tGRAPHITEPREFIX::victim",
    "time-after": "x=1\tTIMET::1500000000",
    "perfdata-after": "x=1\tSERVICEPERFDATA::y=2",
    "type-after": "x=1\tDATATYPE::HOSTPERFDATA",
}


def test_forged_fields_reach_nobody(proxied: Site, proxy: Proxy, graphite: GraphiteWeb) -> None:
    # Graphios 2 wrote under `victim`, and ended for good at __class__.
    ledger = Ledger("forged")
    now = int(time.time()) - 10
    odd = "".join(service_line(text, host="evil", service=name, timet=now) for name, text in HOSTILE.items())
    between(ledger, odd, proxied)
    ledger.check_readable(graphite)
    check_lines_are_clean(proxy)
    assert not [line for line in proxy.lines() if "victim" in line]
    assert {line.split()[0] for line in proxy.lines() if "evil" in line} <= {"evil.class.x", "evil.dunder.x"}
    for name in HOSTILE:
        if name.endswith("after"):
            assert re.search(rf"occurs twice.*{name}", proxied.rejects()), name
    proxied.stop()


def test_lines_that_are_no_perfdata(proxied: Site, proxy: Proxy, graphite: GraphiteWeb) -> None:
    ledger = Ledger("nolines")
    garbage = [
        "garbage\n",
        "DATATYPE::SERVICEPERFDATA\n",
        "DATATYPE::OTHER\tTIMET::1\n",
        "\tDATATYPE::SERVICEPERFDATA\n",
        "HOSTNAME::a\tSERVICEDESC::b\tSERVICEPERFDATA::x=1\n",
        service_line("x=1", host="", timet=int(time.time())),
        "\ufeff" + service_line("x=1", host="nolines", service="bom", timet=int(time.time())),
        "one two three\n" * 3,
    ]
    between(ledger, "".join(garbage), proxied)
    ledger.check_readable(graphite)
    assert len(proxy.lines()) == len(ledger)
    proxied.stop()
    assert proxied.status()["rejected"]["total"] == 10


def test_pickle_frames_stay_below_what_carbon_takes(make_site: MakeSite, carbon: Carbon, graphite: GraphiteWeb) -> None:
    # A frame over 1 MiB is dropped by carbon, which closes "cleanly".
    ledger = Ledger("pickle", series=500, moments=70)
    site = make_site({"carbon": {"protocol": "pickle", "batch_bytes": 8_000_000}}, carbon.pickle_port)
    site.write("service-perfdata.1", ledger.text(60))
    odd = "".join(service_line(item, host="oddpickle", service=name) for name, (item, _) in ITEMS.items())
    site.write("service-perfdata.2", odd + ledger.text(1))
    site.start()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()


def test_tags_without_a_value(make_site: MakeSite, proxy: Proxy) -> None:
    # Carbon logs an error for `name;host=` and stores it under the raw name.
    site = make_site({"names": {"scheme": "tags"}}, proxy.port)
    now = int(time.time()) - 10
    lines = [
        service_line("x=1", host="web01", service="load", timet=now),
        service_line("x=2", host="~web", service=";;!^=", timet=now),
        service_line("'a;b'=3", host="web01", service="~", timet=now),
        service_line("x=4", host="web01", service="$SERVICEDESC$", timet=now),
    ]
    site.write("service-perfdata.1", "".join(lines))
    site.start()
    site.wait_until_empty()
    site.stop()
    sent = proxy.lines()
    assert "x;host=web01;service=load 1 " + str(now) in sent
    for line in sent:
        name, *tags = line.split(" ")[0].split(";")
        assert name
        assert not set(name) & set(";!^=")
        for tag in tags:
            key, _, value = tag.partition("=")
            assert key, line
            assert value, line
            assert not value.startswith("~"), line
