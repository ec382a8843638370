"""check_disk on recorded machines, and its child process with mounts that hang, fail or vanish."""

import errno
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import check_disk
from checks.check_disk import CHECK, human, mount_label
from checks.deadline import BadInput
from checks.disk import usage
from checks.disk.mounts import Mount, in_memory, parse_fstab, parse_mountinfo, turned_read_only, visible
from checks.disk.usage import Trouble, Usage, ask

SERVER = Path(__file__).parent / "data" / "check_disk" / "server"
GIB = 1 << 30
ROOT = "28 1 253:0 / / rw,relatime - ext4 /dev/sda1 rw\n"
LOCAL = [
    "/",
    "/archive",
    "/backup",
    "/boot",
    "/boot/efi",
    "/dev/shm",
    "/home",
    "/opt/hidden",
    "/run",
    "/run/lock",
    "/srv/covered",
]
LOCAL += ["/srv/empty source", "/srv/with blank\tand\\slash", "/var", "/var/log"]
REMOTE = ["/mnt/ceph", "/mnt/cifs", "/mnt/nfs", "/mnt/ninep", "/mnt/ssh"]


def half_full(path):
    """10 GiB used, 9 GiB free for users, 1 GiB for root only; 1 % of the inodes used."""
    return Usage(20 * GIB, 10 * GIB, 9 * GIB, 1000, 990)


@pytest.fixture
def answers(monkeypatch):
    """What mounts answer, by path; all others are half full."""
    told = {}
    monkeypatch.setattr(
        check_disk,
        "ask",
        lambda mounts, *_: {path: told.get(path, half_full(path)) for _, path in mounts if told.get(path, 1)},
    )
    return told


def looked_at(*argv):
    """The mount points a run on the recorded server looks at, by the lines of -v."""
    text = CHECK.run(
        ["--proc", str(SERVER), "--fstab", str(SERVER / "fstab"), "-v", "--max-output", "100000", *argv]
    ).text
    return [
        line.rpartition(" (")[0]
        for line in text.splitlines()[1:]
        if "% used, " in line and not line.startswith(("WARN", "CRIT"))
    ]


def proc(tmp_path, *lines):
    """A procfs with these lines of mountinfo."""
    (tmp_path / "self").mkdir(exist_ok=True)
    (tmp_path / "self" / "mountinfo").write_text(ROOT + "".join(f"{line}\n" for line in lines))
    return ["--proc", str(tmp_path), "--fstab", str(tmp_path / "fstab")]


# What is looked at


def test_a_server_shows_its_local_file_systems_each_once_and_nothing_else(answers):
    assert sorted(looked_at()) == sorted(path.replace("\t", "?") for path in LOCAL)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--include-path", "/var"], ["/var"]),
        (["--include-path", "/var(/.*)?"], ["/var", "/var/log"]),
        (["--include-type", "xfs"], ["/var"]),
        (["--include-type", "nfs4"], ["/mnt/nfs"]),
        (["--include-type", "squashfs|iso9660"], ["/media/cdrom", "/snap/core/1"]),
        (["--include-device", "/dev/sda.*"], ["/boot", "/boot/efi"]),
        (["--include-path", "/mnt/nfs"], ["/mnt/nfs"]),
        (["--include-path", "/mnt/nf.", "--no-match-severity", "ok"], []),
        (["--include-path", "/snap/core/1"], ["/snap/core/1"]),
        (["--include-path", "/boot.*", "--exclude-path", "/boot"], ["/boot/efi"]),
        (["--include-path", "/boot", "--exclude-path", "/boot", "--no-match-severity", "ok"], []),
        (["--include-path", "/boot.*", "--exclude-type", "vfat"], ["/boot"]),
        (["--include-path", "/boot.*", "--exclude-device", "/dev/sda2"], ["/boot/efi"]),
        (["--include-path", "/boot.*", "--include-type", "vfat"], ["/boot/efi"]),
        (["--include-path", "/boot", "--include-path", "/home"], ["/boot", "/home"]),
        (["--include-path", "/srv/export"], ["/srv/export"]),
        (["--include-path", "/var|/srv/export"], ["/var"]),
        (["--exclude-path", "/var", "--include-type", "xfs"], ["/srv/export"]),
        (["--include-path", "/boo"], []),
    ],
)
def test_include_and_exclude(answers, argv, expected):
    assert sorted(looked_at(*argv)) == expected


