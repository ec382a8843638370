"""Writes perfdata into the spool that graphios reads: one file with one line, whole as soon as it has its name.

Made for short-lived processes: it imports nothing that costs time (`posix` is the built-in part of `os`).
"""

import posix
import time

_AS_BLANK = bytes.maketrans(b"\t\n\r\v\f\0", b"      ")
_counter = 0


def clean_perfdata(perfdata: bytes) -> bytes:
    """`perfdata` with tabs, line ends and NUL as blanks: what could end or forge a field of the spool line."""
    return perfdata.translate(_AS_BLANK).strip()


def service_line(
    timestamp: int,
    host: bytes,
    service: bytes,
    perfdata: bytes,
    state: bytes = b"",
    command: bytes = b"",
    state_type: bytes = b"",
    prefix: bytes = b"",
    postfix: bytes = b"",
) -> bytes:
    """One line of service perfdata, with its newline. `timestamp` in epoch seconds.

    Raises ValueError when host, service, prefix or postfix hold control characters: they would forge a field.
    """
    names = (host, b"SERVICEDESC::" + service)
    return _line(b"SERVICE", timestamp, names, perfdata, (command, state, state_type), prefix, postfix)


def host_line(
    timestamp: int,
    host: bytes,
    perfdata: bytes,
    state: bytes = b"",
    command: bytes = b"",
    state_type: bytes = b"",
    prefix: bytes = b"",
    postfix: bytes = b"",
) -> bytes:
    """One line of host perfdata, as service_line()."""
    return _line(b"HOST", timestamp, (host,), perfdata, (command, state, state_type), prefix, postfix)


def _line(
    kind: bytes,
    timestamp: int,
    names: tuple[bytes, ...],
    perfdata: bytes,
    check: tuple[bytes, bytes, bytes],
    prefix: bytes,
    postfix: bytes,
) -> bytes:
    for field in (*names, prefix, postfix):
        if has_control_characters(field):
            raise ValueError(f"control characters in {field!r}")
    command, state, state_type = map(clean_perfdata, check)
    fields = (
        b"DATATYPE::%sPERFDATA" % kind,
        b"TIMET::%d" % timestamp,
        b"HOSTNAME::" + b"\t".join(names),
        b"%sCHECKCOMMAND::%s" % (kind, command),
        b"%sSTATE::%s" % (kind, state),
        b"%sSTATETYPE::%s" % (kind, state_type),
        b"GRAPHITEPREFIX::" + prefix,
        b"GRAPHITEPOSTFIX::" + postfix,
        b"%sPERFDATA::%s" % (kind, clean_perfdata(perfdata)),
    )
    return b"\t".join(fields) + b"\n"


def has_control_characters(field: bytes) -> bool:
    """Whether a byte of `field` is below 32 or is 127."""
    return any(byte < 32 or byte == 127 for byte in field)


def write(directory: bytes, data: "bytes | bytearray", kind: str = "service") -> bytes:
    """Writes whole lines as a new file `kind`-perfdata.* in the spool `directory`; returns its name.

    It is on disk under a dot name before it gets its own, and no two writers ever choose the same. Raises OSError; then nothing is left.
    """
    global _counter
    _counter += 1
    name = b"%s-perfdata.%d.%d.%d.%s" % (
        kind.encode(),
        time.time_ns(),
        posix.getpid(),
        _counter,
        posix.urandom(4).hex().encode(),
    )
    path, hidden = directory + b"/" + name, directory + b"/." + name
    fd = posix.open(hidden, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o644)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[posix.write(fd, view) :]
            posix.fsync(fd)
        finally:
            posix.close(fd)
        posix.rename(hidden, path)
    except BaseException:
        try:  # noqa: SIM105  # contextlib costs a millisecond
            posix.unlink(hidden)
        except OSError:
            pass
        raise
    return name
