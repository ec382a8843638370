"""The connection to Nagios: what is said, what is understood, and what stays in the socket for a successor."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from checks.engine.worker import query_handler
from checks.engine.worker.messages import TIMED_OUT, Answer
from checks.engine.worker.query_handler import Connection, Gone, Handed, Refused

JOB = b"job_id=7\0type=0\0command=/usr/lib/nagios/plugins/check_nrpe -H a=b -c x\0timeout=60\0env=NAGIOS_HOSTNAME=a\nNAGIOS_SERVICEDESC=b\n\0"
END = query_handler.DELIMITER


class Pair:
    """A connection, and Nagios's end of it."""

    def __init__(self, registered: bool = True) -> None:
        ours, self.nagios = socket.socketpair()
        self.connection = Connection(ours, "check_nrpe", "one", registered)

    def read(self) -> list[Handed | str]:
        found = self.connection.read()
        self.connection.taken()
        return found

    def close(self) -> None:
        self.connection.close()
        self.nagios.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_a_job_is_read_with_its_environment(pair: Pair) -> None:
    pair.nagios.sendall(JOB + END)
    (job,) = pair.read()
    assert job == Handed(
        7,
        0,
        60,
        b"/usr/lib/nagios/plugins/check_nrpe -H a=b -c x",
        b"NAGIOS_HOSTNAME=a\nNAGIOS_SERVICEDESC=b\n",
    )


def test_jobs_that_arrive_in_pieces_are_read_when_they_are_whole(pair: Pair) -> None:
    text = (JOB + END) * 2
    found = []
    for start in range(0, len(text), 50):
        pair.nagios.sendall(text[start : start + 50])
        found += pair.read()
    assert [job.job_id for job in found if isinstance(job, Handed)] == [7, 7]


def test_what_was_not_taken_is_found_by_a_successor(pair: Pair) -> None:
    pair.nagios.sendall(JOB + END + JOB[:30])
    assert len(pair.connection.read()) == 1
    successor = Connection(socket.socket(fileno=socket.dup(pair.connection.fileno())), "check_nrpe", "one", True)
    assert len(successor.read()) == 1
    successor.taken()
    pair.nagios.sendall(JOB[30:] + END)
    assert [type(job) for job in successor.read()] == [Handed]
    successor.close()


def test_a_job_longer_than_the_socket_holds_arrives(pair: Pair) -> None:
    job = JOB + b"more=" + b"x" * 3_000_000 + END
    pair.nagios.setblocking(False)
    found: list[Handed | str] = []
    while job or not found:
        if job:
            job = job[pair.nagios.send(job) :]
        found += pair.read()
    assert [item.job_id for item in found if isinstance(item, Handed)] == [7]


def test_a_job_without_end_is_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_handler, "LONGEST_JOB", 1000)
    pair.nagios.sendall(b"x" * 2000)
    with pytest.raises(Refused, match="more than 1000 bytes"):
        pair.read()


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"job_id=7\0type=0\0", "command is missing"),
        (b"job_id=x\0type=0\0command=c\0", "invalid literal"),
        (b"", "job_id is missing"),
        (b"\xff\xfe\0=\0", "job_id is missing"),
    ],
    ids=["no-command", "no-number", "nothing", "binary"],
)
def test_what_is_no_job_is_named_and_costs_no_other(pair: Pair, message: bytes, reason: str) -> None:
    pair.nagios.sendall(message + END + JOB + END)
    bad, good = pair.read()
    assert isinstance(bad, str)
    assert reason in bad
    assert isinstance(good, Handed)


def test_the_first_job_may_come_with_the_answer_to_the_registration() -> None:
    pair = Pair(registered=False)
    pair.nagios.sendall(b"O")
    assert pair.read() == []
    pair.nagios.sendall(b"K\0" + JOB + END)
    assert [type(job) for job in pair.read()] == [Handed]
    assert pair.connection.registered
    pair.close()


@pytest.mark.parametrize("answer", [b"404: wproc: No such handler", b"500: Internal server error\0", b"OKAY\0"])
def test_nagios_may_refuse(answer: bytes) -> None:
    pair = Pair(registered=False)
    pair.nagios.sendall(answer)
    with pytest.raises(Refused, match=answer[:3].decode()):
        pair.read()
    pair.close()


def test_the_end_of_nagios_is_noticed(pair: Pair) -> None:
    pair.nagios.close()
    with pytest.raises(Gone):
        pair.connection.read()


def test_a_result_has_left_only_when_nagios_has_taken_all_of_it(pair: Pair) -> None:
    for number in range(200):
        message = query_handler.result(number, 0, Answer(number, 1.5, 2.75, 256, output=b"x" * 4000))
        pair.connection.answer(number, message)
    pair.nagios.setblocking(False)
    left = pair.connection.flush()
    assert 0 < len(left) < 200
    received = b""
    while len(left) < 200:
        received += pair.nagios.recv(65536)
        left += pair.connection.flush()
        whole = received.count(END)
        assert whole <= len(left)
    assert left == list(range(200))


def test_a_result_in_nagioss_own_words() -> None:
    answer = Answer(1, 1700000000.25, 1700000001.5, 2 << 8, output=b"CRITICAL\0 x|a=1\nmore", errors=b"e\0e")
    message = query_handler.result(7, 0, answer)
    assert message.endswith(END)
    assert message.removesuffix(END).removesuffix(b"\0").split(b"\0") == [
        b"job_id=7",
        b"type=0",
        b"start=1700000000.250000",
        b"stop=1700000001.500000",
        b"runtime=1.250000",
        b"wait_status=512",
        b"exited_ok=1",
        b"outerr=e e",
        b"outstd=CRITICAL  x|a=1\nmore",
    ]


def test_a_check_whose_time_was_over_did_not_end_well() -> None:
    message = query_handler.result(7, 0, Answer(1, 1.0, 61.0, error_code=TIMED_OUT))
    assert b"\0exited_ok=0\0error_code=62\0" in message


def test_nagios_is_never_sent_more_than_it_keeps() -> None:
    message = query_handler.result(7, 0, Answer(1, 1.0, 2.0, output=b"x" * 5_000_000, errors=b"y" * 5_000_000))
    assert len(message) < 200_000


def test_a_worker_names_its_plugin_and_no_pid() -> None:
    assert (
        query_handler.registration("check_nrpe", 500)
        == b"@wproc register name=testbed-checks;max_jobs=500;plugin=check_nrpe\0"
    )


@pytest.mark.parametrize("name", ["", "a b", "a;pid=1", "a\0b", "a=b", "a\nb"])
def test_a_name_that_could_forge_a_registration_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a plugin"):
        query_handler.registration(name, 1)