def test_the_order_of_include_and_exclude_does_not_matter(answers):
    assert looked_at("--exclude-path", "/boot", "--include-path", "/boot.*") == looked_at(
        "--include-path", "/boot.*", "--exclude-path", "/boot"
    )


def test_remote_file_systems_come_with_an_option_only(answers):
    assert sorted(set(looked_at("--remote")) - set(looked_at())) == REMOTE


def test_a_container_shows_its_overlay_root(answers, tmp_path):
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mountinfo").write_text(
        "400 300 0:70 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n"
    )
    outcome = CHECK.run(["--proc", str(tmp_path)])
    assert outcome.code == 0
    assert "root.used_percent=" in outcome.text


def test_min_size_leaves_out_small_file_systems(answers):
    answers["/boot/efi"] = Usage(GIB, 1, GIB, 0, 0)
    assert "/boot/efi" in looked_at("--min-size", "1G")
    assert "/boot/efi" not in looked_at("--min-size", "2G")


def test_file_systems_without_a_size_are_left_out(answers):
    answers["/run/lock"] = Usage(0, 0, 0, 0, 0)
    assert "/run/lock" not in looked_at()


@pytest.mark.parametrize(("severity", "code"), [("ok", 0), ("warning", 1), ("critical", 2), ("unknown", 3)])
@pytest.mark.parametrize(
    "argv",
    [
        ["--include-type", "zfs"],
        ["--include-path", "/nowhere"],
        ["--exclude-path", ".*"],
        ["--include-path", "/mnt/nf."],
    ],
)
def test_nothing_matched_is_unknown_or_what_the_operator_says(answers, argv, severity, code):
    server = ["--proc", str(SERVER), "--fstab", "/dev/null"]
    outcome = CHECK.run([*server, *argv, "--no-match-severity", severity])
    assert outcome.code == code
    assert CHECK.run([*server, *argv]).code == 3
    said = outcome.text.count("no file system matches") + outcome.text.count(" matches nothing")
    assert said == 1


def test_an_expression_that_matches_only_what_is_left_out_says_why(answers):
    outcome = CHECK.run(["--proc", str(SERVER), "--fstab", "/dev/null", "--include-path", "/mnt/nf."])
    assert outcome.text.startswith(
        "DISK UNKNOWN - --include-path /mnt/nf. matches nothing but what is left out as remote"
    )


def test_a_path_that_is_not_mounted_is_named_even_where_others_are(answers):
    outcome = CHECK.run(
        ["--proc", str(SERVER), "--fstab", "/dev/null", "--include-path", "/", "--include-path", "/data"]
    )
    assert outcome.code == 3
    assert "/data" in outcome.text.splitlines()[0]
    assert "root.used_percent=" in outcome.text


# Thresholds


@pytest.mark.parametrize(
    ("used", "code"), [(89.99, 0), (90, 0), (90.01, 1), (95, 1), (95.01, 2), (100, 2)], ids=lambda value: str(value)
)
def test_default_thresholds(answers, tmp_path, used, code):
    answers["/"] = Usage(10000, round(used * 100), 10000 - round(used * 100), 0, 0)
    assert CHECK.run(proc(tmp_path)).code == code


def test_percent_is_what_df_says_roots_reserve_is_not_free(answers, tmp_path):
    answers["/"] = Usage(100, 90, 5, 0, 0)
    outcome = CHECK.run(proc(tmp_path))
    assert "root.used_percent=94.74%;90;95" in outcome.text
    assert outcome.code == 1


