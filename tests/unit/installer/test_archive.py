"""Installers' archives, whole, damaged and hostile: what is in them, or by which name they are bad; never anything else, and never much memory."""

import contextlib
import gzip
import io
import struct
import tarfile
import time
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.installer import archive
from tests.seattle.builder import MEMBER, VESSELINFO, tgz, zipped

TEXT = VESSELINFO.encode()
TGZ, ZIP = tgz(TEXT), zipped(TEXT)
both = pytest.mark.parametrize("packed", [tgz, zipped])


def read(data: bytes, seconds: float = 20.0) -> archive.Contents:
    return archive.read(io.BytesIO(data), time.monotonic() + seconds)


def bad(data: bytes) -> str:
    with pytest.raises(archive.BadArchive) as caught:
        read(data)
    assert str(caught.value).isprintable()
    return str(caught.value)


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as file:
        for info, data in members:
            info.size = info.size or len(data)
            file.addfile(info, io.BytesIO(data) if data else None)
    return gzip.compress(packed.getvalue(), 1)


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@both
def test_vesselinfo_and_the_number_of_members(packed):
    assert read(packed(TEXT)) == (3, TEXT)
    assert read(packed(TEXT, {"seattle/empty": b""})) == (4, TEXT)


@both
def test_vesselinfo_of_an_older_builder_has_a_dot_before_it(packed):
    assert read(packed(TEXT, member=f"./{MEMBER}")).vesselinfo == TEXT


def test_of_two_vesselinfos_the_last_counts_as_when_it_is_unpacked():
    assert read(tgz(TEXT, {MEMBER: b"that of the base installer"})) == (4, TEXT)


def test_an_android_package_has_the_archive_inside():
    assert read(zipped(None, {"res/raw/seattle.zip": ZIP, "classes.dex": b"dex"})).vesselinfo == TEXT
    assert "is missing" in bad(zipped(None, {"res/raw/seattle.zip": zipped(None, {"res/raw/seattle.zip": ZIP})}))


@both
def test_vesselinfo_is_missing(packed):
    assert bad(packed(None)) == "seattle/seattle_repy/vesselinfo is missing among its 2 members"
    assert "is missing among" in bad(packed(None, {"seattle/seattle_repy/vesselinfo.old": TEXT}))


@pytest.mark.parametrize("data", [b"", b"<html>It works!</html>", b"\x7fELF", b"\0" * 600], ids=repr)
def test_what_is_no_archive(data):
    assert bad(data).startswith("it is neither a .tgz nor a .zip, it begins with b'")


@pytest.mark.parametrize("data", [TGZ, ZIP], ids=["tgz", "zip"])
def test_every_cut_archive_is_bad(data):
    for size in range(2, len(data), 23):
        bad(data[:size])
    assert bad(TGZ[:-1]) == "it is cut off"


def test_a_tar_that_is_cut_inside_a_whole_gzip_is_bad():
    whole = gzip.decompress(TGZ)
    assert "damaged" in bad(gzip.compress(whole[:2000]))
    middle = whole[:1024] + b"\x01" * 512 + whole[1536:]
    assert "damaged" in bad(gzip.compress(middle)), "tarfile ends silently at a header it does not understand"
    assert "damaged behind member 3" in bad(gzip.compress(whole + b"more"))


@settings(max_examples=60)
@given(st.booleans(), st.integers(0, 10**6), st.integers(1, 255))
def test_no_changed_byte_gives_another_vesselinfo(as_zip, place, change):
    data = bytearray(ZIP if as_zip else TGZ)
    data[place % len(data)] ^= change
    with contextlib.suppress(archive.BadArchive):
        assert read(bytes(data)).vesselinfo == TEXT


@settings(max_examples=60)
@given(
    st.sampled_from([b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"PK\x05\x06", b""]), st.binary(max_size=300), st.booleans()
)
def test_nothing_raises_anything_but_bad_archive(begin, rest, packed):
    with pytest.raises(archive.BadArchive):
        read(gzip.compress(begin + rest * 3) if packed else begin + rest)


# Hostile ones


@both
@pytest.mark.parametrize("name", ["/etc/cron.d/x", "../x", "seattle/../../x", "C:\\x", "a\\..\\..\\x"])
def test_a_member_that_would_be_written_elsewhere(packed, name):
    assert bad(packed(TEXT, {name: b"x"})).startswith("it would write outside its folder: ")


