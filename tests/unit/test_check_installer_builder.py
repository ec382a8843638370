"""check_installer_builder against the double of the Custom Installer Builder, in its whole and its broken states."""

import re
import tempfile
from xmlrpc import client

import pytest

from checks.check_installer_builder import CHECK
from checks.installer import advice, builder
from tests.seattle.builder import BASE, BUILD, BUNDLES, RESERVED, VESSELINFO, InstallerBuilder, tgz, zipped
from tests.seattle.web import answer

KEYS = {"alice": "12345 54321", "bob": "3 4", "carl": "67890 9876", "seattle": RESERVED, "eve": "5 7"}


@pytest.fixture
def double():
    with InstallerBuilder() as one:
        yield one


@pytest.fixture
def check(double, tmp_path):
    """Runs the check on the double; {name} stands for a key file."""
    for name, text in KEYS.items():
        (tmp_path / f"{name}.publickey").write_text(text)

    def run(*argv):
        words = [re.sub(r"\{(\w+)\}", rf"{tmp_path}/\1.publickey", word) for word in argv]
        outcome = CHECK.run(["--url", double.url, *words])
        assert "internal error" not in outcome.text
        return outcome.code, outcome.text.replace(f"127.0.0.1:{double.port}", "SERVER")

    return run


def download(*more):
    return ("--build-id", BUILD, *more)


def perfdata(text):
    return dict(re.findall(r"(\S+)=([^ ;\n]+)", text.split("\n")[0].partition(" | ")[2]))


def whole_exchange(double, body, method="POST", path="xmlrpc/"):
    """What the double answers to bytes, without the headers that tell the time."""
    import requests

    done = requests.request(method, double.url + path, data=body, allow_redirects=False, timeout=10)
    return done.status_code, done.headers["Content-Type"], done.content


# The double speaks as captured


def test_the_double_speaks_the_captured_exchange(double):
    body = b"<?xml version='1.0'?>\n<methodCall>\n<methodName>api_version</methodName>\n<params>\n</params>\n</methodCall>\n"
    said = (
        b"<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><string>2.0</string></value>\n</param>\n</params>\n"
        b"</methodResponse>\n"
    )
    assert whole_exchange(double, body) == (200, "application/xml", said)


INVALID = "<class 'custominstallerbuilder.common.validations.ValidationError'>:"
TYPE_ERROR = "<type 'exceptions.TypeError'>:api_version() takes exactly 1 argument (2 given)"
ALICE = {"a": {"public_key": "1 2"}}


@pytest.mark.parametrize(
    ("method", "params", "text"),
    [
        ("get_urls", ("0" * 40,), f"{INVALID}Given build ID does not exist."),
        ("get_urls", ("0" * 39,), f"{INVALID}Invalid build_id provided."),
        ("nosuch", (), "<type 'exceptions.Exception'>:method \"nosuch\" is not supported"),
        ("api_version", (1,), TYPE_ERROR),
        (
            "build_installers",
            ([{"percentage": 100, "owner": "a"}], ALICE),
            f"{INVALID}Vessel resources must total 80% exactly. Current vessels total 100%.",
        ),
        ("build_installers", ([{"percentage": 80}], ALICE), f"{INVALID}All vessels must have a specified owner."),
        (
            "build_installers",
            ([{"percentage": 80, "owner": "a"}], {"a": {"public_key": "x"}}),
            f"{INVALID}Invalid public key provided.",
        ),
    ],
)
def test_the_double_fails_as_captured(double, method, params, text):
    with pytest.raises(client.Fault) as caught, client.ServerProxy(f"{double.url}xmlrpc/") as proxy:
        getattr(proxy, method)(*params)
    assert (caught.value.faultCode, caught.value.faultString) == (1, text)


def test_the_double_minds_the_slash_at_the_end(double):
    assert whole_exchange(double, b"", "GET", "xmlrpc")[0] == 301
    assert whole_exchange(double, b"", "POST", "xmlrpc")[0] == 500
    assert whole_exchange(double, b"", "GET", "xmlrpc/")[0] == 200