@pytest.mark.parametrize(
    "argv", [["-w", "90", "-w", "/var=80"], ["-w", "/var=80", "-w", "90"], ["-w", "/var=80"], ["-w/var=80"]]
)
def test_the_order_of_thresholds_for_paths_does_not_matter(answers, tmp_path, argv):
    tree = proc(tmp_path, "29 28 8:2 / /var rw - ext4 /dev/sda2 rw", "30 29 8:3 / /var/log rw - ext4 /dev/sda3 rw")
    for path in ("/", "/var", "/var/log"):
        answers[path] = Usage(100, 85, 15, 0, 0)
    outcome = CHECK.run([*tree, *argv])
    assert outcome.code == 1
    assert outcome.text.startswith("DISK WARNING - /var used 85% (> 80); 3 file systems")
    assert "var.used_percent=85%;80;95" in outcome.text
    assert "var_log.used_percent=85%;90;95" in outcome.text


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--free-warning", "10G:"], 1, "/ free 9 GiB (< 10 GiB)"),
        (["--free-critical", "10G:"], 2, "/ free 9 GiB (< 10 GiB)"),
        (["--free-critical", "9G:"], 0, ""),
        (["--free-critical", "/=10G:"], 2, "(< 10 GiB)"),
        (["--free-critical", "/var=10G:"], 0, ""),
        (["--used-warning", "5G"], 1, "/ used 10 GiB (> 5 GiB)"),
        (["--used-critical", "10737418239"], 2, "> 10 GiB"),
        (["-c", "50"], 2, "/ used 52.63% (> 50)"),
        (["-w", "", "-c", ""], 0, ""),
        (["-w", "@50:60"], 1, "(inside 50..60)"),
        (["-w", "-10:"], 0, ""),
        (["-w", "60:"], 1, "(< 60)"),
        (["--inode-warning", "0.5"], 1, "/ inodes used 1% (> 0.5)"),
        (["--inode-critical", "0.5"], 2, "/ inodes used 1% (> 0.5)"),
    ],
)
def test_thresholds(answers, tmp_path, argv, code, said):
    outcome = CHECK.run([*proc(tmp_path), *argv])
    assert outcome.code == code
    assert said in outcome.text


def test_inodes_alert_by_default_and_are_left_out_where_there_are_none(answers, tmp_path):
    answers["/"] = Usage(100, 1, 99, 1000, 40)
    assert CHECK.run(proc(tmp_path)).text.startswith("DISK CRITICAL - / inodes used 96% (> 95)")
    answers["/"] = Usage(100, 1, 99, 0, 0)
    assert "inodes" not in CHECK.run(proc(tmp_path)).text


def test_thresholds_in_perfdata_are_plain_bytes(answers, tmp_path):
    text = CHECK.run([*proc(tmp_path), "--free-warning", "5G:", "--free-critical", "2G:", "--used-warning", "1T"]).text
    assert f"root.free={9 * GIB}B;{5 * GIB}:;{2 * GIB}:" in text
    assert f"root.used={10 * GIB}B;{1 << 40}" in text


def test_the_fullest_file_system_comes_first(answers):
    answers["/home"] = Usage(100, 88, 12, 0, 0)
    outcome = CHECK.run(["--proc", str(SERVER), "--fstab", "/dev/null", "--exclude-path", "/var/log"])
    assert outcome.text.startswith(
        f"DISK OK - {len(LOCAL) - 1} file systems, fullest /home 88.0% used | home.used_percent=88%"
    )


# Mounts that turned read-only


def test_a_server_names_what_turned_read_only(answers):
    outcome = CHECK.run(["--proc", str(SERVER), "--fstab", str(SERVER / "fstab"), "--remote"])
    assert outcome.code == 1
    named = {line for line in outcome.text.splitlines() if "read-only" in line}
    assert named >= {"WARNING: /backup turned read-only", "WARNING: /var/log turned read-only"}
    assert not any("/archive" in line or "images" in line for line in named)


@pytest.mark.parametrize(
    ("options", "super_options", "fstab", "type", "alert"),
    [
        ("rw", "rw", None, "ext4", False),
        ("rw", "ro,errors=remount-ro", None, "ext4", True),
        ("rw", "ro", None, "btrfs", True),
        ("ro", "ro", None, "ext4", False),
        ("ro", "ro", "defaults", "ext4", True),
        ("ro", "ro", "ro,noauto", "ext4", False),
        ("rw", "ro", "ro=fs", "ext4", False),
        ("ro", "rw", None, "ext4", False),
        ("ro", "rw", "defaults", "ext4", False),
        ("rw", "ro", None, "squashfs", False),
        ("ro", "ro", "defaults", "iso9660", False),
        ("rw", "ro,lowerdir=/l", None, "overlay", False),
        ("rw", "ro,lowerdir=/l,upperdir=/u", None, "overlay", True),
    ],
)
def test_read_only_is_a_fault_where_the_mount_was_meant_to_be_writable(options, super_options, fstab, type, alert):
    mount = Mount(
        1, 0, "8:1", "/data", frozenset(options.split(",")), type, "/dev/sda1", frozenset(super_options.split(","))
    )
    table = parse_fstab(f"/dev/sda1 /data {type} {fstab} 0 2".encode()) if fstab else {}
    assert turned_read_only(mount, table) is alert


