"""What Graphios 2.0.3 itself gave, literally, as `name value`: its own code, run with Python 2.7 on these lines and configurations.

Under a graphios.cfg of Graphios 2 the same lines must get the same names and values.
"""

import time
from pathlib import Path

import pytest

from graphios import configuration
from graphios.convert import Converter

Row = tuple[
    str, dict[str, str], str, list[str]
]  # options of graphios.cfg, what the line is about, its perfdata, what came of it

# fmt: off
# Prefix and postfix: blanks are removed, what begins with an undefined macro is none, and a lone dot is one.
PREFIXES: list[Row] = [
    ("", {"prefix": "mon.lab", "postfix": "load"}, "load1=0.150;5;10;0; load5=0.190;4;6;0;",
     ["mon.lab.web01.load.load1 0.150", "mon.lab.web01.load.load5 0.190"]),
    ("", {"prefix": "mon.lab"}, "load1=0.150", ["mon.lab.web01.load1 0.150"]),
    ("", {"postfix": "load"}, "load1=0.150", ["web01.load.load1 0.150"]),
    ("", {}, "load1=0.150", []),
    ("", {"prefix": "", "postfix": ""}, "load1=0.150", []),
    ("", {"prefix": "$_SERVICEX$.a", "postfix": "b"}, "load1=1", ["web01.b.load1 1"]),
    ("", {"prefix": "a.$_SERVICEX$", "postfix": "b"}, "load1=1", ["a.__SERVICEX_.web01.b.load1 1"]),
    ("", {"prefix": " a b ", "postfix": "c d"}, "load1=1", ["ab.web01.cd.load1 1"]),
    ("", {"prefix": "a.", "postfix": ".b"}, "load1=1", ["a.web01.b.load1 1"]),
    ("", {"prefix": "a..b"}, "load1=1", ["a.b.web01.load1 1"]),
    ("", {"prefix": "."}, "load1=1", [".web01.load1 1"]),
    ("", {"postfix": "."}, "load1=1", ["web01..load1 1"]),
    ("", {"prefix": "a/b", "postfix": "c$d~e"}, "load1=1", ["a_b.web01.c_d_e.load1 1"]),
    ("", {"prefix": "größe", "postfix": "a'b@c#d,e&f?g"}, "load1=1", ["größe.web01.a'b@c#d,e&f?g.load1 1"]),
    ("", {"kind": "HOST", "prefix": "mon", "postfix": "ping"}, "rta=0.298ms;100;200;0; pl=0%;20;60;;",
     ["mon.web01.ping.rta 0.298", "mon.web01.ping.pl 0"]),
    ("", {"kind": "HOST", "postfix": "ping"}, "rta=0.298ms", ["web01.ping.rta 0.298"]),
    ("", {"kind": "HOST"}, "rta=0.298ms", []),
]
# Labels: the last word stands for a label with blanks, its quotes stay, 19 characters are replaced, a dot opens a level.
LABELS: list[Row] = [
    ("", {"prefix": "pre"}, "/=2643MB;5948;5958;0;5968 /var/log=1MB /dev/mapper/vg-root=2",
     ["pre.web01._ 2643", "pre.web01._var_log 1", "pre.web01._dev_mapper_vg-root 2"]),
    ("", {"prefix": "pre"}, "C:=1GB C:\\=2GB", ["pre.web01.C_ 1", "pre.web01.C__ 2"]),
    ("", {"prefix": "pre"}, "a::b::c=1 cpu::check_cpu::load=2",
     ["pre.web01.a__b__c 1", "pre.web01.cpu__check_cpu__load 2"]),
    ("", {"prefix": "pre"}, "a.b.c=1 d..e=2 .f=3 g.=4",
     ["pre.web01.a.b.c 1", "pre.web01.d.e 2", "pre.web01.f 3", "pre.web01.g 4"]),
    ("", {"prefix": "pre"}, "'load1'=1 'load5'=2", ["pre.web01.'load1' 1", "pre.web01.'load5' 2"]),
    ("", {"prefix": "pre"}, "'used space'=1MB", ["pre.web01.space' 1"]),
    ("", {"prefix": "pre"}, "used space=1MB", ["pre.web01.space 1"]),
    ("", {"prefix": "pre"}, '"used space"=1MB', ['pre.web01.space" 1']),
    ("", {"prefix": "pre"}, "'C:\\ Label:data  Serial Number 1'=61%;80;90", ["pre.web01.1' 61"]),
    ("", {"prefix": "pre"}, "'Physical Memory %'=32%", ["pre.web01._' 32"]),
    ("", {"prefix": "pre"}, "a!b=1 a$b=2 a%b=3 a^b=4 a*b=5",
     ["pre.web01.a_b 1", "pre.web01.a_b 2", "pre.web01.a_b 3", "pre.web01.a_b 4", "pre.web01.a_b 5"]),
    ("", {"prefix": "pre"}, "a(b)=1 a{b}=2 a[b]=3 a<b>=4",
     ["pre.web01.a_b_ 1", "pre.web01.a_b_ 2", "pre.web01.a_b_ 3", "pre.web01.a_b_ 4"]),
    ("", {"prefix": "pre"}, "a~b=1 a:b=2 a+b=3 a\\b=4 a/b=5",
     ["pre.web01.a_b 1", "pre.web01.a_b 2", "pre.web01.a_b 3", "pre.web01.a_b 4", "pre.web01.a_b 5"]),
    ("", {"prefix": "pre"}, 'a"b=1 a#b=2 a&b=3 a,b=4 a-b=5 a?b=6 a@b=7 a_b=8 a`b=9',
     ['pre.web01.a"b 1', "pre.web01.a#b 2", "pre.web01.a&b 3", "pre.web01.a,b 4", "pre.web01.a-b 5", "pre.web01.a?b 6",
      "pre.web01.a@b 7", "pre.web01.a_b 8", "pre.web01.a`b 9"]),
    ("", {"prefix": "pre"}, "größe=1 日本=2 µ=3", ["pre.web01.größe 1", "pre.web01.日本 2", "pre.web01.µ 3"]),
    ("", {"prefix": "pre"}, "_Total=1 1min=2 -x=3", ["pre.web01._Total 1", "pre.web01.1min 2", "pre.web01.-x 3"]),
    ("", {"prefix": "pre"}, "\\\\Processor(_Total)\\\\%idle=1", ["pre.web01.__Processor__Total____idle 1"]),
    ("", {"prefix": "pre"}, "GigabitEthernet1/0/1.in=1c;;;0;100", ["pre.web01.GigabitEthernet1_0_1.in 1"]),
    ("carbon_plaintext = True", {"prefix": "pre", "postfix": "post"}, "/var/log=1 'a b'=2",
     ["pre.web01.post._var_log 1", "pre.web01.post.b' 2"]),
]
# Values: units and thresholds go, the text of the number stays; what is no item is left out.
VALUES: list[Row] = [
    ("", {"prefix": "pre"}, "a=1 a=2", ["pre.web01.a 1", "pre.web01.a 2"]),
    ("", {"prefix": "pre"}, "a=1 b=-1.5 c=0.000 d=18446744073709551616 e=007",
     ["pre.web01.a 1", "pre.web01.b -1.5", "pre.web01.c 0.000", "pre.web01.d 18446744073709551616", "pre.web01.e 007"]),
    ("", {"prefix": "pre"}, "a=1s b=2ms c=3us d=4% e=5B f=6KB g=7TB h=8c",
     ["pre.web01.a 1", "pre.web01.b 2", "pre.web01.c 3", "pre.web01.d 4", "pre.web01.e 5", "pre.web01.f 6",
      "pre.web01.g 7", "pre.web01.h 8"]),
    ("", {"prefix": "pre"}, "a=1;~:4;@0:6;0;9 b=2;;;; c=3;4:", ["pre.web01.a 1", "pre.web01.b 2", "pre.web01.c 3"]),
    ("", {"prefix": "pre"}, " a=1  b=2 ", ["pre.web01.a 1", "pre.web01.b 2"]),
    ("", {"prefix": "pre"}, "a=1 junk b=2", ["pre.web01.a 1", "pre.web01.b 2"]),
    ("", {"prefix": "pre"}, "junk", []),
    ("", {"prefix": "pre"}, "", []),
]
HOSTS: list[Row] = [
    ("", {"host": "www.example.org", "prefix": "mon", "postfix": "load"}, "load1=1",
     ["mon.www_example_org.load.load1 1"]),
    ("replace_hostname = False", {"host": "www.example.org", "prefix": "mon", "postfix": "load"}, "load1=1",
     ["mon.www.example.org.load.load1 1"]),
    ("reverse_hostname = True", {"host": "www.example.org", "prefix": "mon", "postfix": "load"}, "load1=1",
     ["mon.org_example_www.load.load1 1"]),
    ("replace_hostname = False\nreverse_hostname = True", {"host": "www.example.org", "prefix": "mon", "postfix": "load"}, "load1=1",
     ["mon.org.example.www.load.load1 1"]),
    ("", {"host": "host name", "prefix": "mon"}, "load1=1", ["mon.hostname.load1 1"]),
    ("", {"host": "10.0.0.1", "prefix": "mon"}, "load1=1", ["mon.10_0_0_1.load1 1"]),
    ("", {"host": "fe80::1", "prefix": "mon"}, "load1=1", ["mon.fe80__1.load1 1"]),
    ("replace_hostname = no", {"host": "www.example.org", "prefix": "mon"}, "load1=1", ["mon.www_example_org.load1 1"]),
    ("reverse_hostname = yes", {"host": "www.example.org", "prefix": "mon"}, "load1=1",
     ["mon.org_example_www.load1 1"]),
]
# Any word but False puts the service into the name; only True ships what has no prefix and postfix.
SERVICES: list[Row] = [
    ("use_service_desc = True", {"service": "CPU load"}, "load1=1", ["web01.CPUload.load1 1"]),
    ("use_service_desc = True", {"service": "CPU load", "prefix": "pre"}, "load1=1", ["pre.web01.CPUload.load1 1"]),
    ("use_service_desc = True", {"service": "CPU load", "postfix": "post"}, "load1=1", ["web01.CPUload.post.load1 1"]),
    ("use_service_desc = True", {"service": "CPU load", "prefix": "pre", "postfix": "post"}, "load1=1",
     ["pre.web01.CPUload.post.load1 1"]),
    ("use_service_desc = True", {"service": "Disk /"}, "load1=1", ["web01.Disk_.load1 1"]),
    ("use_service_desc = True", {"service": "Disk /var"}, "load1=1", ["web01.Disk_var.load1 1"]),
    ("use_service_desc = True", {"service": "DNS: www"}, "load1=1", ["web01.DNS_www.load1 1"]),
    ("use_service_desc = True", {"service": "a.b"}, "load1=1", ["web01.a.b.load1 1"]),
    ("use_service_desc = True", {"service": "Größe"}, "load1=1", ["web01.Größe.load1 1"]),
    ("use_service_desc = True", {"service": "it's (50%)"}, "load1=1", ["web01.it's_50__.load1 1"]),
    ("use_service_desc = True", {"service": "C:\\"}, "load1=1", ["web01.C__.load1 1"]),
    ("use_service_desc = True", {"kind": "HOST"}, "rta=1ms", ["web01.rta 1"]),
    ("use_service_desc = True", {"kind": "HOST", "prefix": "pre", "postfix": "ping"}, "rta=1ms",
     ["pre.web01.ping.rta 1"]),
    ("use_service_desc = True", {"service": "CPU load", "prefix": "."}, "load1=1", [".web01.CPUload.load1 1"]),
    ("use_service_desc = True\nreplace_hostname = False", {"service": "CPU load", "host": "www.example.org"}, "load1=1",
     ["www.example.org.CPUload.load1 1"]),
    ("use_service_desc = yes", {"service": "CPU load"}, "load1=1", []),
    ("use_service_desc = yes", {"service": "CPU load", "prefix": "pre"}, "load1=1", ["pre.web01.CPUload.load1 1"]),
    ("use_service_desc = false", {"service": "CPU load", "prefix": "pre"}, "load1=1", ["pre.web01.load1 1"]),
]
# The replacement also takes the place of dots in host names; an element of which nothing is left is left out.
REPLACEMENTS: list[Row] = [
    ("replacement_character = -", {"host": "www.example.org", "prefix": "a/b.c", "postfix": "50%"}, "/=1 /var/log=2 a%b=3",
     ["a-b.c.www-example-org.50-.- 1", "a-b.c.www-example-org.50-.-var-log 2", "a-b.c.www-example-org.50-.a-b 3"]),
    ("replacement_character =", {"host": "www.example.org", "prefix": "a/b.c", "postfix": "50%"}, "/var/log=2 a%b=3",
     ["ab.c.wwwexampleorg.50.varlog 2", "ab.c.wwwexampleorg.50.ab 3"]),
    ("replacement_character = xyz", {"host": "www.example.org", "prefix": "a/b.c", "postfix": "50%"}, "/=1 /var/log=2 a%b=3",
     ["axyzb.c.wwwxyzexamplexyzorg.50xyz.xyz 1", "axyzb.c.wwwxyzexamplexyzorg.50xyz.xyzvarxyzlog 2",
      "axyzb.c.wwwxyzexamplexyzorg.50xyz.axyzb 3"]),
    ("replacement_character = .", {"host": "www.example.org", "prefix": "a/b.c", "postfix": "50%"}, "/var/log=2 a%b=3",
     ["a.b.c.www.example.org.50..var.log 2", "a.b.c.www.example.org.50..a.b 3"]),
    ("replacement_character = +", {"host": "www.example.org", "prefix": "a/b.c", "postfix": "50%"}, "/=1 /var/log=2 a%b=3",
     ["a+b.c.www+example+org.50+.+ 1", "a+b.c.www+example+org.50+.+var+log 2", "a+b.c.www+example+org.50+.a+b 3"]),
    ("replacement_character = :", {"host": "www.example.org", "prefix": "a/b.c", "postfix": "50%"}, "/=1 /var/log=2 a%b=3",
     ["a:b.c.www:example:org.50:.: 1", "a:b.c.www:example:org.50:.:var:log 2", "a:b.c.www:example:org.50:.a:b 3"]),
    ("replacement_character = #", {"host": "www.example.org", "prefix": "a/b.c", "postfix": "50%"}, "/=1 /var/log=2 a%b=3",
     ["a#b.c.www#example#org.50#.# 1", "a#b.c.www#example#org.50#.#var#log 2", "a#b.c.www#example#org.50#.a#b 3"]),
    ("replacement_character = '_'", {"host": "www.example.org", "prefix": "a/b.c", "postfix": "50%"}, "/=1 /var/log=2 a%b=3",
     ["a'_'b.c.www'_'example'_'org.50'_'.'_' 1", "a'_'b.c.www'_'example'_'org.50'_'.'_'var'_'log 2",
      "a'_'b.c.www'_'example'_'org.50'_'.a'_'b 3"]),
    ('replacement_character = ""', {"host": "www.example.org", "prefix": "a/b.c", "postfix": "50%"}, "/var/log=2 a%b=3",
     ["ab.c.wwwexampleorg.50.varlog 2", "ab.c.wwwexampleorg.50.ab 3"]),
    ("replacement_character = %%", {"host": "www.example.org", "prefix": "a/b.c", "postfix": "50%"}, "/=1 /var/log=2 a%b=3",
     ["a%b.c.www%example%org.50%.% 1", "a%b.c.www%example%org.50%.%var%log 2", "a%b.c.www%example%org.50%.a%b 3"]),
    ("replacement_character = ä", {"host": "www.example.org", "prefix": "a/b.c", "postfix": "50%"}, "/=1 /var/log=2 a%b=3",
     ["aäb.c.wwwäexampleäorg.50ä.ä 1", "aäb.c.wwwäexampleäorg.50ä.ävarälog 2", "aäb.c.wwwäexampleäorg.50ä.aäb 3"]),
    ("replacement_character =", {"host": "www.example.org", "prefix": "%", "postfix": "load"}, "load1=1",
     [".wwwexampleorg.load.load1 1"]),
    ("replacement_character = -\nuse_service_desc = True", {"host": "www.example.org", "service": "Disk /var: free"}, "load1=1",
     ["www-example-org.Disk-var-free.load1 1"]),
]
# metric_base_path is of the last commit (June 2016): 2.0.3 did not know it.
BASES: list[Row] = [
    ("metric_base_path = site", {"prefix": "pre", "postfix": "post"}, "load1=1", ["site.pre.web01.post.load1 1"]),
    ("metric_base_path = site.nagios", {"prefix": "pre", "postfix": "post"}, "load1=1",
     ["site.nagios.pre.web01.post.load1 1"]),
    ("metric_base_path = my site", {"prefix": "pre", "postfix": "post"}, "load1=1", ["my_site.pre.web01.post.load1 1"]),
    ("metric_base_path = a/b", {"prefix": "pre", "postfix": "post"}, "load1=1", ["a_b.pre.web01.post.load1 1"]),
    ("metric_base_path = a..b.", {"prefix": "pre", "postfix": "post"}, "load1=1", ["a.b.pre.web01.post.load1 1"]),
    ("metric_base_path = %%a", {"prefix": "pre", "postfix": "post"}, "load1=1", ["_a.pre.web01.post.load1 1"]),
    ("metric_base_path = site", {}, "load1=1", []),
    ("metric_base_path = site\nuse_service_desc = True", {"service": "CPU load"}, "load1=1",
     ["site.web01.CPUload.load1 1"]),
]
# fmt: on

