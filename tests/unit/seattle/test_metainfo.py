"""Signed metainfo: a captured one, those the test signer makes, and everything that is none."""

import contextlib
import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from checks.seattle import metainfo
from checks.seattle.errors import Malformed
from checks.seattle.keys import PublicKey
from checks.seattle.metainfo import Entry, Pinned, parse, parse_pinned, verify
from tests.seattle import signer
from tests.seattle.updatesite import NOT_FOUND

CAPTURED = (Path(__file__).parents[1] / "data/check_software_update/metainfo").read_bytes()
"""Of a real site, signed by the real writemetainfo.py."""
SHA1 = "abe232a9ff4acc0cafc854a733b38bb610e8aef5"


def test_ok_the_captured_metainfo():
    found = parse(CAPTURED)
    assert found.is_signed()
    assert found.entries == (
        Entry("nmAPI.py", SHA1, 29629),
        Entry("softwareupdater.py", "6fc7a59f30db32fde1a2a07b298195275ba7c577", 29919),
        Entry("nmmain.py", "42c67c5c2a7c4267b5418532d58c5353a5920746", 24686),
    )
    assert str(found.key) == "65537 " + CAPTURED.split(b"!")[1].split()[1].decode()
    assert (found.signed, found.expires) == (1795208219.0, 1795208219.0 + 30 * 86400)
    assert (found.sequence, found.destination) == ("", "")


@pytest.mark.parametrize("place", [0, 9, 60, 150, 160, 400, 480, 500, 520, 700, 841])
def test_crit_one_changed_letter_is_no_signed_metainfo(place):
    changed = bytearray(CAPTURED)
    changed[place] = ord("3") if chr(changed[place]) in "1245" else ord("1")
    assert bytes(changed) != CAPTURED
    try:
        assert not parse(bytes(changed)).is_signed()
    except Malformed:
        assert place < 160  # in the lines


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b" \n\n"])
def test_ok_whatever_blanks_are_at_the_end(end):
    assert parse(CAPTURED + end).is_signed()


def test_crit_line_ends_that_were_changed_break_the_signature():
    found = parse(CAPTURED.replace(b"\n", b"\r\n"))
    assert found.entries == parse(CAPTURED).entries
    assert not found.is_signed()


def test_every_cut_is_malformed_or_not_signed():
    for end in range(len(CAPTURED)):
        with contextlib.suppress(Malformed):
            assert not parse(CAPTURED[:end]).is_signed()


def test_ok_comments_blank_lines_and_words_apart_by_tabs():
    lines = f"# comment with many words\n!note\n\n  \nlib/a.py\t{SHA1} \t 5\nb.py {SHA1} 0\n"
    found = parse(signer.metainfo(lines))
    assert found.is_signed()
    assert [entry.name for entry in found.entries] == ["lib/a.py", "b.py"]


def test_ok_ten_thousand_lines():
    lines = "".join(f"folder{n % 7}/file{n}.py {hashlib.sha1(b'%d' % n).hexdigest()} {n}\n" for n in range(10_000))
    found = parse(signer.metainfo(lines))
    assert found.is_signed()
    assert len(found.entries) == 10_000
    assert found.entries[-1].size == 9_999


@pytest.mark.parametrize("bits", [40, 64, 128, 167, 176, 512, 1031])
def test_ok_keys_of_any_size_sign_in_as_many_parts_as_they_need(bits):
    key = signer.key("parts", bits)
    data = signer.metainfo({"a": b"1"}, key)
    found = parse(data)
    assert found.key == PublicKey(key.e, key.n)
    assert len(found.signature) == (1 if bits > 175 else -(-20 // ((bits - 1) // 8 - 1)))
    assert found.is_signed()
    assert not parse(data.replace(b"a 3", b"b 3")).is_signed()
    assert not parse(data + b" 5").is_signed()


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ({"days": None}, "expires", None),
        ({"sequence": "seq:5"}, "sequence", "seq:5"),
        ({"destination": "a:b"}, "destination", "a:b"),
    ],
)
def test_ok_what_a_signature_may_say(words, field, value):
    found = parse(signer.metainfo({"a": b"1"}, **words))
    assert found.is_signed()
    assert getattr(found, field) == value