# Calls


def test_ok_two_calls_that_leave_nothing_behind(check, double):
    code, text = check()
    assert code == 0
    assert re.match(r"INSTALLER_BUILDER OK - API 2\.0, 0\.\d\d s \| time\.total=", text)
    assert list(perfdata(text)) == ["time.total", "time.api", "time.probe"]
    assert [client.loads(request.partition(b"\r\n\r\n")[2]) for request in double.requests] == [
        ((), "api_version"),
        (("0" * 40,), "get_urls"),
    ]
    assert list(double.builds) == [BUILD]


def test_ok_a_base_url_without_its_slash(double):
    assert CHECK.run(["--url", double.url.rstrip("/")]).code == 0


def test_warn_and_crit_by_the_time_in_all(check):
    code, text = check("-w", "0.000001")
    assert code == 1
    assert text.startswith("INSTALLER_BUILDER WARNING - total time 0.")
    assert re.search(r"time\.total=[\d.]+s;0\.000001 ", text)
    assert check("-c", "0.000001")[0] == 2
    assert check("-w", "50", "-c", "60")[0] == 0


def test_crit_another_api(check):
    assert check("--expect-api", "2.0")[0] == 0
    code, text = check("--expect-api", "3.0")
    assert code == 2
    assert text.startswith("INSTALLER_BUILDER CRITICAL - API 2.0, not 3.0: its clients must be told")
    assert "time.api" in perfdata(text)


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ("silent", "SERVER takes connections but never answers (api_version): it hangs, restart it"),
        ("empty", "SERVER hangs up (api_version: connection closed without an answer): see its error log"),
        ("reset", "SERVER hangs up (api_version: connection broken without an answer): see its error log"),
        ("cut", "SERVER: the answer broke off after 2 bytes (api_version): see its error log and disk"),
        ("junk", "SERVER refuses the request (HTTP 400): is this name in ALLOWED_HOSTS of its settings?"),
    ],
)
def test_crit_every_way_not_to_answer(check, double, manner, said):
    double.manner = manner
    assert check("-t", "0.3" if manner == "silent" else "10") == (2, f"INSTALLER_BUILDER CRITICAL - {said}\n")


@pytest.mark.slow
@pytest.mark.parametrize("manner", ["drip", "pieces"])
def test_ok_a_slow_network(check, double, manner):
    double.manner = manner
    assert check()[0] == 0


def test_crit_nobody_there(double):
    double.stop()
    outcome = CHECK.run(["--url", double.url])
    assert outcome.code == 2
    place = f"127.0.0.1:{double.port}"
    assert outcome.text == f"INSTALLER_BUILDER CRITICAL - {place} refuses connections: start its web server\n"


def test_unknown_a_host_without_address():
    outcome = CHECK.run(["--url", f"http://{'a' * 64}.invalid/"])
    assert outcome.code == 3
    assert ":80: no address" in outcome.text
    assert "check --url and the name service" in outcome.text


def status(text, body=b"", *headers):
    return answer(body, text, "text/html", *headers)