EVERY = [*PREFIXES, *LABELS, *VALUES, *HOSTS, *SERVICES, *REPLACEMENTS, *BASES]


def line(perfdata: str, kind: str = "SERVICE", **about: str) -> str:
    """A spool line as the template of Graphios writes it."""
    service = kind == "SERVICE"
    fields = {
        "DATATYPE": f"{kind}PERFDATA",
        "TIMET": str(int(time.time())),
        "HOSTNAME": about.get("host", "web01"),
        **({"SERVICEDESC": about.get("service", "Load")} if service else {}),
        f"{kind}PERFDATA": perfdata,
        f"{kind}CHECKCOMMAND": "check!a!b",
        "HOSTSTATE": "UP",
        "HOSTSTATETYPE": "HARD",
        **({"SERVICESTATE": "OK", "SERVICESTATETYPE": "HARD"} if service else {}),
        "GRAPHITEPREFIX": about.get("prefix", f"$_{kind}GRAPHITEPREFIX$"),
        "GRAPHITEPOSTFIX": about.get("postfix", f"$_{kind}GRAPHITEPOSTFIX$"),
        "METRICTYPE": f"$_{kind}METRICTYPE$",
    }
    return "\t".join(f"{key}::{value}" for key, value in fields.items())


def as_filed(metric: str) -> str:
    """`name value` with the name as carbon files it: without empty elements."""
    name, _, value = metric.rpartition(" ")
    return f"{'.'.join(element for element in name.split('.') if element)} {value}"


@pytest.mark.parametrize(
    ("options", "about", "perfdata", "expected"), EVERY, ids=[f"{row[0]} {row[1]} {row[2]}"[:80] for row in EVERY]
)
def test_the_same_names_for_the_same_lines(
    tmp_path: Path, options: str, about: dict[str, str], perfdata: str, expected: list[str]
) -> None:
    path = tmp_path / "graphios.cfg"
    path.write_text(f"[graphios]\nspool_directory = /spool\nenable_carbon = True\n{options}\n")
    converter = Converter(configuration.load(path, carbon_conf_path=tmp_path / "carbon.conf").names)
    raw = line(perfdata, **about).encode()
    for _ in range(2):  # the second time much of the line is known already
        found = [str(item).rsplit(" ", 1)[0] for items, _ in converter.convert(raw, time.time()) for item in items]
        assert found == [as_filed(metric) for metric in expected]
