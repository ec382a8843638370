"""check_software_update against a double of the update site, and a node's installation in a folder."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from checks.check_software_update import CHECK
from checks.ranges import parse_range
from checks.seattle.metainfo import Entry
from checks.update import install, site, visit
from checks.update.report import in_seconds, span
from checks.update.site import choose
from tests.seattle import signer
from tests.seattle.updatesite import FILES, UpdateSite

CAPTURED = Path(__file__).parent / "data/check_software_update/metainfo"
DAY = 86400


@pytest.fixture
def updates():
    """A healthy update site."""
    with UpdateSite() as double:
        yield double


@pytest.fixture
def check(updates, monkeypatch):
    """check(*argv): exit code and text, of a check that does not wait before it looks again, and has time on a busy machine."""
    monkeypatch.setattr(visit, "time", SimpleNamespace(monotonic=time.monotonic, time=time.time, sleep=lambda _: None))

    def run(*argv):
        return CHECK.run(["--url", updates.url, "-t", "60", *map(str, argv)])

    return run


@pytest.fixture
def pinned(tmp_path):
    """A file of the site's own public key."""
    path = tmp_path / "updater.publickey"
    path.write_text(signer.key().public)
    return path


def figures(text):
    """Perfdata as numbers, without units and thresholds."""
    items = re.findall(r"([\w.]+)=(-?[\d.]+)", text.split("\n", 1)[0].partition(" | ")[2])
    return {label: float(value) for label, value in items}


def first(text):
    """The first line without its perfdata."""
    return text.split("\n", 1)[0].partition(" | ")[0]


# A healthy site


def test_ok_a_healthy_site(check, updates, pinned):
    code, text = check("--key", pinned)
    assert (code, first(text)) == (0, "SOFTWARE_UPDATE OK - 3 files, 3 checked, expires in 30 d")
    found = figures(text)
    assert found["expires"] == pytest.approx(30 * DAY - 60, abs=5)
    assert found["age"] == pytest.approx(60, abs=5)
    assert (found["files.listed"], found["files.checked"], found["files.wrong"]) == (3, 3, 0)
    assert found["files.bytes"] == sum(map(len, FILES.values()))
    assert found["time.total"] == pytest.approx(found["time.metainfo"] + found["time.files"], abs=1e-5)
    assert "expires=" + text.partition("expires=")[2].split()[0].partition(";")[0] + ";604800:;172800:" in text
    assert not any(label.startswith(("local.", "updater.")) for label in found)


def test_ok_files_are_asked_for_with_the_double_slash_of_the_real_updater(check, updates):
    check()
    assert updates.paths == [
        f"/updatesite//{name}" for name in ("metainfo", "nmAPI.py", "nmmain.py", "softwareupdater.py")
    ]


def test_ok_a_url_without_a_slash_at_its_end(updates):
    assert CHECK.run(["--url", updates.url.rstrip("/")]).code == 0
    assert updates.paths[0] == "/updatesite/metainfo"


def test_ok_without_a_key_the_output_says_that_anybody_could_have_signed(check, updates):
    updates.sign(signer.key("anybody"))
    code, text = check("-v")
    assert code == 0
    assert "no key pinned" in first(text)
    assert "no key is pinned: --key FILE" in text


def test_ok_the_captured_metainfo_is_good_while_it_lasts(check, updates, tmp_path, monkeypatch):
    updates.files = {"metainfo": CAPTURED.read_bytes()}
    key = tmp_path / "key"
    key.write_bytes(CAPTURED.read_bytes().split(b"!")[1])
    for later, state in ((0, 0), (22.5, 0), (23.5, 1), (28.5, 2), (30.5, 2)):
        monkeypatch.setattr(time, "time", lambda later=later: 1795208219.0 + later * DAY)
        code, text = check("--files", "0", "--key", key)
        assert code == state, text
        assert figures(text)["expires"] == (30 - later) * DAY
        assert "files.checked" not in text
    assert "expired 12 h ago" in first(text)


def test_ok_names_in_folders_and_with_odd_characters(check, updates):
    updates.files |= {"lib/a+b.py": b"1", "ärger~1.py": b"2", "lib/x/[1]@y.py": b"3"}
    updates.sign()
    assert check()[0] == 0


# What an operator has to do