DEBUG = b'<title>OperationalError at /custom_install/xmlrpc/</title><pre class="exception_value">database | is &lt;locked&gt;\n</pre>'
FOREIGN = answer(b"<html><body>It works!</body></html>")


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (status("404 Not Found"), "SERVER has no /custom_install/xmlrpc/ (HTTP 404): check --url"),
        (
            status("301 Moved", b"", "Location: https://other/custom_install/xmlrpc/"),
            "SERVER sends us to https://other/custom_install/: give that as --url",
        ),
        (status("403 Forbidden"), "SERVER forbids it (HTTP 403, api_version): let this host in"),
        (
            status("502 Bad Gateway"),
            "SERVER is up, but the application behind it is not (HTTP 502): restart the application",
        ),
        (status("500 Oops"), "SERVER fails (HTTP 500, api_version): see its error log"),
        (
            status("500 Oops", DEBUG),
            "SERVER fails (HTTP 500, api_version: OperationalError: database ? is ?locked?): see its error log",
        ),
        (status("418 Teapot"), "SERVER answers HTTP 418 (api_version): check --url"),
        (
            FOREIGN,
            "SERVER answers, but not as an installer builder: check --url, then its error log (api_version: the answer is not XML-RPC: "
            "'?html??body?It works!?/body??/html?')",
        ),
        (
            answer(b"x" * 2**21),
            "SERVER: 2097152 bytes, more than 1048576 (api_version): see its error log and disk",
        ),
    ],
)
def test_crit_pages_instead_of_answers(check, double, page, said):
    double.pages[f"{BASE}xmlrpc/"] = page
    code, text = check()
    assert code == 2
    note = "it shows debug pages, with its settings in them: set DEBUG = False there\n" if DEBUG in page else ""
    assert text == f"INSTALLER_BUILDER CRITICAL - {said}\n{note}"


@pytest.mark.parametrize(
    ("method", "fault", "said"),
    [
        (
            "api_version",
            "<type 'exceptions.AttributeError'>:'Settings' object has no attribute 'API_VERSION'",
            "SERVER fails in api_version (AttributeError: 'Settings' object has no attribute 'API_VERSION'): see its error log",
        ),
        (
            "get_urls",
            "<type 'exceptions.OSError'>:[Errno 5] Input/output error",
            "SERVER fails in get_urls (OSError: [Errno 5] Input/output error): see its error log",
        ),
        ("get_urls", "no such thing | <b>\x7f", "SERVER fails in get_urls (no such thing ? ?b??): see its error log"),
    ],
)
def test_crit_faults_under_http_200(check, double, method, fault, said):
    double.faults[method] = fault
    code, text = check()
    assert code == 2
    assert text.startswith(f"INSTALLER_BUILDER CRITICAL - {said}")
    assert ("time.api" in perfdata(text)) == (method == "get_urls"), "what was measured before is still given"
    assert "time.total" not in perfdata(text)


def test_crit_a_builder_that_knows_every_build(check, double):
    double.builds["0" * 40] = VESSELINFO
    code, text = check()
    assert code == 2
    assert "SERVER is no installer builder as we know it (get_urls of a build that can't be there is a dict)" in text


def test_crit_a_version_that_is_none(check, double):
    double.version = 2
    assert "(api_version is 2)" in check()[1]


# Downloads


def test_ok_installers_of_all_platforms(check):
    code, text = check(
        *download("--platform", "all", "-v", "--owner", "{alice}", "--owner", "{bob}", "--user", "{carl}")
    )
    assert code == 0
    assert text.startswith("INSTALLER_BUILDER OK - API 2.0, 4 installers (linux, mac, windows, android), 0.")
    found = perfdata(text)
    for platform in BUNDLES:
        assert int(found[f"installer.{platform}.bytes"].rstrip("B")) > 500
        assert (found[f"installer.{platform}.vessels"], found[f"installer.{platform}.members"]) == ("3", "3")
    assert {"time.total", "time.api", "time.probe", "time.urls", "time.download"} < found.keys()
    assert "linux: vessel 1 of 3: 60 %, owner alice.publickey, users 1 2\n" in text
    assert "android: vessel 3 of 3: 20 %, owner 65537 22599311...94481841\n" in text


def test_ok_one_installer(check):
    code, text = check(*download())
    assert code == 0
    assert re.match(r"INSTALLER_BUILDER OK - API 2\.0, linux installer of \d+ B with 3 vessels, 0\.\d\d s \| ", text)