NAMES = [
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        ".",
        "a/../b",
        "a/..",
        "./a",
        "a//b",
        "a/",
        "/",
        "//a",
        "a/./b",
        "..\\a",
        "C:\\a",
    ),
    *("a\x1b[2J", "a\x00b", "a\x7f", "a\u202eb", "a\x9b", "\u2028", "x" * 1001),
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_crit_a_hostile_name_is_malformed(name):
    with pytest.raises(Malformed) as caught:
        parse(signer.metainfo(f"good.py {SHA1} 5\n{name} {SHA1} 5\n"))
    assert "line 2" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (NOT_FOUND, "web page"),
        (b"\n <html>" + CAPTURED, "web page"),
        (b"a " * 10, "not signed"),
        (CAPTURED.rpartition(b"\n")[0], "not signed"),
        (CAPTURED.replace(b"\n\n!", b"!"), "not signed"),
        (b"x" + CAPTURED[CAPTURED.index(b"!") :], "not signed"),
        (CAPTURED[CAPTURED.index(b"!") :], "lists no file"),
        (CAPTURED.replace(b" 29629", b""), "line 1 is not"),
        (
            CAPTURED.replace(b"nmAPI.py", b"nm API.py"),
            "line 1 has a name with blanks, which no updater can read (rename that file): 'nm API.py",
        ),
        (CAPTURED.replace(b" 29629", b" 1 2"), "line 1 is not"),
        (CAPTURED.replace(b" 29629", b" -1"), "no size"),
        (CAPTURED.replace(b" 29629", b" " + b"9" * 16), "no size"),
        (CAPTURED.replace(b"abe232", b"ABE232"), "no SHA-1"),
        (CAPTURED.replace(b"abe232", b"abe23"), "no SHA-1"),
        (CAPTURED.replace(b"nmAPI", b"\xff\xfe"), "no file should have"),
        (CAPTURED.replace(b"nmAPI.py", b"nmmain.py"), "again"),
        (CAPTURED.replace(b"4004197019.0", b"1e9"), "no time"),
        (CAPTURED.replace(b"4004197019.0", b"nan"), "no time"),
        (CAPTURED.replace(b"4006789019.0", b""), "no time"),
        (CAPTURED.replace(b"65537 ", b"65537"), "no public key"),
        (CAPTURED.replace(b"65537 ", b"65537 1"), ""),
        (CAPTURED.replace(b"!65537 ", b"!" + b"9" * 400 + b" "), "no key that can be used"),
        (CAPTURED.replace(b"!65537 ", b"!3 " + b"9" * 3000), "no key that can be used"),
        (CAPTURED.replace(b"!65537 ", b"!3 " + b"9" * 5000), "no public key"),
        (CAPTURED + b"9" * 5000, "the signature is no number"),
        (CAPTURED + b" 1" * 30, "the signature is no number"),
        (CAPTURED + b"\nb.py 1 2", "the signature is no number"),
        (CAPTURED.replace(b"!None!None!", b"!\xff!None!"), "sequence number can't be read"),
        (CAPTURED.replace(b"!None!None!", b"!None!" + b"x" * 300 + b"!"), "destination can't be read"),
        (b"a" * (metainfo.LARGEST + 1), "at most"),
    ],
)
def test_crit_what_is_no_metainfo_is_malformed(data, said):
    if not said:
        assert not parse(data).is_signed()
        return
    with pytest.raises(Malformed) as caught:
        parse(data)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def test_crit_more_files_than_any_site_has(monkeypatch):
    monkeypatch.setattr(metainfo, "MOST_FILES", 5)
    lines = [f"f{n} {SHA1} 5\n" for n in range(6)]
    assert len(parse(signer.metainfo("".join(lines[:5]))).entries) == 5
    with pytest.raises(Malformed, match="more than 5 files"):
        parse(signer.metainfo("".join(lines)))


def test_ok_a_line_that_is_there_twice():
    assert len(parse(signer.metainfo(f"a {SHA1} 5\n" * 2)).entries) == 1


