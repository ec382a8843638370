"""checks.web against peers that do everything a web server should not: what is asked ends in time, within its size, and by its name."""

import contextlib
import io
import shutil
import socket
import ssl
import subprocess
import time
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import checks.web.transport  # noqa: F401  # with requests, before a clock starts
from checks import web
from checks.web.xmlrpc import decode
from tests.seattle.web import WebServing, answer
from tests.unit.graphios import certificates

LARGEST = 100_000
OK = answer(b"as it is")
VERSION = (
    b"<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><string>2.0</string></value>\n</param>\n</params>\n"
    b"</methodResponse>\n"
)


class Peer(WebServing):
    """Answers with fixed bytes, by path, or does with the connection what a function says."""

    def __init__(self, script: bytes | dict[str, bytes] | Callable[[socket.socket], None], **keywords) -> None:
        super().__init__(**keywords)
        self.script = script
        self.context: ssl.SSLContext | None = None

    def url(self, path="/", scheme="http"):
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def respond(self, asked):
        return self.script[asked.path] if isinstance(self.script, dict) else self.script

    def converse(self, connection):
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True)
        if callable(self.script):
            self.asked(connection)
            self.script(connection)
        else:
            super().converse(connection)
        if self.context:
            connection.unwrap()


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def get(script, seconds=5.0, **keywords):
    with Peer(script) as peer:
        return web.get(peer.url(), soon(seconds), LARGEST, **keywords)


def fails(kind, script, seconds=5.0):
    """The named error of a get, which has to come well before anybody gives up on the test."""
    with pytest.raises(web.WebError) as caught:
        get(script, seconds)
    assert type(caught.value) is kind
    return str(caught.value)


# What is asked


def test_a_page_has_status_body_size_and_time():
    page = get(OK)
    assert (page.status, page.body, page.size, page.location) == (200, b"as it is", 8, "")
    assert 0 < page.seconds < 5


@pytest.mark.parametrize(
    ("header", "modified"),
    [
        ("Fri, 20 Nov 2026 21:11:04 GMT", 1795209064.0),
        ("Fri, 20 Nov 2026 21:11:04 +0100", None),
        ("Fri, 99 Nov 99999 21:11:04 GMT", None),
        ("yesterday GMT", None),
        ("GMT", None),
        ("", None),
    ],
)
def test_a_page_may_say_when_it_was_changed(header, modified):
    assert get(answer(b"", "200 OK", "text/html", f"Last-Modified: {header}")).modified == modified
    assert get(OK).modified is None


def test_the_request_says_who_asks_and_wants_nothing_compressed(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login operator password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    with Peer(OK) as peer:
        web.get(peer.url("/updatesite//metainfo?a=b"), soon(), LARGEST)
    asked = peer.requests[0].decode()
    assert asked.startswith("GET /updatesite//metainfo?a=b HTTP/1.1\r\n")
    assert "Accept-Encoding: identity\r\n" in asked
    assert "User-Agent: testbed-checks/" in asked
    assert "Authorization" not in asked


def test_any_status_is_returned_and_a_long_error_page_is_cut():
    page = get(answer(b"x" * 300_000, "500 Internal Server Error"))
    assert page.status == 500
    assert set(page.body) == set(b"x")
    assert 0 < len(page.body) <= 65536


@pytest.mark.parametrize(
    "script",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nas \r\n5;x=y\r\nit is\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nas it is",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        OK + b"and more than was announced",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n\r\nas it is",
    ],
    ids=["chunked", "until-close", "continue", "more-than-announced", "identity"],
)
def test_the_ways_to_send_a_body(script):
    assert get(script).body == b"as it is"


# What goes wrong, by its name