def test_ok_a_build_id_from_a_file(check, tmp_path):
    (tmp_path / "build-id").write_text(f"{BUILD}\n")
    assert check("--build-id", str(tmp_path / "build-id"))[0] == 0
    (tmp_path / "build-id").write_text("none")
    code, text = check("--build-id", str(tmp_path / "build-id"))
    assert (code, "holds no build id" in text) == (3, True)
    assert check("--build-id", str(tmp_path / "nosuch"))[0] == 3


def test_crit_a_build_that_is_gone(check):
    code, text = check("--build-id", "a" * 40)
    assert code == 2
    assert "SERVER has no build aaaaaaaa... any more: check --build-id, or make a new one by --build; API 2.0" in text


def test_crit_a_base_installer_is_missing_though_every_call_succeeds(check, double):
    double.lacking = {"windows"}
    assert check()[0] == 0
    code, text = check(*download("--platform", "linux,windows"))
    assert code == 2
    said = "INSTALLER_BUILDER CRITICAL - the base installer for windows is missing on SERVER: rebuild it there (IOError: [Errno 2]"
    assert text.startswith(said)
    assert "linux installer of" in text, "the others are still looked at"
    assert "it shows debug pages, with its settings in them: set DEBUG = False there\n" in text
    assert "SECRET_KEY" not in text


def test_crit_a_base_installer_is_missing_and_no_debug_page_says_so(check, double):
    double.lacking, double.debug = {"linux"}, False
    code, text = check(*download())
    assert code == 2
    said = "the base installer for linux is missing on SERVER, or its disk is full: see its error log (error page instead of the installer, HTTP "
    assert text.startswith(f"INSTALLER_BUILDER CRITICAL - {said}200)"), (
        "the builder's own error page has no other status"
    )
    double.pages[f"{BASE}{BUILD}/installers/linux/"] = status("500 Oops")
    assert f"{said}500)" in check(*download())[1]


def test_crit_a_build_without_its_vesselinfo(check, double):
    double.builds[BUILD] = None
    assert (
        "build 5e1f5e1f... is damaged on SERVER, linux can't be packed: make a new one (Valid" in check(*download())[1]
    )


def test_crit_other_pages_instead_of_an_installer(check, double):
    path = f"{BASE}{BUILD}/installers/linux/"
    double.pages[path] = status("404 Not Found")
    assert "SERVER has no build 5e1f5e1f... any more (HTTP 404): check --build-id" in check(*download())[1]
    double.pages[path] = status("503 Busy")
    assert "SERVER is up, but the application behind it is not (HTTP 503)" in check(*download())[1]
    double.pages[path] = status("500 Oops", DEBUG)
    assert "SERVER fails (HTTP 500, linux installer: OperationalError" in check(*download())[1]
    double.pages[path] = answer(b"not yet")
    assert (
        "the linux installer is bad, it is neither a .tgz nor a .zip, it begins with b'not '" in check(*download())[1]
    )


def in_manner(double, manner, part):
    """Lets the double answer in a manner where a path holds this part."""
    original = double.respond

    def respond(asked):
        double.manner = manner if part in asked.path else "whole"
        return original(asked)

    double.respond = respond


def test_crit_packing_takes_too_long(check, double):
    in_manner(double, "silent", "/installers/linux/")
    code, text = check(*download("-t", "0.5"))
    assert code == 2
    assert "SERVER did not pack the linux installer in time: see its load and disk, or give more time by -t" in text


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ("silent", "SERVER never sends the packed linux installer: it hangs, restart its web server"),
        ("empty", "SERVER hangs up (linux installer: connection closed without an answer): see its error log"),
        ("cut", "bytes (linux installer): see its error log and network, or give more time by -t"),
    ],
)
def test_crit_the_packed_file_does_not_come(check, double, manner, said):
    in_manner(double, manner, "/static/")
    code, text = check(*download("-t", "0.5" if manner == "silent" else "10"))
    assert code == 2
    assert said in text
    assert "installer.linux.bytes" not in perfdata(text)