@pytest.mark.parametrize(("severity", "code"), [("ok", 0), ("warning", 1), ("critical", 2), ("unknown", 3)])
def test_the_severity_of_read_only_is_the_operators(answers, tmp_path, severity, code):
    tree = proc(tmp_path, "29 28 8:2 / /data rw - ext4 /dev/sda2 ro")
    assert CHECK.run([*tree, "--read-only-severity", severity]).code == code


# Mounts that do not answer


@pytest.mark.parametrize(
    ("trouble", "code", "said"),
    [
        (Trouble(hung=True), 2, "/data does not answer"),
        (Trouble(hung=True, earlier=True), 2, "/data does not answer since an earlier run"),
        (Trouble(errno.EIO), 2, "/data: Input/output error"),
        (Trouble(errno.ESTALE), 2, "/data: Stale file handle"),
        (Trouble(errno.EACCES), 3, "/data: Permission denied"),
        (Trouble(errno.EPERM), 3, "/data: Operation not permitted"),
        (None, 3, "/data: no time was left to ask it"),
    ],
)
def test_a_mount_without_an_answer_costs_itself_only(answers, tmp_path, trouble, code, said):
    answers["/data"] = trouble
    outcome = CHECK.run(proc(tmp_path, "29 28 8:2 / /data rw - ext4 /dev/sda2 rw"))
    assert outcome.code == code
    assert said in outcome.text.splitlines()[0]
    assert "root.used_percent=52.63%" in outcome.text
    assert "data.used" not in outcome.text


def test_all_mounts_without_an_answer(answers, tmp_path):
    answers["/"] = Trouble(hung=True)
    assert CHECK.run(proc(tmp_path)) == (2, "DISK CRITICAL - / does not answer\n")
    assert CHECK.run([*proc(tmp_path), "--hung-severity", "warning"]).code == 1


class Stand:
    """What the forked child finds when it asks a path: numbers, an error, or nothing for ever."""

    def __init__(self, monkeypatch):
        self.hung, self.errors, self.log = set(), {}, None
        monkeypatch.setattr(usage, "measure", self.measure)

    def measure(self, path):
        if path in self.hung:
            threading.Event().wait()
        if path in self.errors:
            raise OSError(self.errors[path], "")
        return half_full(path)


@pytest.fixture
def stand(monkeypatch):
    return Stand(monkeypatch)


def open_descriptors():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def mounts(*paths):
    return [(f"0:{number}", path) for number, path in enumerate(paths)]


def test_the_child_brings_back_numbers_and_errors(stand):
    stand.errors["/b"] = errno.ESTALE
    assert ask(mounts("/a", "/b", "/ü\udcff"), 5) == {
        "/a": half_full(""),
        "/b": Trouble(errno.ESTALE),
        "/ü\udcff": half_full(""),
    }


@pytest.mark.slow
def test_hung_mounts_cost_themselves_only_wherever_they_stand(stand):
    paths = [f"/{number}" for number in range(60)]
    stand.hung = {"/0", "/7", "/8", "/9", "/30", "/59"}
    found = ask(mounts(*paths), 1)
    assert {path for path, answer in found.items() if isinstance(answer, Trouble) and answer.hung} == stand.hung
    assert {path for path, answer in found.items() if answer == half_full("")} == set(paths) - stand.hung


@pytest.mark.slow
def test_many_hung_mounts_do_not_keep_the_others_from_answering(stand):
    paths = [f"/{number}" for number in range(400)]
    stand.hung = set(paths[:150])
    found = ask(mounts(*paths), 3)
    assert {path for path, answer in found.items() if isinstance(answer, Usage)} == set(paths[150:])


def test_a_thousand_mounts_are_asked_by_one_child(stand, monkeypatch):
    forks = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: forks.append(1) or fork())
    assert len(ask(mounts(*[f"/{number}" for number in range(1000)]), 5)) == 1000
    assert len(forks) == 1


def test_the_child_leaves_nothing_behind(stand):
    stand.hung = {"/a"}
    before = open_descriptors()
    ask(mounts("/a", "/b"), 0.3)
    end = time.monotonic() + 10
    while usage._left and time.monotonic() < end:
        usage._reap()
    assert usage._left == []
    assert open_descriptors() == before