@pytest.mark.parametrize(
    ("kind", "text", "script"),
    [
        (web.EmptyAnswer, "connection closed without an answer", lambda connection: None),
        (web.Malformed, "the answer is not HTTP", b"SSH-2.0-OpenSSH_9.2\r\n"),
        (web.Malformed, "the answer is not HTTP", b"HTTP/1.1 x\r\n\r\n"),
        (web.Malformed, "the answer is not HTTP", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000),
        (web.Malformed, "the answer is not HTTP", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n"),
        (web.Incomplete, "the answer broke off after 8 bytes", OK.replace(b": 8", b": 9")),
        (
            web.Incomplete,
            "the answer broke off after",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nas it",
        ),
        (web.Incomplete, "the answer broke off after", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size"),
        (
            web.Incomplete,
            "the answer broke off after",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 70_000,
        ),
        (web.TooLarge, "100001 bytes, more than 100000", answer(b"x" * 100_001)),
        (web.TooLarge, "more than 100000 bytes", b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 400_000),
        (
            web.Malformed,
            "the answer is compressed, which was not asked for: 'gzip'",
            answer(zlib.compress(b"\0" * 10**6), "200 OK", "text/plain", "Content-Encoding: gzip"),
        ),
    ],
    ids=[
        *("closed", "another-protocol", "no-status", "long-header", "many-headers", "short-body", "short-chunk"),
        *("no-chunk-size", "long-chunk-size", "announced-too-large", "too-large", "compressed"),
    ],
)
def test_a_failure_has_its_name(kind, text, script):
    assert fails(kind, script).startswith(text)


@pytest.mark.slow
@pytest.mark.parametrize("manner", ["drip", "pieces"])
def test_an_answer_in_pieces_is_put_together(manner):
    with Peer(answer(b"x" * 600), manner=manner) as peer:
        assert web.get(peer.url(), soon(10), LARGEST).body == b"x" * 600


@pytest.mark.parametrize(
    ("manner", "kind"),
    [
        ("silent", web.NoAnswer),
        ("empty", web.EmptyAnswer),
        ("reset", web.EmptyAnswer),
        ("cut", web.Incomplete),
    ],
)
def test_an_answer_that_does_not_come(manner, kind):
    with Peer(answer(b"x" * 3000), manner=manner) as peer, pytest.raises(web.WebError) as caught:
        web.get(peer.url(), soon(0.15 if manner == "silent" else 8), LARGEST)
    assert type(caught.value) is kind


def forever(piece: bytes, before: bytes = b"") -> Callable[[socket.socket], None]:
    """A peer that never ends, at full speed or, with a short piece, a little at a time."""

    def send(connection):
        connection.sendall(before)
        while True:
            connection.sendall(piece)
            if len(piece) < 100:
                time.sleep(0.01)

    return send


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "script"),
    [
        (web.NoAnswer, forever(b"x", b"HTTP/1.1 200 O")),
        (web.NoAnswer, forever(b"x", b"HTTP/1.1 200 OK\r\nA: ")),
        (web.NoAnswer, forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)),
        (web.Incomplete, forever(b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n")),
        (web.Incomplete, forever(b"x", b"HTTP/1.1 200 OK\r\n\r\n")),
        (web.Incomplete, forever(b"1\r\nx\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")),
        (
            web.Incomplete,
            forever(b"A: b\r\n" * 1000, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
        ),
    ],
    ids=[
        "status-drips",
        "headers-drip",
        "continue-for-ever",
        "body-drips",
        "body-drips-until-close",
        "chunks-drip",
        "trailers-for-ever",
    ],
)
def test_what_never_ends_is_ended(kind, script):
    started = time.monotonic()
    assert "in time" in fails(kind, script, 0.7)
    assert time.monotonic() - started < 20


def test_nobody_there():
    with Peer(OK) as peer:
        url = peer.url()
    with pytest.raises(web.Refused, match="connection refused"):
        web.get(url, soon(), LARGEST)
    with pytest.raises(web.Unresolvable, match="no address"):
        web.get(f"http://{'a' * 64}.invalid/", soon(), LARGEST)


def test_a_host_that_takes_no_connection_is_unreachable(monkeypatch):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(full.getsockname())
            with pytest.raises(web.WebError) as caught:
                web.get(f"http://127.0.0.1:{full.getsockname()[1]}/", soon(0.2), LARGEST)
    assert isinstance(caught.value, web.Unreachable | web.NoAnswer)


# Redirects


def moved(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", status, "text/html", f"Location: {location}")


def test_a_redirect_is_followed_on_the_same_host_only_and_only_when_asked():
    script = {"/": moved("/there?a"), "/there?a": OK}
    page = get(script)
    assert (page.status, page.location) == (302, page.url + "there?a")
    page = get(script, redirects=1)
    assert (page.status, page.body, page.location) == (200, b"as it is", "")
    assert page.url.endswith("/there?a")


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("http://other.invalid/x", "redirects to another host, other.invalid:80"),
        ("//other.invalid:81/", "redirects to another host, other.invalid:81"),
        ("ftp://127.0.0.1/", "redirects to what is no URL"),
        ("http://user:secret@127.0.0.1/", "redirects to what is no URL"),
        ("http://[::1/", "redirects to what is no URL"),
        ("http://\xff\x1b[2J/", "redirects to what is no URL"),
        ("/", "redirects in a loop"),
        ("", ""),
    ],
)
def test_a_redirect_elsewhere_is_refused(location, text):
    if text:
        with pytest.raises(web.Redirected, match=text):
            get({"/": moved(location)}, redirects=5)
    else:
        assert get({"/": moved(location)}, redirects=5).status == 302


def test_a_redirect_may_lead_to_hosts_that_are_named():
    with Peer(OK) as other, Peer(moved(f"http://localhost:{other.port}/")) as peer:
        with pytest.raises(web.Redirected):
            web.get(peer.url(), soon(), LARGEST, redirects=1)
        assert web.get(peer.url(), soon(), LARGEST, redirects=1, hosts=["localhost"]).status == 200


def test_redirects_are_counted():
    script = {"/": moved("/1"), "/1": moved("/2"), "/2": OK}
    with pytest.raises(web.Redirected, match="in a loop"):
        get(script, redirects=1)
    assert get(script, redirects=2).status == 200


# Downloads


def test_a_download_goes_to_its_file_as_it_is():
    body = bytes(range(256)) * 300
    file = io.BytesIO()
    with Peer(answer(body, "200 OK", "application/x-tar", "Content-Encoding: gzip")) as peer:
        page = web.download(peer.url(), file, soon(), LARGEST)
    assert (page.status, page.body, page.size) == (200, b"", len(body))
    assert file.getvalue() == body


def test_an_error_page_is_no_download():
    file = io.BytesIO()
    with Peer(answer(b"gone", "404 Not Found")) as peer:
        page = web.download(peer.url(), file, soon(), LARGEST)
    assert (page.status, page.body, file.getvalue()) == (404, b"gone", b"")


def test_a_file_that_takes_no_more_is_an_oserror():
    with Peer(answer(b"x" * 5000)) as peer, open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError):  # noqa: PT011, PTH123
        web.download(peer.url(), full, soon(), LARGEST)