def test_redirects_are_followed_where_the_builder_itself_says_and_nowhere_else(check, double):
    double.custom_installer_url = f"http://localhost:{double.port}{BASE}static/installers"
    code, text = check(*download())
    assert code == 2
    assert "SERVER redirects to another host, localhost:" in text
    assert "mend BASE_URL and CUSTOM_INSTALLER_URL in its settings, or allow it by --redirect-host" in text
    assert check(*download("--redirect-host", "LOCALHOST"))[0] == 0
    double.base_url = f"http://localhost:{double.port}"
    assert check(*download())[0] == 0, "what it gives out to its users"
    double.custom_installer_url = f"{double.base_url}/elsewhere"
    code, text = check(*download())
    assert code == 2
    assert (
        "does not serve the packed linux installer: mend CUSTOM_INSTALLER_URL in its settings, or its static files"
        in text
    )


def test_crit_users_are_sent_to_a_host_that_is_not_there(check, double):
    nowhere = f"http://{'a' * 64}.invalid"
    double.base_url, double.custom_installer_url = nowhere, f"{nowhere}/static"
    code, text = check(*download())
    assert code == 2
    assert f"SERVER sends the linux installer's users to {nowhere[7:]}:80 (no address" in text
    double.base_url = double.custom_installer_url = "http://127.0.0.1:1"
    code, text = check(*download())
    assert code == 2
    said = "SERVER sends the linux installer's users to 127.0.0.1:1 (connection refused): mend BASE_URL and CUSTOM_INSTALLER_URL"
    assert said in text


def test_crit_a_platform_that_is_not_offered(check, double):
    double.pages = {}
    original = double._get_urls
    double._get_urls = lambda build: {"linux": original(build)["linux"]}
    code, text = check(*download("--platform", "android"))
    assert code == 2
    assert "SERVER offers no android installer, only linux" in text


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (
            tgz(None),
            "seattle/seattle_repy/vesselinfo is missing among its 2 members: remove it from its build's folder",
        ),
        (tgz(VESSELINFO.encode())[:400], "it is cut off: remove it from its build's folder on the server"),
        (tgz(b"Percent 60\nOwner 1 2"), "the percentages of vesselinfo add up to 60, not 100: make a new build"),
        (tgz(b"Percent 100\n"), "vessel 1 of 1 in vesselinfo has no owner: make a new build"),
        (zipped(VESSELINFO.encode(), {"../x": b""}), "it would write outside its folder: '../x': remove it"),
    ],
    ids=["no-vesselinfo", "cut", "percentages", "no-owner", "outside"],
)
def test_crit_a_bad_installer(check, double, packed, said):
    double.packed["linux"] = packed
    code, text = check(*download())
    assert code == 2
    assert text.startswith(f"INSTALLER_BUILDER CRITICAL - the linux installer is bad, {said}")
    assert "installer.linux.bytes" in perfdata(text)


def test_crit_keys_that_are_not_as_expected(check):
    code, text = check(*download("--owner", "{alice}", "--owner", "{bob}", "--owner", "{eve}", "--user", "{eve}"))
    assert code == 2
    assert (
        "CRITICAL: the linux installer is bad, eve.publickey owns no vessel in it: find out who made this build" in text
    )
    assert "CRITICAL: the linux installer is bad, eve.publickey uses no vessel in it" in text
    code, text = check(*download("--owner", "{alice}"))
    assert code == 2
    assert "the linux installer is bad, vessel 2 is owned by a key that is none of --owner" in text
    assert check(*download("--owner", "{alice}", "--owner", "{bob}", "--owner", "{seattle}"))[0] == 0


def test_warn_by_size(check):
    code, text = check(*download("--bytes-warning", "1M:", "--bytes-critical", "mac=1M:"))
    assert code == 1
    assert text.startswith("INSTALLER_BUILDER WARNING - linux installer ")
    assert re.search(r"installer\.linux\.bytes=\d+B;1048576: ", text)