@pytest.mark.parametrize(
    ("days", "argv", "code", "said"),
    [
        (6, [], 1, "metainfo expires in 6 d (< 7): re-sign with writemetainfo.py"),
        (1.5, [], 2, "metainfo expires in 1.5 d (< 2): re-sign"),
        (-3, [], 2, "expired 3 d ago, nodes take no update: re-sign"),
        (-3, ["-c", ""], 1, "expired 3 d ago"),
        (-3, ["-w=", "-c="], 0, "3 files, 3 checked"),
        (20, ["-w", "21:"], 1, "(< 21)"),
        (20, ["-c", "20.5:"], 2, "(< 20.5)"),
        (None, ["-w", "5000:"], 0, "never expires"),
    ],
)
def test_a_signature_expires(check, updates, days, argv, code, said):
    updates.sign(signed=time.time() - 60, days=days if days is None else days + 61 / DAY)
    found, text = check(*argv)
    assert found == code
    assert said in first(text)
    assert (days is None) == ("expires" not in figures(text))


def test_warn_a_signature_from_the_future(check, updates):
    updates.sign(signed=time.time() + 100)
    assert check()[0] == 0
    updates.sign(signed=time.time() + 3 * DAY)
    code, text = check()
    assert code == 1
    assert "signed 3 d in the future" in first(text)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ({"destination": "node1:node2"}, 2, "is signed for 'node1:node2' only, nodes refuse it"),
        ({"sequence": "tag:7"}, 1, "has a sequence number (tag:7)"),
    ],
)
def test_what_nodes_refuse_though_the_signature_is_right(check, updates, words, code, said):
    updates.files["metainfo"] = signer.metainfo(FILES, **words)
    found, text = check()
    assert found == code
    assert said in first(text)


def test_crit_a_metainfo_without_a_time(check, updates):
    text = f"{signer.listing(FILES)}\n!{signer.key().public}!None!None!None!None"
    updates.files["metainfo"] = f"{text}!{signer.key().sign(text.encode())}".encode()
    code, text = check()
    assert code == 2
    assert "no timestamp, nodes refuse it" in first(text)


def test_crit_another_key_than_the_pinned_one(check, updates, pinned):
    updates.sign(signer.key("other"))
    code, text = check("--key", pinned)
    assert code == 2
    assert "signed by another key than that of --key: nodes refuse it" in first(text)
    # Nothing else of such a site is believed or asked for.
    assert list(figures(text)) == ["time.metainfo"]
    assert {path.rpartition("/")[2] for path in updates.paths} == {"metainfo"}


def test_crit_an_altered_line(check, updates):
    for wrong, right in ((b"nmAPI", b"nmAPJ"), (b" 1120\n", b" 1121\n")):
        updates.sign()
        assert wrong in updates.files["metainfo"]
        updates.files["metainfo"] = updates.files["metainfo"].replace(wrong, right)
        code, text = check()
        assert code == 2
        assert "has a wrong signature (altered after it was signed), nodes refuse it: re-sign" in first(text)


def test_crit_line_ends_of_windows(check, updates):
    updates.files["metainfo"] = updates.files["metainfo"].replace(b"\n", b"\r\n")
    code, text = check()
    assert code == 2
    assert "CRLF line ends, so its signature is wrong: copy it in binary mode" in first(text)


def test_crit_a_hostile_name_is_named_and_not_asked_for(check, updates, tmp_path):
    for name in ("../../etc/passwd", "/etc/passwd", "a\x1b[2J"):
        updates.files["metainfo"] = signer.metainfo({name: b"x"})
        code, text = check("--install-dir", tmp_path, "--not-running-severity", "ok")
        assert code == 2
        assert "line 1 has a name" in first(text)
        assert "\x1b" not in text
    assert {path.rpartition("/")[2] for path in updates.paths} == {"metainfo"}


def broken(**words):
    """How a site breaks: its attributes."""
    return words


