"""Public keys, and the names under which nodes and states are advertised."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.seattle.errors import Malformed
from checks.seattle.keys import PublicKey, parse_key, read_key
from tests.soak import count

KEY = PublicKey(65537, 840301610928756114796324397867)


def test_the_names_a_real_node_manager_advertised():
    assert parse_key(b"65537 840301610928756114796324397867\n") == KEY
    assert KEY.advertised() == b"{'e': 65537L, 'n': 840301610928756114796324397867L}"
    assert KEY.node_name() == b"6c2f3f77f8f86bd9e242b07846aaa8bed3c7962d"


@settings(max_examples=count(50, 2000))
@given(st.integers(2, 2**2048), st.integers(2, 2**2048))
def test_a_key_written_is_a_key_read(e, n):
    assert parse_key(str(PublicKey(e, n)).encode()) == (e, n)


@settings(max_examples=count(50, 5000))
@given(st.binary(max_size=60) | st.text("0123456789 \n-", max_size=30).map(str.encode))
def test_no_bytes_raise_anything_but_malformed(text):
    try:
        key = parse_key(text)
    except Malformed:
        return
    assert key == tuple(map(int, text.split()))


@pytest.mark.parametrize("text", [b"", b"1", b"1 5", b"5 1", b"5 5 5", b"5 x", b"+5 5", b"5 -5", b"5 " + b"9" * 4301])
def test_what_is_no_key_is_malformed(text):
    with pytest.raises(Malformed):
        parse_key(text)


def test_files(tmp_path):
    path = tmp_path / "node.publickey"
    path.write_text("65537 840301610928756114796324397867")
    assert read_key(path) == KEY
    with pytest.raises(FileNotFoundError):
        read_key(tmp_path / "none")
    with pytest.raises(OSError, match="directory"):
        read_key(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_key(tmp_path / "pipe")
    path.write_bytes(b"5" * 10**6)
    with pytest.raises(Malformed):
        read_key(path)
