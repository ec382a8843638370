"""vesselinfo: what an installer takes, and what makes a whole installation fail."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.installer.vesselinfo import parse
from checks.seattle.errors import Malformed
from tests.seattle.builder import RESERVED, VESSELINFO


def test_the_captured_file():
    vessels = parse(VESSELINFO.encode())
    assert [vessel.percent for vessel in vessels] == [60, 20, 20]
    assert [vessel.owners for vessel in vessels[:2]] == [[(12345, 54321)], [(3, 4)]]
    assert [vessel.users for vessel in vessels] == [[(1, 2)], [(67890, 9876)], []]
    assert f"{vessels[2].owners[0].e} {vessels[2].owners[0].n}" == RESERVED


def test_line_ends_of_windows_and_a_last_one_are_taken():
    assert parse(VESSELINFO.replace("\n", "\r\n").encode() + b"\n") == parse(VESSELINFO.encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1 of vesselinfo is none an installer takes: ''"),
        ("Percent 60\nOwner 1 2", "the percentages of vesselinfo add up to 60, not 100"),
        ("Percent 60\nOwner 1 2\nPercent 60\nOwner 1 2", "add up to 120, not 100"),
        ("Percent 80\nPercent 20\nOwner 1 2", "vessel 1 of 2 in vesselinfo has no owner"),
        ("Percent 80\nUser 3 4\nPercent 20\nOwner 1 2", "vessel 1 of 2 in vesselinfo has no owner"),
        ("Owner 1 2\nPercent 100", "line 1 of vesselinfo is none an installer takes: 'Owner 1 2'"),
        ("Percent 100\n\nOwner 1 2", "line 2 of vesselinfo is none"),
        ("percent 100\nOwner 1 2", "line 1 of vesselinfo is none"),
        ("Percent 99.9\nOwner 1 2", "line 1 of vesselinfo is none"),
        ("Percent -1\nOwner 1 2", "line 1 of vesselinfo is none"),
        ("Percent 100\nOwner 1", "line 2 of vesselinfo has no public key: '1'"),
        ("Percent 100\nOwner /home/operator/a.publickey", "line 2 of vesselinfo has no public key"),
        (f"Percent 100\nOwner 1 {'9' * 5000}", "line 2 of vesselinfo has no public key"),
        ("Percent 100\nOwner 1 2\n|\x1b[2J", "line 3 of vesselinfo is none an installer takes: '|\\x1b[2J'"),
    ],
)
def test_what_no_installer_takes(text, said):
    with pytest.raises(Malformed) as caught:
        parse(text.encode())
    assert said in str(caught.value)


LINES = st.sampled_from(
    ["Percent 50", "Percent 100", "Percent 0", "Owner 1 2", "User 3 4", "Owner 1", "", "Percent \u00b2"]
)


@settings(max_examples=100)
@given(st.lists(LINES, max_size=6).map(lambda lines: "\n".join(lines).encode()) | st.binary(max_size=50))
def test_nothing_raises_anything_but_malformed(text):
    with contextlib.suppress(Malformed):
        assert sum(vessel.percent for vessel in parse(text)) == 100