SITES = {
    "missing": (broken(files={}), "has no metainfo (HTTP 404): is --url right? Else run writemetainfo.py"),
    "a page for what is missing": (
        broken(files={}, missing_is_200=True),
        "a web page and no metainfo",
    ),
    "forbidden": (broken(statuses={"metainfo": 403}), "(HTTP 403): make it readable"),
    "broken": (broken(statuses={"metainfo": 500}), "HTTP 500 for metainfo: see its web server's log"),
    "elsewhere": (
        broken(statuses={"metainfo": 302}, elsewhere="http://localhost:1/"),
        "redirects to another host, localhost:1: give --url",
    ),
    "single slashes only": (broken(merges_slashes=False), "not behind the double slash the updater asks with"),
    "empty": (broken(files={"metainfo": b""}), "an empty metainfo: re-sign"),
    "no files": (broken(files={"metainfo": signer.metainfo({})}), "lists no file"),
    "noise": (broken(files={"metainfo": bytes(range(256))}), "not signed"),
    "huge": (broken(files={"metainfo": bytes(5 << 20)}), "more than 4194304 bytes"),
    "hangs up": (broken(manner="empty"), "closes connections without an answer: restart"),
    "resets": (broken(manner="reset"), ""),
    "cut": (broken(manners={"metainfo": "cut"}), "does not send all of metainfo"),
    "junk": (broken(manner="junk"), ""),
}


@pytest.mark.parametrize(("attributes", "said"), SITES.values(), ids=SITES.keys())
def test_crit_a_site_that_nodes_can_not_use(check, updates, attributes, said):
    for name, value in attributes.items():
        setattr(updates, name, value)
    code, text = check()
    assert code == 2
    assert said in first(text)
    assert re.search(rf"127.0.0.1:{updates.port}\b", first(text))
    assert text.count("\n") == 1
    assert not set(figures(text)) - {"time.metainfo"}


@pytest.mark.slow
def test_crit_a_server_that_hangs(check, updates):
    updates.manner = "silent"
    code, text = check("-t", "1")
    assert code == 2
    assert "takes connections but never answers: its web server hangs, restart it" in first(text)
    assert len(updates.paths) == 1


def test_crit_nothing_listens(check, updates):
    updates.stop()
    code, text = check()
    assert code == 2
    assert "refuses connections: start its web server" in first(text)
    assert "|" not in text


def test_unknown_a_host_without_an_address():
    code, text = CHECK.run(["--url", "http://a..b/updatesite/"])
    assert code == 3
    assert text.startswith("SOFTWARE_UPDATE UNKNOWN - a..b:80: no address")


@pytest.mark.parametrize("manner", ["drip", "pieces"])
def test_ok_answers_in_pieces(check, updates, manner):
    updates.files = {"a": b"b"}
    updates.sign()
    updates.manner = manner
    assert check()[0] == 0


def test_a_redirect_on_the_same_host_is_followed_as_the_updater_does(check, updates):
    updates.files |= {"moved": updates.files["metainfo"]}
    updates.statuses["metainfo"] = 302
    updates.elsewhere = f"{updates.url}moved"
    assert check()[0] == 0


def test_time_thresholds(check):
    assert check("--time-warning", "0.000001")[0] == 1
    code, text = check("--time-critical", "0.000001")
    assert code == 2
    assert re.search(r"took 0(\.\d+)? s \(> 0.000001\)", first(text))
    assert ";;0.000001" in text
    assert check("--time-critical", "100")[0] == 0


# Files


WRONG_FILES = {
    "missing": (lambda double: double.files.pop("nmmain.py"), "nmmain.py is not there (HTTP 404)"),
    "short": (lambda double: double.files.update({"nmmain.py": b"x"}), "nmmain.py has 1 bytes instead of 630"),
    "long": (lambda double: double.files.update({"nmmain.py": bytes(2000)}), "nmmain.py has more than its 630 bytes"),
    "other": (lambda double: double.files.update({"nmmain.py": bytes(630)}), "nmmain.py has another SHA-1"),
    "forbidden": (lambda double: double.statuses.update({"nmmain.py": 403}), "nmmain.py HTTP 403"),
    "cut": (lambda double: double.manners.update({"nmmain.py": "cut"}), "nmmain.py"),
    "gone": (lambda double: double.manners.update({"nmmain.py": "empty"}), "nmmain.py"),
}