# TLS


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(certs):
    with Peer(OK) as peer:
        peer.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        peer.context.load_cert_chain(certs.server)
        yield peer


def test_a_certificate_is_trusted_by_its_authority_only(secure, certs):
    assert web.get(secure.url(scheme="https"), soon(), LARGEST, ca=str(certs.authority)).body == b"as it is"
    with pytest.raises(web.Untrusted, match="certificate: unable to get local issuer certificate"):
        web.get(secure.url(scheme="https"), soon(), LARGEST)


def test_authorities_are_those_of_the_system(secure, certs, tmp_path, monkeypatch):
    shutil.copy(certs.authority, tmp_path)
    subprocess.run(["openssl", "rehash", tmp_path], check=True, capture_output=True, timeout=60)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert web.get(secure.url(scheme="https"), soon(), LARGEST).body == b"as it is"


def test_a_certificate_of_another_name_is_not_trusted(secure, certs):
    secure.context.load_cert_chain(certs.authority, certs.authority.with_suffix(".key"))
    with pytest.raises(web.Untrusted, match=r"certificate: .*127\.0\.0\.1"):
        web.get(secure.url(scheme="https"), soon(), LARGEST, ca=str(certs.authority))


def test_a_redirect_from_https_to_http_is_refused(secure, certs):
    secure.script = moved("http://127.0.0.1/")
    with pytest.raises(web.Redirected, match="from https to http"):
        web.get(secure.url(scheme="https"), soon(), LARGEST, redirects=2, ca=str(certs.authority))


def test_a_server_without_tls_says_so():
    with Peer(OK) as peer:
        peer.converse = lambda connection: connection.sendall(OK)
        with pytest.raises(web.Malformed, match="the answer is not TLS"):
            web.get(peer.url(scheme="https"), soon(), LARGEST)


def test_a_handshake_that_never_ends_is_ended():
    def converse(connection):
        forever(b"\x16\x03\x03\x00\x01\x00")(connection)

    with Peer(OK) as peer:
        peer.converse = converse
        with pytest.raises(web.WebError):
            web.get(peer.url(scheme="https"), soon(0.2), LARGEST)
        peer.converse = lambda connection: time.sleep(1)
        with pytest.raises(web.NoAnswer):
            web.get(peer.url(scheme="https"), soon(0.2), LARGEST)


# XML-RPC


def call(script):
    with Peer(script) as peer:
        value = web.call(peer.url("/xmlrpc/"), "api_version", (), soon())
    return value, peer.requests[0]


def test_a_call_is_what_the_captured_one_is():
    value, request = call(answer(VERSION, "200 OK", "application/xml"))
    assert value == "2.0"
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /xmlrpc/ HTTP/1.1\r\n")
    assert b"Content-Type: text/xml\r\n" in head
    assert (
        body
        == b"<?xml version='1.0'?>\n<methodCall>\n<methodName>api_version</methodName>\n<params>\n</params>\n</methodCall>\n"
    )


def fault(code: str, text: str = "<string>no</string>") -> bytes:
    members = f"<member><name>faultCode</name><value>{code}</value></member><member><name>faultString</name><value>{text}</value></member>"
    return f"<methodResponse><fault><value><struct>{members}</struct></value></fault></methodResponse>".encode()


