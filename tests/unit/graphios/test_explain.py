"""`graphios explain`: what an operator learns of a line."""

import bz2
import gzip
import io
import lzma
import tracemalloc

import pytest

from graphios import configuration
from graphios.commands import explain

HEAD = "DATATYPE::SERVICEPERFDATA\tTIMET::1795263000\tHOSTNAME::web01\tSERVICEDESC::disk\t"
LINE = f"{HEAD}GRAPHITEPREFIX::testbed\tGRAPHITEPOSTFIX::d\tSERVICEPERFDATA::"
BARE = f"{HEAD}SERVICEPERFDATA::"


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch, tmp_path):
    monkeypatch.setattr(configuration, "DEFAULT_PATH", tmp_path / "none.ini")


@pytest.fixture
def run(capsys):
    def run(*argv):
        code = explain.main([str(word) for word in argv])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out, said.err

    return run


@pytest.fixture
def ini(tmp_path):
    def write(text):
        path = tmp_path / "graphios.ini"
        path.write_text(f"[spool]\ndirectory = {tmp_path}/spool\n{text}")
        return path

    return write


def words(text):
    """Lines with single blanks."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_names_values_units_and_what_carbon_gets(run):
    code, out, err = run("--line", f"{LINE}/=12%;90;95 'C: free'=3MB")
    assert (code, err) == (0, "")
    assert "disk of web01, checked at" in out
    assert "/ 12 % testbed.web01.d._" in words(out)
    assert any(line.startswith("C: free 3 MB testbed.web01.d.C__free-") for line in words(out))
    assert "    testbed.web01.d._ 12 1795263000" in out.splitlines()
    assert out.splitlines()[-1] == "1 line: 2 metrics come out, 0 rejected, 0 not to be shipped"


def test_what_is_rejected_and_what_is_not_shipped_say_why(run):
    code, out, _ = run("--line", f"{LINE}a=1 b=x c=U d=2")
    assert code == 1
    assert "c U - U: the plugin could not determine the value" in words(out)
    assert "rejected: perfdata of web01, disk: not a number with a unit: b=x" in words(out)
    assert "1 line: 2 metrics come out, 1 rejected, 1 not to be shipped" in out


def test_a_line_that_is_rejected_as_a_whole(run):
    code, out, _ = run("--line", f"{LINE}a=1\tHOSTNAME::victim")
    assert code == 1
    assert "HOSTNAME" in out
    assert "0 metrics come out, 1 rejected" in out


def test_output_of_a_plugin_and_bare_perfdata_are_recognised(run):
    code, out, _ = run("--line", "OK - fine | load1=0.5;1;2;0", "--host", "web01", "--service", "load")
    assert code == 0
    assert "taken for the output of a plugin" in out
    assert "load1 0.5 web01.load.load1" in words(out)
    code, out, _ = run("--line", "load1=0.5;1;2;0 'a b'=2", "--prefix", "p", "--postfix", "q")
    assert code == 0
    assert "taken for bare perfdata" in out
    assert "load1 0.5 p.HOST.q.load1" in words(out)
    code, out, _ = run("--line", "hello")
    assert code == 1
    assert "neither a spool line nor perfdata" in out


def test_filters_and_rewrites_are_named(run, ini):
    config = ini("[filter]\nexclude = secret\n[rewrite]\nfirst = ^web01 -> east.web01\n")
    code, out, _ = run("--config", config, "--line", f"{BARE}open=1 secret=2")
    assert code == 0
    assert any("east.web01.disk.open (rewritten by" in line for line in words(out))
    assert any(line.startswith("secret 2 - filtered:") for line in words(out))


def test_unprefixed_lines_say_what_to_change(run, ini):
    code, out, _ = run("--config", ini("[names]\nunprefixed = no\n"), "--line", f"{BARE}a=1")
    assert code == 0
    assert "0 metrics come out, 0 rejected, 1 not to be shipped" in out
    assert "unprefixed" in out
    assert "_graphiteprefix" in out
    assert "disk of web01, checked at" in out


def test_every_backend_shows_its_form(run, ini):
    config = ini(
        "[carbon]\nhost = 127.0.0.1\n[carbon:p]\nprotocol = pickle\nport = 2004\n[statsd]\nhost = 127.0.0.1\n"
        "[influxdb:lab]\nurl = http://127.0.0.1:8086\ndatabase = nagios\n[prometheus]\nurl = http://127.0.0.1:9090/api/v1/write\n"
    )
    _, out, _ = run("--config", config, "--line", f"{LINE}'a b'=1.5s")
    shown = out.splitlines()
    at = {
        name: shown[shown.index(f"  to {name}:") + 1].strip()
        for name in ("carbon", "statsd", "influxdb:lab", "prometheus")
    }
    name = at["carbon"].partition(" ")[0]
    assert at["carbon"] == f"{name} 1.5 1795263000"
    assert at["statsd"] == f"{name}:1.5|g"
    assert at["influxdb:lab"].startswith("perfdata,")
    assert "host=web01" in at["influxdb:lab"]
    assert "label=a\\ b" in at["influxdb:lab"]
    assert at["prometheus"] == 'nagios_perfdata{host="web01", label="a b", service="disk", unit="s"} 1.5 1795263000000'
    assert "  to carbon:p (as a pickle of the same):" in shown


def test_files_plain_and_compressed_and_standard_input(run, tmp_path, monkeypatch):
    content = f"{LINE}a=1\n\n{LINE}b=2".encode()
    for name, pack in (("plain", bytes), ("x.gz", gzip.compress), ("x.bz2", bz2.compress), ("x.xz", lzma.compress)):
        (tmp_path / name).write_bytes(pack(content))
        code, out, _ = run(tmp_path / name)
        assert code == 0
        assert f"{tmp_path}/{name}:3: disk of web01" in out
        assert "2 lines: 2 metrics come out" in out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    code, out, _ = run("-")
    assert code == 0
    assert "standard input:1: disk of web01" in out


def test_it_stops_at_max_lines_and_max_items_and_says_so(run, tmp_path):
    path = tmp_path / "many"
    path.write_text(f"{LINE}{' '.join(f'm{n}=1' for n in range(50))}\n" * 20)
    code, out, _ = run(path, "--max-lines", "3", "--max-items", "10")
    assert code == 0
    assert "stopped after 3 lines (--max-lines)" in out
    assert out.count("... and 40 more metrics (--max-items)") == 3
    assert out.count(" testbed.web01.d.m9 1 ") == 3
    assert "m10" not in out


@pytest.mark.slow
def test_a_huge_line_and_an_endless_one_take_bounded_memory(run, tmp_path):
    item = b"m" * 200 + b"=1 "
    with (tmp_path / "huge").open("wb") as file:
        file.write(LINE.encode())
        file.write(item * 20_000)
        file.write(b"\n")
    with (tmp_path / "endless").open("wb") as file:
        file.write(b"x")
        file.truncate(200_000_000)
    tracemalloc.start()
    code, out, _ = run(tmp_path / "huge")
    assert code == 0
    assert "20,000 metrics come out" in out
    code, out, _ = run(tmp_path / "endless")
    assert code == 1
    assert "longer than" in out
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60_000_000


def test_hostile_bytes_never_reach_the_terminal(run, tmp_path):
    path = tmp_path / "hostile"
    path.write_bytes(
        LINE.encode() + b"'\x1b[2J'=1 \x1b]0;x\x07=2 \xff=3 b=\x1bq\n\x1b[2J\nDATATYPE::\x1b[2J\t\n" + bytes(range(256))
    )
    _, out, err = run(path)
    assert all(char.isprintable() for char in (out + err).replace("\n", ""))


@pytest.mark.parametrize(
    "argv",
    [[], ["--line", "a=1", "file"], ["--max-lines", "0", "x"], ["--nonsense"], ["--line", "a=1", "--host", "a\tb"]],
)
def test_a_mistake_is_one_line_and_exit_3(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        explain.main(argv)
    assert ended.value.code == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_what_can_not_be_read_is_one_line_and_exit_3(run, tmp_path):
    (tmp_path / "bad.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])
    (tmp_path / "wrong.ini").write_text("[spool]\nnonsense = 1\n")
    for argv in (
        [tmp_path],
        [tmp_path / "none"],
        [tmp_path / "bad.gz"],
        ["--config", tmp_path / "wrong.ini", "--line", "a=1"],
    ):
        code, _, err = run(*argv)
        assert code == 3
        assert err.count("\n") == 1
        assert str(tmp_path) in err