@pytest.mark.parametrize(("change", "said"), WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_crit_a_file_that_is_not_what_metainfo_says(check, updates, change, said):
    change(updates)
    code, text = check("-v")
    assert code == 2
    assert f"127.0.0.1:{updates.port}: file {said}" in first(text)
    assert "push again, or re-sign with writemetainfo.py" in first(text)
    assert figures(text)["files.wrong"] == 1
    assert figures(text)["files.checked"] == 3
    assert "site: nmmain.py" in text


@pytest.mark.slow
def test_crit_a_file_that_never_comes(check, updates):
    updates.manners["nmAPI.py"] = "silent"
    code, text = check("-t", "2")
    assert code == 2
    assert "nmAPI.py does not come: the server gives no answer" in first(text)


def test_crit_several_wrong_files_are_counted(check, updates):
    updates.files["nmmain.py"] = b"x"
    del updates.files["nmAPI.py"]
    code, text = check("-v")
    assert code == 2
    assert "file nmAPI.py is not there (HTTP 404), 1 more" in first(text)
    assert figures(text)["files.wrong"] == 2


def test_ok_a_push_that_is_going_on_is_no_alarm(check, updates):
    def push(name, times):
        if name == "metainfo" and times == 1:
            updates.sign()

    updates.files["nmmain.py"] = b"the new one"
    updates.before = push
    code, text = check()
    assert code == 0
    assert "3 files, 3 checked" in first(text)
    assert figures(text)["files.checked"] == 3


def test_ok_a_push_after_a_push_is_no_alarm(check, updates):
    def push(name, times):
        if name == "nmmain.py" and times < 2:
            updates.files[name] += b"more"
        if name == "metainfo" and times in (1, 3):
            updates.sign()
        if name == "metainfo" and times == 2:
            updates.files[name] = updates.files[name][:-30]

    updates.before = push
    code, text = check()
    assert code == 0, text
    assert figures(text)["files.checked"] == 3


def test_ok_a_file_that_is_being_copied_is_asked_for_again(check, updates):
    whole = updates.files["nmmain.py"]

    def push(name, times):
        if name == "nmmain.py" and times == 1:
            updates.files["nmmain.py"] = whole

    updates.files["nmmain.py"] = whole[:100]
    updates.before = push
    code, text = check()
    assert (code, figures(text)["files.checked"]) == (0, 3)
    assert [path.rpartition("/")[2] for path in updates.paths].count("nmAPI.py") == 1


def test_ok_a_metainfo_that_is_being_written(check, updates):
    whole = updates.files["metainfo"]

    def push(name, times):
        if name == "metainfo" and times == 1:
            updates.files["metainfo"] = whole

    for part in (b"", whole[:50], whole[:-20]):
        updates.files["metainfo"], updates.paths[:] = part, []
        updates.before = push
        assert check()[0] == 0


def many(double, number):
    """Give a site many files, which are one and the same but for their names."""
    double.files = {f"f{n:03}.py": b"same" for n in range(number)}
    double.sign()


@pytest.mark.slow
def test_ok_a_sample_of_many_files(check, updates):
    many(updates, 30)
    for argv, checked in ([], 20), (["--files", "5"], 5), (["--files", "30"], 30), (["--files", "all"], 30):
        code, text = check(*argv)
        assert code == 0
        assert f"30 files, {checked} checked" in first(text)
        assert figures(text)["files.checked"] == checked


def test_a_sample_stays_for_an_hour_and_all_files_have_their_turn():
    entries = [Entry(f"f{n}", "", n) for n in range(97)]
    for hours in (1, 2, 3, 6, 24, 97, 168):
        seen, runs = set(), 0
        while len(seen) < len(entries) and runs < 40:
            now = 1_800_000_000 + runs * hours * 3600
            sample = choose(entries, 10, now)
            assert len({entry.name for entry in sample}) == 10
            assert sample == choose(entries, 10, now + 1799)
            seen |= {entry.name for entry in sample}
            runs += 1
        assert len(seen) == len(entries), f"every {hours} h"
    assert choose(entries, None, 0) == entries
    assert choose(entries, 0, 0) == []


def test_ok_a_run_takes_no_more_bytes_than_it_may(check, updates, monkeypatch):
    monkeypatch.setattr(site, "MOST_BYTES", 1800)
    code, text = check()
    assert code == 0
    assert "3 files, 2 checked" in first(text)
    assert "softwareupdater.py is more than what is left" in text


def test_ok_files_for_which_there_is_no_time_are_left_out_and_said(check, updates, monkeypatch):
    many(updates, 40)
    calls = itertools.count()
    monkeypatch.setattr(site, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + next(calls)))
    code, text = check("--files", "all")
    assert code == 0
    checked = figures(text)["files.checked"]
    assert 0 < checked < 40
    assert f"time was up before {40 - checked:.0f} of the files" in text