def test_a_fault_has_code_and_text():
    with pytest.raises(web.Fault, match="no") as caught:
        call(answer(fault("<int>1</int>")))
    assert caught.value.code == 1


def test_another_status_than_200_is_no_answer_to_a_call():
    with pytest.raises(web.WrongStatus, match="HTTP 500") as caught:
        call(answer(b"<title>boo</title>", "500 Internal Server Error"))
    assert caught.value.page.body == b"<title>boo</title>"


def response(value: str) -> bytes:
    return f"<methodResponse><params><param><value>{value}</value></param></params></methodResponse>".encode()


def test_values_are_decoded():
    assert decode(VERSION) == "2.0"
    value = "<struct><member><name>a</name><value><array><data><value><int>1</int></value></data></array></value></member></struct>"
    assert decode(response(value)) == {"a": [1]}
    assert decode(response("<base64>AAE=</base64>")) == b"\0\1"


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>' + response(
    "&b;"
)
DEEP = response("<array><data><value>" * 5000 + "</value></data></array>" * 5000)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>It works!</body></html>",
        ENTITIES,
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        DEEP,
        VERSION[:-20],
        VERSION + b"<more/>",
        response("<int>one</int>"),
        response(f"<int>{'9' * 5000}</int>"),
        response("<base64>A</base64>"),
        response("<dateTime.iso8601>yesterday</dateTime.iso8601>"),
        response("<struct><value>1</value></struct>"),
        response("<nosuch>1</nosuch>"),
        b"<methodResponse><params></params></methodResponse>",
        b"<methodResponse><params><param><value>1</value></param><param><value>2</value></param></params></methodResponse>",
        fault("<string>1</string>"),
        fault("<int>1</int>", "<int>2</int>"),
        b"<methodResponse><fault><value>1</value></fault></methodResponse>",
        b'<?xml version="1.0" encoding="nosuch"?>' + response("1"),
        VERSION.decode().encode("utf-16"),
        b"\xff\xfe\x00",
    ],
    ids=range(21),
)
def test_what_is_no_answer_to_a_call_is_malformed(body):
    if body.startswith(b"\xff\xfe<"):
        assert decode(body) == "2.0", "UTF-16 is XML too"
        return
    with pytest.raises(web.Malformed) as caught:
        decode(body)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("size", [0, 1, 5, 30, 100, len(VERSION) - 3])
def test_an_answer_to_a_call_that_broke_off_says_so(size):
    with pytest.raises(web.Incomplete, match=f"the answer broke off after {size} bytes"):
        decode(VERSION[:size])


PIECES = st.sampled_from(
    [
        *(f"<{mark}{tag}>" for tag in ("value", "int", "array", "data", "struct", "member", "name", "double", "nil") for mark in ("", "/")),
        *("<base64>", "</base64>", "<bigdecimal>", "</bigdecimal>", "<boolean>", "</boolean>", "1", "nan", "&amp;", "&a;", "]]>"),
        *("<fault>", "</fault>", "<param>", "</param>", "faultCode", "<dateTime.iso8601>", "</dateTime.iso8601>"),
    ]
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(PIECES, max_size=14).map(lambda pieces: response("".join(pieces))) | st.binary(max_size=60))
def test_no_answer_raises_anything_but_its_own_errors(body):
    with contextlib.suppress(web.Malformed, web.Fault):
        decode(body)


# URLs


@pytest.mark.parametrize(
    "text", ["http://h/", "https://h.example:8443/a//b?c=d%20", "http://[::1]:80/x", "http://10.0.0.1"]
)
def test_urls_that_are_taken(text):
    assert web.read_url(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "h/x", "ftp://h/", "http://", "http:///x", "http://h:x/", "http://h:0/", "http://h:99999/", "http://h/#a"),
        *("http://a b/", "http://h/\n", "http://h\u00e9/", "http://-h/", "http://[::1", "http://h/" + "x" * 3000, "http://<h>/"),
    ],
)  # fmt: skip
def test_urls_that_are_not(text):
    with pytest.raises(ValueError):  # noqa: PT011
        web.read_url(text)


def test_a_password_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(ValueError, match="user or password") as caught:
        web.read_url("http://operator:secret@h/")
    assert "secret" not in str(caught.value)


def test_a_folder_ends_with_a_slash_and_a_place_has_its_port():
    assert web.folder_url("http://h/custom_install") == "http://h/custom_install/"
    assert web.folder_url("http://h/") == "http://h/"
    with pytest.raises(ValueError, match="folder"):
        web.folder_url("http://h/?a")
    assert [web.place(url) for url in ("http://h/", "https://h/", "http://[::1]:81/")] == ["h:80", "h:443", "[::1]:81"]