@pytest.mark.parametrize(
    ("member", "text"),
    [
        (info("seattle/x", tarfile.SYMTYPE, "/etc"), "link that leads outside"),
        (info("seattle/x", tarfile.SYMTYPE, "../../etc"), "link that leads outside"),
        (info("seattle/x", tarfile.LNKTYPE, "../etc/passwd"), "link that leads outside"),
        (info("seattle/x", tarfile.CHRTYPE), "a member that is no file"),
        (info("seattle/x", tarfile.FIFOTYPE), "a member that is no file"),
        (info(MEMBER, tarfile.SYMTYPE, "vesselinfo2"), "its vesselinfo is no plain file"),
        (info(MEMBER, tarfile.DIRTYPE), "its vesselinfo is no plain file"),
    ],
)
def test_a_member_that_is_not_what_an_installer_holds(member, text):
    assert text in bad(tar((info(MEMBER), TEXT), (member, b"")))


def test_a_link_inside_is_fine():
    links = [info("seattle/a/x", tarfile.SYMTYPE, "../b"), info("seattle/y", tarfile.LNKTYPE, "seattle/z")]
    assert read(tar(*[(link, b"") for link in links], (info("seattle/z"), b"z"), (info(MEMBER), TEXT))).members == 4


def test_an_installer_without_anything_to_install_is_bad():
    """What an empty base installer is packed to: gzip, tar and zip take that for an archive without members."""
    nothing = "it holds nothing but vesselinfo (rebuild the base installer first)"
    assert bad(tar((info("seattle/seattle_repy", tarfile.DIRTYPE), b""), (info(MEMBER), TEXT))) == nothing
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("seattle/seattle_repy/", b"")
        file.writestr(MEMBER, TEXT)
    assert bad(packed.getvalue()) == nothing


@both
def test_a_bomb_is_given_up(packed, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST_UNPACKED", 10**6)
    bomb = packed(TEXT, {"seattle/zeros": b"\0" * 3 * 10**6})
    assert len(bomb) < 10**5
    assert bad(bomb) == "it unpacks to more than 1000000 bytes"


@both
def test_thousands_of_members_are_given_up(packed, monkeypatch):
    monkeypatch.setattr(archive, "MOST_MEMBERS", 100)
    assert bad(packed(TEXT, {f"seattle/{number}": b"" for number in range(200)})) == "it has more than 100 members"


def test_a_zip_with_too_long_a_list_is_given_up(monkeypatch):
    monkeypatch.setattr(archive, "_LONGEST_LIST", 70_000)
    assert bad(zipped(TEXT, {f"seattle/{number}": b"" for number in range(1500)})) == "its list of members is too long"


@both
def test_a_vesselinfo_that_is_too_large(packed):
    assert bad(packed(b"\0" * (2**20 + 1))) == "its vesselinfo is larger than 1048576 bytes"


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_name_of_twenty_megabytes_is_not_read(kind):
    long = info("x", kind)
    long.size = 20 * 2**20
    data = gzip.compress(long.tobuf(tarfile.GNU_FORMAT) + b"\0" * 20 * 2**20, 1)
    tracemalloc.start()
    assert bad(data) == "the head of a member is too long"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_a_chain_of_heads_is_not_followed_to_its_end():
    name = info("x", tarfile.GNUTYPE_LONGNAME)
    name.size = 1
    assert "head of a member is too long" in bad(gzip.compress((name.tobuf(tarfile.GNU_FORMAT) + b"y" * 512) * 3000, 1))


def test_a_sparse_map_is_bounded():
    lines = [b"22 GNU.sparse.major=1\n", b"22 GNU.sparse.minor=0\n", b"21 GNU.sparse.name=x\n"]
    extended, sparse = info("x", tarfile.XHDTYPE), info("x")
    extended.size, sparse.size = len(b"".join(lines)), 20 * 2**20
    heads = [extended.tobuf(tarfile.GNU_FORMAT), b"".join(lines).ljust(512, b"\0"), sparse.tobuf(tarfile.GNU_FORMAT)]
    assert bad(gzip.compress(b"".join(heads) + b"99999999\n" + b"1\n" * 2**20, 1)) == "the head of a member is too long"


def test_an_encrypted_zip_says_so():
    data = bytearray(ZIP)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(signature)
        while place >= 0:
            struct.pack_into("<H", data, place + offset, 1)
            place = data.find(signature, place + 4)
    assert bad(bytes(data)) == "it is encrypted"


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_that_would_be_unpacked_without_bounds_is_refused(method):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as file:
        file.writestr(MEMBER, TEXT)
    assert bad(packed.getvalue()) == "it is compressed in a way that installers are not"


def test_reading_ends_in_time():
    with pytest.raises(archive.BadArchive, match="could not be read through in time"):
        read(TGZ, -1.0)