@pytest.mark.slow
def test_ok_a_large_file_on_its_way_when_time_is_up_is_no_alarm(check, updates, monkeypatch):
    monkeypatch.setattr(site, "_ON_ITS_WAY", 1000)
    updates.files["large"] = bytes(3_000_000)
    updates.sign()
    updates.manners["large"] = "pieces"
    code, text = check("-t", "2")
    assert code == 0, text
    assert re.search(r"time was up at \d+ of 3000000 bytes of large", text)
    assert figures(text)["files.checked"] == 3


@pytest.mark.slow
def test_ten_thousand_files_and_an_empty_installation_fit(check, updates, tmp_path):
    updates.files = {f"folder/some-file-{n:05}.py": b"" for n in range(10_000)}
    updates.sign()
    code, text = check("--install-dir", tmp_path, "--files", "1", "-v", "--not-running-severity", "ok")
    assert code == 1
    assert len(text.encode()) <= 4000
    assert figures(text)["local.missing"] == 10_000
    assert "missing local files (folder/some-file-00000.py, folder/some-file-00001.py ...): 10000 (> 0)" in text
    assert "lines fit]" in first(text)


# Options


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"", "no public key"), (b"5", "no public key"), (b"a b", "no public key")],
)
def test_unknown_a_key_that_can_not_be_read(check, tmp_path, content, said):
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    code, text = check("--key", path)
    assert (code, text.count("\n")) == (3, 1)
    assert said in text


@pytest.mark.parametrize(
    "argv",
    [
        *(
            ["--url", url]
            for url in ("", "ftp://h/", "h", "http://", "http://u:p@h/", "http://h/?a", "file:///etc/passwd")
        ),
        *(["--files", number] for number in ("", "-1", "1.5", "some", "9999999", "²")),
        *(["--grace", number] for number in ("", "x", "-5", "9999999999", "²")),
        ["--grace", "5"],
        ["--ignore", "x"],
    ],
)
def test_unknown_options_that_make_no_sense(argv):
    code, text = CHECK.run(argv)
    assert (code, text.count("\n")) == (3, 1)
    assert "u:p" not in text
    assert "internal" not in text


def test_days_as_seconds():
    ranges = {"7:": "604800:", "2": "0:172800", "@1:2": "@86400:172800", "~:0.5": "~:43200", "0.25:": "21600:"}
    for days, seconds in ranges.items():
        found = in_seconds(parse_range(days))
        assert [found.match(value * DAY) for value in (-1, 0.3, 1.5, 8)] == [
            parse_range(days).match(value) for value in (-1, 0.3, 1.5, 8)
        ], seconds
    assert in_seconds(None) is None
    assert [span(seconds) for seconds in (5, 600, 7200, 10 * DAY)] == ["5 s", "10 min", "2 h", "10 d"]


# A node's installation


@pytest.fixture
def node(tmp_path, updates):
    """An installation that is the same as the site, with an empty lock folder beside it."""
    folder = tmp_path / "seattle_repy"
    folder.mkdir()
    for name, data in updates.files.items():
        (folder / name).write_bytes(data)
    (tmp_path / "locks").mkdir()
    return folder


@pytest.fixture
def look(check, node):
    """look(*argv): the check with the installation, whose updater need not run."""

    def run(*argv):
        where = ["--install-dir", node, "--lock-dir", node.parent / "locks", "--files", "0"]
        return check(*where, "--not-running-severity", "ok", *argv)

    return run


def test_ok_an_installation_like_the_site(look):
    code, text = look("-v")
    assert code == 0
    assert "3 local files the same" in first(text)
    assert "no key pinned" not in text
    found = figures(text)
    assert found["local.age"] == pytest.approx(60, abs=30)
    local = {label: found[label] for label in found if label.startswith("local.") and label != "local.age"}
    assert local == {"local.compared": 3, "local.missing": 0, "local.different": 0, "local.extra": 0, "local.behind": 0}