@settings(max_examples=60)
@given(st.binary(max_size=300) | st.text("!\n #.0159a/", max_size=300).map(str.encode))
@example(b"!!!!!!")
@example(b"\n!2 3!None!None!None!None! 1")
def test_bytes_of_any_kind_are_parsed_or_malformed(data):
    with contextlib.suppress(Malformed):
        found = parse(data)
        assert found.entries
        assert not found.is_signed()


@settings(max_examples=40)
@given(st.integers(0, len(CAPTURED) - 1), st.binary(max_size=30), st.integers(0, 30))
def test_no_altered_metainfo_is_signed(place, put, gone):
    altered = CAPTURED[:place] + put + CAPTURED[place + gone :]
    with contextlib.suppress(Malformed):
        found = parse(altered)
        same = (found.text, found.signature) == (parse(CAPTURED).text, parse(CAPTURED).signature)
        assert found.is_signed() == same


def test_a_signature_is_by_one_key_only():
    one, other = signer.key(), signer.key("other")
    text = b"anything"
    number = int(one.sign(text))
    assert verify(text, PublicKey(one.e, one.n), (number,))
    assert not verify(text, PublicKey(other.e, other.n), (number,))
    assert not verify(text, PublicKey(one.e, one.n), (number + one.n,))
    assert not verify(text, PublicKey(one.e, one.n), (number, number))
    assert not verify(text, PublicKey(one.e, one.n), (0,))
    assert not verify(text, PublicKey(one.e, one.n), ())
    assert not verify(text, PublicKey(3, 1 << 17), (1,) * 20)


def test_a_first_byte_other_than_1_is_no_signature():
    key = signer.key()
    digest = hashlib.sha1(b"anything").digest()
    for first in (b"\2", b"\xff", b"\1\1"):
        forged = pow(int.from_bytes(first + digest, "big"), key.d, key.n)
        assert not verify(b"anything", PublicKey(key.e, key.n), (forged,))


# The key an installed updater trusts


@pytest.mark.parametrize(
    "line",
    [
        "softwareupdatepublickey = {'e':65537, 'n':123456789}",
        "softwareupdatepublickey = {'e': 65537L, 'n': 123456789L}",
        'softwareupdatepublickey={"n": 123456789, "e": 65537}  # ours',
        "#softwareupdatepublickey = {'e': 1, 'n': 2}\nsoftwareupdatepublickey\t= {'n':123456789,'e':65537,}",
        "softwareupdatepublickey = {'e':65537, 'n':123456789}\r\nsoftwareupdatepublickey = {'e':65537, 'n':123456789}\r",
    ],
)
def test_ok_the_pinned_key(line):
    source = f"import sys\nsoftwareurl = \"http://h/old/\"\nsoftwareurl = 'http://h/site/'\n{line}\nprint 5\n"
    assert parse_pinned(source.encode()) == Pinned(PublicKey(65537, 123456789), "http://h/site/")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"", "no line"),
        (b"  softwareupdatepublickey = {'e': 65537, 'n': 12345}", "no line"),
        (b"softwareupdatepublickey = keys['x']", "no line"),
        (b"softwareupdatepublickey = {'e': 65537}", "is not {'e': ..."),
        (b"softwareupdatepublickey = {'e': 65537, 'e': 12345}", "is not {'e': ..."),
        (b"softwareupdatepublickey = {'e': 65537, 'n': f()}", "is not {'e': ..."),
        (b"softwareupdatepublickey = {'e': 3, 'n': 55}\nsoftwareupdatepublickey = {'e': 3, 'n': 77}", "more than one"),
        (b"softwareupdatepublickey = {'e': 0, 'n': 55}", "no public key"),
        (b"softwareupdatepublickey = {'e': 3, 'n': " + b"9" * 6000 + b"}", "no public key"),
        (random.Random(5).randbytes(100_000), "no line"),
    ],
)
def test_unknown_no_pinned_key(source, said):
    with pytest.raises(Malformed) as caught:
        parse_pinned(source)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_captured_site_pins_its_own_key():
    key = parse(CAPTURED).key
    source = f"softwareupdatepublickey = {{'e':{key.e}, 'n':{key.n}}}\n"
    assert parse_pinned(source.encode()) == Pinned(key, "")
