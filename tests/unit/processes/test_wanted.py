"""Which processes are wanted."""

import pytest

from checks.options import UsageError
from checks.processes.wanted import PROFILES, Asked, Users, choose, labels


def asked(*texts):
    collected = Asked()
    for text in texts:
        collected.add(text)
    return collected


def users(*texts):
    collected = Users()
    for text in texts:
        collected.add(text)
    return collected


def chosen(*texts, profiles=(), user=()):
    return choose(profiles, asked(*texts), users(*user))


def test_the_clearinghouse_is_the_list_of_its_own_monitor():
    names = {name for one in PROFILES["clearinghouse"] for name in one.names}
    assert {"apache2", "mysqld", "mariadbd", "backend_daemon.py", "lockserver_daemon.py"} <= names
    assert len(PROFILES["clearinghouse"]) == 9


def test_names_ranges_and_alternatives():
    (one, two, three) = chosen("mysqld|mariadbd=1:2", "x.py", "y=")
    assert (one.names, str(one.limit), one.title) == (("mysqld", "mariadbd"), "1:2", "mysqld or mariadbd")
    assert str(two.limit) == "1:"
    assert three.limit is None


@pytest.mark.parametrize("text", ["", "=1:", "a||b", "/=1", "x/", "a\nb", "x=y", "x=2:1", "y" * 300])
def test_a_mistake_is_told(text):
    with pytest.raises(ValueError, match=r"."):
        asked(text)


def test_a_range_for_a_process_of_a_profile_replaces_its_own():
    found = chosen("nmmain.py=2:", profiles=["node"])
    assert [(one.name, str(one.limit), one.script) for one in found] == [
        ("nmmain.py", "2:", "start_seattle.sh"),
        ("softwareupdater.py", "1:", "start_seattle.sh"),
    ]


@pytest.mark.parametrize(("texts", "user"), [(("x|y", "z", "y|z"), ()), (("x", "x|x"), ()), (("x",), ("y=root",))])
def test_what_makes_no_sense_is_told(texts, user):
    with pytest.raises(UsageError):
        chosen(*texts, user=user)


def test_users_for_one_and_for_all():
    one, two = chosen("a|b", "c")
    found = users("b=ch", "www-data", "c=1000")
    assert (found.of(one), found.of(two), users("x").of(one)) == ("ch", "1000", "x")


@pytest.mark.parametrize("text", ["", "a=", "a=b c", "-x", "a|b"])
def test_a_user_is_a_name_or_number(text):
    with pytest.raises(ValueError, match="not a user's"):
        users(text)


def test_labels_are_the_names_without_what_labels_can_not_hold():
    found = labels(chosen("advertiseserver.py", "zenodotus_built.repy", "/usr/sbin/mysqld|mariadbd"))
    assert found == ["advertiseserver", "zenodotus_built_repy", "mysqld"]


def test_labels_that_would_be_one_are_kept_apart_whatever_their_order():
    one = labels(chosen("x", "x.py"))
    two = labels(chosen("x.py", "x"))
    assert len(set(one)) == 2
    assert set(one) == set(two)