CHANGES = {
    "missing": (
        lambda folder: (folder / "nmAPI.py").unlink(),
        "missing local files (nmAPI.py): 1 (> 0)",
        "missing: nmAPI.py",
    ),
    "short": (
        lambda folder: (folder / "nmAPI.py").write_bytes(b"x"),
        "different local files (nmAPI.py): 1",
        "1 bytes instead of 1120",
    ),
    "other": (
        lambda folder: (folder / "nmAPI.py").write_bytes(bytes(1120)),
        "different local files",
        "nmAPI.py, another SHA-1",
    ),
    "link": (
        lambda folder: replace(folder, os.symlink, "/etc/passwd"),
        "different",
        "nmAPI.py, a symbolic link, not followed",
    ),
    "endless": (
        lambda folder: replace(folder, os.symlink, "/dev/zero"),
        "different",
        "nmAPI.py, a symbolic link, not followed",
    ),
    "FIFO": (lambda folder: replace(folder, lambda path: os.mkfifo(path)), "different", "nmAPI.py, a FIFO"),
    "folder": (lambda folder: replace(folder, os.mkdir), "different", "nmAPI.py, a directory"),
}


def replace(folder, make, *before):
    (folder / "nmAPI.py").unlink()
    make(*before, folder / "nmAPI.py")


@pytest.mark.parametrize(("change", "said", "listed"), CHANGES.values(), ids=CHANGES.keys())
def test_warn_a_local_file_that_is_not_the_site_s(look, node, change, said, listed):
    change(node)
    code, text = look("-v")
    assert code == 1
    assert said in first(text)
    assert "remove its metainfo, then the updater fetches them" in first(text)
    assert listed in text
    kind = listed.partition(":")[0] if listed.startswith("missing") else "different"
    assert figures(text)[f"local.{kind}"] == 1
    assert look(f"--{kind}-warning", "", f"--{kind}-critical", "")[0] == 0
    assert look(f"--{kind}-critical", "0")[0] == 2
    assert look("--ignore", r"nm[A-Z]+\.py")[0] == 0


def test_ok_no_file_outside_the_installation_is_opened(look, updates, node, tmp_path, monkeypatch):
    updates.files = {"lib/secret": b"word"}
    updates.sign()
    shutil.rmtree(node)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"word")
    node.mkdir()
    (node / "lib").symlink_to(outside)
    code, text = look("-v", "--key", key_file(tmp_path))
    assert code == 1
    assert "different: lib/secret, a symbolic link, not followed" in text
    (node / "lib").unlink()
    (node / "lib").write_bytes(b"no folder")
    assert "different: lib/secret, a file where a directory should be" in look("-v", "--key", key_file(tmp_path))[1]


def key_file(folder):
    path = folder / "pinned"
    path.write_text(signer.key().public)
    return path


def test_extra_files_only_alert_with_a_threshold(look, node):
    for name in ("nodeman.cfg", "v1/user.data", "lib/more.py", "nmAPI.pyc", "x_repy.py", ".nm.swp", "odd|\x1b\udcff"):
        path = node / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    code, text = look("-v")
    assert code == 0
    assert figures(text)["local.extra"] == 3
    assert "extra: lib/more.py\nextra: nodeman.cfg\nextra: odd???" in text
    code, text = look("--extra-warning", "2")
    assert code == 1
    assert "extra local files (lib/more.py, nodeman.cfg ...): 3 (> 2)" in first(text)
    assert look("--extra-warning", "2", "--ignore", "lib/.*")[0] == 0


def test_ok_a_folder_without_end_costs_little(look, node, monkeypatch):
    monkeypatch.setattr(install, "_MOST_EXTRA", 10)
    for number in range(15):
        (node / f"d{number:02}").mkdir()
        (node / f"d{number:02}/x").touch()
    code, text = look()
    assert code == 0
    assert figures(text)["local.extra"] < 15


def test_unknown_an_installation_that_is_not_there(check, tmp_path):
    code, text = check("--install-dir", tmp_path / "nowhere", "--not-running-severity", "ok")
    assert code == 3
    assert "softwareupdater.py: No such file or directory" in text
    assert figures(text)["files.checked"] == 3
    assert "local.missing" not in figures(text)


def test_unknown_a_local_file_that_can_not_be_read(look, updates, node):
    updates.files["x" * 300] = b"no file system takes this name"
    (node / "metainfo").write_bytes(updates.sign())
    code, text = look("-v")
    assert code == 3
    assert f"local {'x' * 300} can't be read: File name too long" in first(text)
    assert (figures(text)["local.compared"], figures(text)["local.missing"]) == (3, 0)
    assert look("--ignore", "x+")[0] == 0


def test_unknown_no_time_is_left_for_local_files(look, monkeypatch):
    monkeypatch.setattr(install, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 3600))
    code, text = look()
    assert code == 3
    assert "time was up before 3 local files were compared" in first(text)