def test_nothing_is_left_on_disk(check, monkeypatch, tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert check(*download("--platform", "all"))[0] == 0
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nosuch"))
    code, text = check(*download())
    assert code == 3
    assert "downloading the linux installer: No such file or directory" in text


# Builds


def test_ok_a_new_build_of_public_keys(check, double):
    code, text = check(
        "--build", "--owner", "{alice}", "--owner", "{bob}", "--owner", "{eve}", "--user", "{carl}", "-v"
    )
    assert code == 0
    build = next(name for name in double.builds if name != BUILD)
    assert f"new build {build} was left on the server\n" in text
    assert double.builds[build] == (
        f"Percent 30\nOwner 12345 54321\nUser 67890 9876\nPercent 30\nOwner 3 4\nUser 67890 9876\n"
        f"Percent 20\nOwner 5 7\nUser 67890 9876\nPercent 20\nOwner {RESERVED}"
    )
    assert "time.build" in perfdata(text)
    assert "linux: vessel 3 of 4: 20 %, owner eve.publickey, users carl.publickey\n" in text


def test_crit_a_build_that_fails(check, double):
    double.faults["build_installers"] = "<type 'exceptions.IOError'>:[Errno 28] No space left on device"
    code, text = check("--build", "--owner", "{alice}")
    assert code == 2
    assert "SERVER fails in build_installers (IOError: [Errno 28] No space left on device): see its error log" in text


@pytest.mark.parametrize("answered", [{}, 7, {"build_id": "../x", "installers": {}}, {"build_id": BUILD}])
def test_crit_a_build_without_an_id(check, double, answered):
    double._build = lambda *params: answered
    code, text = check("--build", "--owner", "{alice}")
    assert code == 2
    assert "SERVER is no installer builder as we know it (build_installers gives no " in text


def test_percentages_add_up_to_eighty():
    for number in range(1, 9):
        found = builder.shares(number)
        assert sum(found) == 80
        assert all(10 <= percent <= 80 and percent % 10 == 0 for percent in found)


# Options


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--build"], "--build needs the public key of at least one --owner"),
        (["--build", "--owner", "x", "--build-id", BUILD], "--build and --build-id exclude each other"),
        (["--build-id", "abc"], "'abc' is no build id"),
        (["--platform", "amiga"], "'amiga' is none of linux, mac, windows, android"),
        (["--url", "custombuilder.poly.edu"], "is not an http or https URL"),
        (["--url", "http://operator:secret@h/"], "a URL with a user or password in it is not taken"),
        (["--redirect-host", "http://h/"], "is not a host's name"),
        (["--owner", "/nosuch.publickey"], "reading key file /nosuch.publickey: No such file or directory"),
        (["--owner", __file__], "no public key, which is two decimal numbers"),
        (["--ca", "/nosuch.pem"], "reading /nosuch.pem: No such file or directory"),
        (["--ca", __file__], "test_check_installer_builder.py: "),
        (["--ca", "/dev/null"], "/dev/null is no file"),
        (["--build-id", "/dev/zero"], "/dev/zero is no file"),
    ],
)
def test_unknown_mistakes_before_anything_is_asked(double, argv, said):
    outcome = CHECK.run(["--url", double.url, *argv])
    assert outcome.code == 3
    assert said in outcome.text
    assert "secret" not in outcome.text
    assert double.requests == []


def test_the_help_says_that_a_build_leaves_something_behind():
    text = CHECK.run(["--help"]).text
    assert "EACH RUN WITH IT LEAVES A FOLDER AND INSTALLERS ON THE SERVER" in " ".join(text.split())
    assert "EACH RUN LEAVES A FOLDER ON THE SERVER" in " ".join(text.split())


@pytest.mark.parametrize(
    "body",
    [b"", b"<title>x at /", b"<title>A at /</title>", b'\xff<title>\nA at /x</title><pre class="exception_value">'],
)
def test_odd_debug_pages(body):
    assert advice.debug_page(body) in ("", "A", "A: ", "x")
