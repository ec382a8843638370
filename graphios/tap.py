"""The command `graphios-tap`: runs a plugin, writes all of its perfdata into the graphios spool and hands Nagios the short form.

Nagios Core cuts plugin output above 4,096 bytes at random and silently; this is the way around it for any plugin. State, exit code and
death by a signal pass through unchanged; when the perfdata can't be spooled, the text says why. Every check of a monitoring server runs
through here, so it imports only what is built into Python (see the script graphios-tap).
"""

import posix
import sys
import time

from graphios import command, plugin_output, spool_writer

USAGE = "graphios-tap --spool DIR --host NAME --service DESC [--prefix P] [--postfix P] [--max-output BYTES] -- COMMAND [ARG...]"

HELP = f"""\
usage: {USAGE}

Runs COMMAND (any Nagios plugin, e.g. check_nrpe), writes all of its perfdata into the spool of graphios, and prints the short form for
Nagios: the first line, as many whole perfdata items as fit, further lines as fit. Exit code and death by a signal are COMMAND's.

  --spool DIR          the spool directory of graphios
  --host NAME          host name for the metric names: '$HOSTNAME$'
  --service DESC       service description for the metric names: '$SERVICEDESC$'
  --prefix P           '$_SERVICEGRAPHITEPREFIX$'; an undefined macro counts as absent
  --postfix P          '$_SERVICEGRAPHITEPOSTFIX$', likewise
  --max-output BYTES   of the short form, from 200 (default 4000)
  -h, --help           this text (exit code 3, as with every plugin)
  -V, --version        the version

Output that a check of testbed-checks compressed (--compress) is expanded, up to 16 MiB. Where NRPE may have cut the output (exactly 1023
or 65504 bytes), the last perfdata item is not shipped.
The service that uses it should set process_perf_data 0, so that each value takes one road only.
"""

_STATES = {0: b"OK", 1: b"WARNING", 2: b"CRITICAL"}
_VALUED = ("--spool", "--host", "--service", "--prefix", "--postfix", "--max-output")


class Misuse(Exception):
    """A wrong option; the message is the line to print."""


class Options:
    """The command line."""

    __slots__ = ("argv", "host", "max_output", "postfix", "prefix", "service", "spool")

    def __init__(self, arguments: list[str]) -> None:
        """Raises Misuse."""
        given, rest = _split_options(arguments)
        for name in ("--spool", "--host", "--service"):
            if not given.get(name):
                raise Misuse(f"{name} is missing")
        if not rest:
            raise Misuse("COMMAND is missing; it stands behind --")
        self.argv = [_bytes(word) for word in rest]
        self.spool = _bytes(given["--spool"])
        self.host, self.service = _bytes(given["--host"]), _bytes(given["--service"])
        self.prefix, self.postfix = _macro(given.get("--prefix", "")), _macro(given.get("--postfix", ""))
        for name in ("--host", "--service", "--prefix", "--postfix"):
            if spool_writer.has_control_characters(_bytes(given.get(name, ""))):
                raise Misuse(f"{name} holds a tab, a line end or another control character")
        limit = given.get("--max-output", "4000")
        if not (limit.isascii() and limit.isdigit() and 200 <= int(limit[:12]) <= plugin_output.LONGEST_OUTPUT):
            raise Misuse(f"--max-output {limit[:40]} is not a number from 200 to {plugin_output.LONGEST_OUTPUT}")
        self.max_output = int(limit)


def _split_options(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    given: dict[str, str] = {}
    position = 0
    while position < len(arguments):
        word = arguments[position]
        position += 1
        if word == "--":
            return given, arguments[position:]
        name, equals, value = word.partition("=")
        if name not in _VALUED:
            raise Misuse(
                f"unknown option {word[:60]}"
                if word.startswith("-")
                else f"{word[:60]} is no option; COMMAND stands behind --"
            )
        if name in given:
            raise Misuse(f"{name} is given twice")
        if not equals:
            if position == len(arguments) or arguments[position] == "--":
                raise Misuse(f"{name} needs a value")
            value = arguments[position]
            position += 1
        given[name] = value
    return given, []


def _bytes(text: str) -> bytes:
    return text.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def _macro(text: str) -> bytes:
    """The value of a macro Nagios filled in; empty when it is not defined, and then arrives literally."""
    return b"" if text.startswith("$") and text.endswith("$") else _bytes(text)


def main(lc_ctype: str | None = None) -> None:
    """Runs the command and ends the process. `lc_ctype` is LC_CTYPE as we were given it (empty: not set): Python may have changed it."""
    arguments = sys.argv[1:]
    for word in arguments:
        if word in ("-h", "--help", "-V", "--version"):
            _end(_about(word), 3)
        if word == "--":
            break
    try:
        options = Options(arguments)
    except Misuse as error:
        _end(f"UNKNOWN: graphios-tap: {_printable(str(error))} (see graphios-tap --help)\n".encode(), 3)
    environment = dict(posix.environ)
    if lc_ctype:
        environment[b"LC_CTYPE"] = _bytes(lc_ctype)
    elif lc_ctype is not None:
        environment.pop(b"LC_CTYPE", None)
    try:
        result = command.run(options.argv, environment, plugin_output.LONGEST_RAW)
    except OSError as error:
        name = _printable(options.argv[0].decode("utf-8", "replace"))
        _end(f"UNKNOWN: {name} can't be started: {error.strerror}\n".encode(), 3)
    try:
        text = digest(result, options, int(time.time()))
    except Exception as error:  # whatever is wrong here, Nagios gets the state
        note = f" (perfdata not spooled: {type(error).__name__}: {_printable(str(error))})\n"
        text = (
            result.output.partition(b"\n")[0].partition(b"|")[0][: options.max_output - 300]
            + note.encode("utf-8", "replace")[:299]
        )
    _write(text)
    if result.code is None:
        command.die_by(result.signal)
    posix._exit(result.code or 0)


def _about(word: str) -> bytes:
    if word in ("-h", "--help"):
        return HELP.encode()
    from graphios.version import VERSION

    return f"graphios-tap {VERSION}\n".encode()


def digest(result: command.Result, options: Options, timestamp: int) -> bytes:
    """Spools the perfdata of what the command printed; returns the short form, with the reason where something was not spooled."""
    found = plugin_output.Digest(result.output, result.printed, result.signal, options.argv[0])
    if found.perfdata:
        state = _STATES.get(result.code if result.code is not None else 3, b"UNKNOWN")
        name = options.argv[0].rpartition(b"/")[2]
        line = spool_writer.service_line(
            timestamp, options.host, options.service, found.perfdata, state, name, b"", options.prefix, options.postfix
        )
        try:
            spool_writer.write(options.spool, line)
        except OSError as error:
            spool = _printable(options.spool.decode("utf-8", "replace"))
            found.notes.append(f"perfdata not spooled: {spool}: {error.strerror}")
    return found.text(options.max_output)


def _printable(text: str) -> str:
    return "".join([char if char.isprintable() else "?" for char in text])[:200].replace("|", "?")


def _write(text: bytes) -> None:
    view = memoryview(text)
    try:
        while view:
            view = view[posix.write(1, view) :]
    except OSError:
        pass  # nobody listens any more


def _end(text: bytes, code: int) -> None:
    _write(text)
    posix._exit(code)