# The local metainfo


def write_metainfo(node, updates, **words):
    listed = {name: data for name, data in updates.files.items() if name != "metainfo"}
    (node / "metainfo").write_bytes(signer.metainfo(listed, **words))


def test_warn_an_older_local_metainfo(look, updates, node):
    write_metainfo(node, updates, signed=time.time() - 5 * DAY)
    updates.sign(signed=time.time() - 3 * DAY)
    code, text = look()
    assert code == 1
    assert "local metainfo is older than the site's, signed 3 d ago (> 0 s): see the updater's log" in first(text)
    assert figures(text)["local.behind"] == pytest.approx(3 * DAY, abs=5)
    assert look("--behind-warning", str(4 * DAY))[0] == 0
    assert look("--behind-critical", "3600")[0] == 2


def test_ok_a_node_may_take_its_time_to_follow_a_push(look, updates, node):
    write_metainfo(node, updates, signed=time.time() - 5 * DAY)
    updates.files["nmAPI.py"] = b"a new one"
    updates.sign(signed=time.time() - 120)
    code, text = look()
    assert code == 1
    assert "different local files (nmAPI.py): 1" in first(text)
    code, text = look("--grace", "900")
    assert code == 0
    assert "the node has 15 min to follow what was signed 2 min ago" in text
    assert figures(text)["local.different"] == 1
    assert look("--grace", "100")[0] == 1


def test_warn_grace_is_not_for_a_node_that_already_has_the_site_s_metainfo(look, updates, node):
    (node / "nmAPI.py").unlink()
    assert look("--grace", "900")[0] == 1
    (node / "metainfo").unlink()
    assert look("--grace", "900")[0] == 1


def test_warn_a_site_that_was_set_back(look, updates, node):
    write_metainfo(node, updates, signed=time.time() - 10)
    updates.sign(signed=time.time() - 5 * DAY)
    code, text = look()
    assert code == 1
    assert "is newer than the site's, which this node refuses: was the site set back?" in first(text)


def test_warn_a_page_as_local_metainfo(look, node):
    (node / "metainfo").write_bytes(b"<html>404</html>")
    code, text = look()
    assert code == 1
    assert "is not to be used (a web page and no metainfo" in first(text)
    (node / "metainfo").unlink()
    (node / "metainfo").symlink_to("/dev/zero")
    code, text = look()
    assert code == 3
    assert "metainfo: a symbolic link, not followed" in first(text)


def test_ok_no_local_metainfo_yet(look, node):
    (node / "metainfo").unlink()
    code, text = look()
    assert code == 0
    assert "local.behind" not in text


# What the node trusts


def test_crit_a_site_signed_by_another_key_than_the_node_trusts(look, updates, node, tmp_path):
    (node / "softwareupdater.py").write_bytes(signer.updater(signer.key("old")))
    code, text = look()
    assert code == 2
    assert "signed by another key than the pinned one: nodes refuse it" in first(text)
    assert "local files were not compared" in text
    code, text = look("--key", key_file(tmp_path))
    assert code == 2
    assert "the installed softwareupdater.py trusts another key than that of --key" in first(text)


def test_unknown_a_node_whose_key_can_not_be_read(look, updates, node, tmp_path):
    updates.files["softwareupdater.py"] = b"print 5\n"
    updates.sign()
    (node / "softwareupdater.py").write_bytes(b"print 5\n")
    (node / "metainfo").write_bytes(updates.files["metainfo"])
    code, text = look()
    assert code == 3
    assert "which key the node trusts is not known" in first(text)
    assert "no key pinned" in first(text)


def test_the_site_is_the_one_the_node_asks(look, updates, node):
    updates.files["softwareupdater.py"] = signer.updater(url=updates.url)
    updates.sign()
    (node / "softwareupdater.py").write_bytes(updates.files["softwareupdater.py"])
    (node / "metainfo").write_bytes(updates.files["metainfo"])
    code, text = CHECK.run(["--install-dir", str(node), "--not-running-severity", "ok", "-t", "60"])
    assert code == 0
    assert "3 files, 3 checked" in first(text)
    assert "asks another site" not in look()[1]
    (node / "softwareupdater.py").write_bytes(signer.updater(url="http://old.example/0.1/"))
    assert "the installed updater asks another site: http://old.example/0.1/" in look()[1]