def test_a_mount_that_a_process_of_ours_is_stuck_in_is_left_alone(stand, monkeypatch):
    """The killed child frees the name at once here; a real one, stuck in the kernel, is in tests/real."""
    stand.hung = {"/a"}
    holder = usage._Child(os.open(os.devnull, os.O_WRONLY), mounts("/a", "/b"), 1)
    holder._keep_name(0)
    stand.hung = set()
    assert ask(mounts("/a", "/b"), 5) == {"/a": Trouble(hung=True, earlier=True), "/b": half_full("")}
    for name in holder.names:
        name.close()
    assert ask(mounts("/a", "/b"), 5)["/a"] == half_full("")


def test_nobody_else_can_blind_us_by_taking_the_name(stand, monkeypatch):
    holder = usage._Child(os.open(os.devnull, os.O_WRONLY), mounts("/a"), 1)
    holder._keep_name(0)
    uid, name = os.getuid(), holder._name(0)
    monkeypatch.setattr(usage._Child, "_name", lambda *_: name)
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    assert ask(mounts("/a"), 5) == {"/a": half_full("")}


def test_a_child_that_is_killed_costs_what_it_had_not_asked(stand, monkeypatch):
    def die(path):
        if path == "/b":
            os.kill(os.getpid(), signal.SIGKILL)
        return half_full(path)

    monkeypatch.setattr(usage, "measure", die)
    assert ask(mounts("/a", "/b", "/c"), 5) == {"/a": half_full("")}


def test_a_mount_that_vanishes_after_the_listing_is_no_problem_and_gives_no_numbers(monkeypatch, tmp_path):
    tree = proc(tmp_path, "29 28 8:2 / /data rw - ext4 /dev/sda2 rw")

    def vanish(wanted, *_):
        proc(tmp_path)
        return {path: half_full(path) for _, path in wanted}

    monkeypatch.setattr(check_disk, "ask", vanish)
    outcome = CHECK.run([*tree, "-v"])
    assert outcome.code == 0
    assert "data.used" not in outcome.text
    assert "/data was unmounted meanwhile" in outcome.text


def refuse():
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


def test_what_the_kernel_has_in_memory_is_asked_without_another_process(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "fork", refuse)
    outcome = CHECK.run(
        [*proc(tmp_path, "29 28 0:5 / /dev rw - devtmpfs dev rw", "30 29 0:6 / /dev/shm rw - tmpfs shm rw")]
    )
    assert outcome.text.startswith("DISK OK - ")


@pytest.mark.parametrize(
    "lines",
    [
        ["29 28 0:40 / /srv rw - nfs4 server:/srv rw"],
        ["29 28 0:40 / /srv rw - fuse.sshfs sshfs rw"],
        # Its own numbers are in memory, and the way to it leads over a server.
        ["29 28 0:40 / /srv rw - nfs4 server:/srv rw", "30 29 8:9 / /srv/local rw - ext4 /dev/sdb1 rw"],
        ["29 28 0:40 / /srv rw - autofs auto rw", "30 29 8:9 / /srv/local rw - ext4 /dev/sdb1 rw"],
    ],
)
def test_what_may_keep_one_waiting_is_not_asked_here(lines):
    numbers = in_memory(parse_mountinfo("\n".join(["28 1 8:1 / / rw - ext4 /dev/sda1 rw", *lines]).encode()))
    assert numbers == {28}


def test_no_process_to_be_had_is_one_unknown_line(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "fork", refuse)
    before = open_descriptors()
    outcome = CHECK.run(proc(tmp_path, "29 28 8:2 / /data rw - xfs /dev/sda2 rw"))
    assert outcome == (3, "DISK UNKNOWN - asking the mounted file systems: Resource temporarily unavailable\n")
    assert open_descriptors() == before


def test_an_nfs_server_that_says_less_than_nothing_is_free_has_nothing_free(monkeypatch):
    class Space:
        total, used, free = 100 * GIB, 99 * GIB, (1 << 64) - 5 * GIB

    monkeypatch.setattr(usage.psutil, "disk_usage", lambda _: Space)
    assert usage.measure("/").free == 0
    assert usage.measure("/").used_percent == 100