# The updater's process


@pytest.fixture(scope="module")
def updater(tmp_path_factory):
    """A process that is softwareupdater.py, started as the real one is."""
    folder = tmp_path_factory.mktemp("running")
    (folder / "softwareupdater.py").write_text("import sys\nprint('up', flush=True)\nsys.stdin.read()\n")
    process = subprocess.Popen(
        [sys.executable, "-S", "-E", "softwareupdater.py"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"up\n"
    yield process
    process.send_signal(signal.SIGCONT)
    process.stdin.close()
    process.wait()
    process.stdout.close()


@pytest.fixture
def procfs(tmp_path):
    """procfs(pid...): a folder with these processes of the real /proc and no others but the first."""

    def make(*pids, hidden=False):
        folder = tmp_path / "proc"
        folder.mkdir(exist_ok=True)
        for pid in pids if hidden else (1, *pids):
            if not (folder / str(pid)).exists():
                (folder / str(pid)).symlink_to(f"/proc/{pid}")
        return folder

    return make


@pytest.fixture
def alive(check, node, procfs):
    """alive(*pids, locks={}): the check, with the lock files' contents, where only these processes are to be seen."""

    def run(*pids, locks=(), argv=(), hidden=False):
        for name, text in locks:
            (node.parent / "locks" / f"runoncelock.softwareupdater.{name}").write_text(text)
        return check(
            "--install-dir",
            node,
            "--lock-dir",
            node.parent / "locks",
            "--proc",
            procfs(*pids, hidden=hidden),
            "--files",
            "0",
            "-v",
            *argv,
        )

    return run


def test_ok_the_lock_file_names_the_updater(alive, updater):
    code, text = alive(updater.pid, locks=[("old", f"{updater.pid}      ")])
    assert code == 0
    assert first(text).endswith("updater runs")
    assert figures(text)["updater.running"] == 1
    assert f"updater: process {updater.pid}" in text


def test_ok_an_updater_that_takes_over_or_has_no_lock_file(alive, updater):
    assert alive(updater.pid, locks=[("old", "999999      "), ("new", f"{updater.pid}      ")])[0] == 0


def test_ok_an_updater_whose_lock_file_is_elsewhere(alive, updater):
    assert alive(updater.pid)[0] == 0


@pytest.mark.parametrize(
    "locks",
    [[], [("old", "1      ")], [("old", "")], [("old", "x" * 500)], [("old", "99999999999999999999")], [("new", "0")]],
)
def test_crit_no_updater(alive, locks):
    code, text = alive(locks=locks)
    assert code == 2
    assert "the software updater does not run" in first(text)
    assert "start softwareupdater.py" in first(text)
    assert figures(text)["updater.running"] == 0


def test_crit_a_pid_that_belongs_to_somebody_else_by_now(alive):
    """This test's own process has the script's name as an argument of an argument at most."""
    code, text = alive(os.getpid(), locks=[("old", f"{os.getpid()}      ")])
    assert code == 2
    assert f"process {os.getpid()} of its lock file is gone" in first(text)
    assert alive(locks=(), argv=["--not-running-severity", "warning"])[0] == 1


def test_crit_a_stopped_updater(alive, updater):
    updater.send_signal(signal.SIGSTOP)
    os.waitpid(updater.pid, os.WUNTRACED)
    try:
        code, text = alive(updater.pid, locks=[("old", f"{updater.pid}      ")])
    finally:
        updater.send_signal(signal.SIGCONT)
    assert code == 2
    assert f"process {updater.pid} is stopped: kill -CONT {updater.pid}" in first(text)


def test_unknown_where_other_users_processes_are_hidden(alive):
    code, text = alive(os.getpid(), hidden=True)
    assert code == 3
    assert "the software updater is not seen: other users' processes are hidden here" in first(text)
    assert "updater.running" not in text


def test_crit_lock_files_that_are_none(alive, node):
    os.mkfifo(node.parent / "locks/runoncelock.softwareupdater.old")
    (node.parent / "locks/runoncelock.softwareupdater.new").symlink_to("/dev/zero")
    assert alive()[0] == 2


def test_the_updater_is_looked_for_though_the_site_is_down(alive, updates):
    updates.stop()
    code, text = alive()
    assert code == 2
    assert "refuses connections" in text
    assert "the software updater does not run" in text
    assert figures(text) == {"updater.running": 0}