def test_numbers_are_those_of_the_kernel():
    found, expected = usage.measure("/"), os.statvfs("/")
    assert (found.size, found.inodes) == (expected.f_blocks * expected.f_frsize, expected.f_files)
    assert 0 < found.used_percent < 100


# Reading the tables


def test_names_are_unescaped():
    found = {mount.path: mount for mount in parse_mountinfo((SERVER / "self" / "mountinfo").read_bytes())}
    assert "/srv/with blank\tand\\slash" in found
    assert found["/srv/empty source"].device == ""
    assert not any("deleted" in path for path in found)


def test_covered_and_hidden_mounts_are_not_seen():
    seen = {
        mount.path: mount.device for mount in visible(parse_mountinfo((SERVER / "self" / "mountinfo").read_bytes()))
    }
    assert seen["/srv/covered"] == "/dev/sdc3"
    assert seen["/opt/hidden"] == "/dev/sdc5"
    assert "/opt/hidden/below" not in seen


def test_a_root_that_was_mounted_over_hides_everything_below_the_old_one():
    text = b"1 1 0:1 / / rw - rootfs rootfs rw\n2 1 8:1 / / rw - ext4 a rw\n3 1 8:2 / /old rw - ext4 b rw\n4 2 8:3 / /new rw - ext4 c rw\n"
    assert [mount.device for mount in visible(parse_mountinfo(text))] == ["a", "c"]


def test_paths_are_unique_whatever_the_table_says():
    text = b"2 1 8:1 / / rw - ext4 a rw\n3 2 8:2 / /x rw - ext4 b rw\n4 2 8:3 / /x rw - ext4 c rw\n"
    paths = [mount.path for mount in visible(parse_mountinfo(text))]
    assert sorted(paths) == ["/", "/x"]


@pytest.mark.parametrize(
    "text", [b"garbage\n", b"1 2 8:1 / / rw\n", b"x y 8:1 / / rw - ext4 a rw\n", b"1 2 8:1 / / rw - ext4\n", b"\n"]
)
def test_a_table_that_can_not_be_read_is_one_unknown_line(tmp_path, text):
    with pytest.raises(BadInput):
        parse_mountinfo(text)
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mountinfo").write_bytes(text)
    outcome = CHECK.run(["--proc", str(tmp_path)])
    assert outcome.code == 3
    assert outcome.text.count("\n") == 1


def test_no_table_is_one_unknown_line(tmp_path):
    assert CHECK.run(["--proc", str(tmp_path)]) == (
        3,
        f"DISK UNKNOWN - reading {tmp_path}/self/mountinfo: No such file or directory\n",
    )


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_bad_input(data):
    with suppress(BadInput):
        visible(parse_mountinfo(data))
    parse_fstab(data)


@given(
    st.lists(
        st.tuples(st.integers(1, 6), st.integers(0, 6), st.sampled_from(["/", "/a", "/a/b", "/a/b/c"])), max_size=6
    )
)
def test_tables_with_odd_parents_end_and_give_each_path_once(rows):
    text = "".join(f"{number} {parent} 8:{number} / {path} rw - ext4 x rw\n" for number, parent, path in rows)
    paths = [mount.path for mount in visible(parse_mountinfo(text.encode()))]
    assert len(set(paths)) == len(paths)


# Labels and text


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/", "root"),
        ("/var", "var"),
        ("/var/log", "var_log"),
        ("/var_log", "var__log"),
        ("/srv/my-data", "srv_my-data"),
    ],
)
def test_labels_read_like_their_paths(path, label):
    assert mount_label(path) == label


@given(
    st.lists(st.text(alphabet="ab_./ é", max_size=8).map(lambda text: "/" + text.strip("/")), unique=True, max_size=40)
)
def test_different_mounts_have_different_labels(paths):
    paths = [path for path in {os.path.normpath(path) for path in paths} if not path.startswith("//")]
    assert len({mount_label(path) for path in [*paths, "/root"]}) == len({*paths, "/root"})


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (GIB, "1 GiB"), (1 << 60, "1024 PiB")]
)
def test_sizes_for_people(number, text):
    assert human(number) == text


@pytest.mark.parametrize(
    "argv", [["--min-size", "5:"], ["--min-size", "x"], ["--mount-timeout", "0"], ["--hung-severity", "bad"]]
)
def test_mistakes_are_one_line(argv):
    outcome = CHECK.run(argv)
    assert outcome.code == 3
    assert outcome.text.count("\n") == 1
