"""The status page: one HTML file without scripts or anything from elsewhere, so that any web server can show it.

What it tells everyone is names of checks, states and times. Texts, commands and paths are internals of a site: only with `details`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from checks.engine.commands.commands import Broken, Command
from checks.engine.results import OK, STATES, UNKNOWN, Result, severity, worst
from checks.engine.run.table import duration, worst_first
from checks.engine.run.terminal import printable

DEFAULT_TITLE = "Status"
_LONGEST = 20_000
"""Characters of one check's output; perfdata of a large one would make the page heavy."""
_STATE_CLASSES = ("ok", "warning", "critical", "unknown")
_ICON_COLOURS = ("1a7f37", "b58100", "cf222e", "8250df")

_STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1f2328;--faint:#59636e;--line:#d1d9e0;--panel:#f6f8fa;
--ok:#1a7f37;--warning:#8a6000;--critical:#c01c28;--unknown:#7439c6}
@media (prefers-color-scheme:dark){:root{--back:#0d1117;--text:#e6edf3;--faint:#9198a1;--line:#3d444d;--panel:#151b23;
--ok:#3fb950;--warning:#d9a520;--critical:#ff7b72;--unknown:#c297ff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:70rem;background:var(--back);color:var(--text);
font:1rem/1.5 system-ui,"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:0}
h2{font-size:1.1rem;margin:2rem 0 .5rem}
p{margin:.25rem 0}
.faint,td.time,footer{color:var(--faint)}
.overall{border-left:.5rem solid;padding:.5rem 1rem;margin:1rem 0;background:var(--panel);border-radius:.25rem}
.overall strong{font-size:1.25rem}
.ok{--state:var(--ok)}.warning{--state:var(--warning)}.critical{--state:var(--critical)}.unknown{--state:var(--unknown)}
.overall{border-color:var(--state)}
.state,.overall strong{color:var(--state);font-weight:600}
ul.counts{list-style:none;display:flex;flex-wrap:wrap;gap:.5rem;padding:0;margin:1rem 0}
ul.counts li{border:1px solid var(--line);border-radius:.25rem;padding:.125rem .75rem;white-space:nowrap}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.4rem .75rem .4rem 0;border-bottom:1px solid var(--line)}
thead th{color:var(--faint);font-weight:400;font-size:.875rem}
tbody th{font-weight:400;width:40%}
.details tbody th{width:25%}
td.state,thead th{white-space:nowrap}
td.time{white-space:nowrap;font-variant-numeric:tabular-nums}
td.number,th.number{text-align:right;padding-right:0}
.details td.number,.details th.number{padding-right:.75rem}
pre{white-space:pre-wrap;margin:.25rem 0;font:.8125rem/1.4 ui-monospace,"DejaVu Sans Mono",monospace;background:var(--panel);padding:.5rem}
summary{cursor:pointer}
footer{margin-top:2rem;font-size:.875rem}
@media (max-width:40rem){thead{position:absolute;clip-path:inset(50%);height:1px;width:1px;overflow:hidden}
table,tbody{display:block}
tbody tr{display:flex;flex-wrap:wrap;column-gap:1rem;align-items:baseline;border-bottom:1px solid var(--line);padding:.5rem 0}
tbody th,tbody td{border:0;padding:0}
tbody th,.details tbody th{order:-1;flex:1 1 60%;width:auto}
tbody td.state{order:-1}
tbody td.text{flex:1 1 100%}
td.time{font-size:.875rem}}
@media print{body{max-width:none}}
"""


def render(
    results: Iterable[Result],
    *,
    made: float,
    details: bool = False,
    title: str = DEFAULT_TITLE,
    commands: Mapping[str, Command] | None = None,
    broken: Sequence[Broken] = (),
    waiting: Sequence[str] = (),
    refresh: int = 0,
) -> str:
    """Return the page.

    `made`: when, in seconds since the epoch. `commands` and the reasons of `broken` are shown only with `details`. `waiting` names checks that have
    not run yet. `refresh`: seconds after which a browser shall look again; 0: never.
    """
    shown = worst_first(results)
    code = worst([*(result.code for result in shown), *([UNKNOWN] if broken or not shown else [])])
    parts = [
        f"<header><h1>{_text(title)}</h1>",
        f'<div class="overall {_STATE_CLASSES[code]}"><strong>{STATES[code]}</strong> {_sentence(shown, len(waiting), len(broken))}'
        f'<p class="faint">As of {_time(made)}{_again(refresh)}</p></div></header>',
        _counts(shown),
        _table(shown, details, commands or {}),
        _waiting(waiting),
        _broken(broken if details else ()),
    ]
    return _document(code, title, "\n".join(part for part in parts if part), refresh)


def write(path: Path, page: str) -> None:
    """Write the page so that a reader finds the old one or the new one, never a part. Raises OSError."""
    target = path.resolve()
    hidden = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}")
    try:
        with hidden.open("x", encoding="utf-8", errors="replace") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):
            hidden.chmod(target.stat().st_mode & 0o777)
        hidden.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            hidden.unlink()
        raise


def unwritable(path: Path) -> str:
    """Return why the page can't be written there, or "": to be asked before a run that takes a minute."""
    target = path.resolve()
    if target.exists() and not target.is_file():
        return "not a regular file"
    if not target.parent.is_dir():
        return f"{target.parent} is no directory"
    return "" if os.access(target.parent, os.W_OK | os.X_OK) else f"{target.parent} can't be written to"


def _document(code: int, title: str, body: str, refresh: int) -> str:
    circle = f"%3Ccircle cx='4' cy='4' r='4' fill='%23{_ICON_COLOURS[code]}'/%3E"
    icon = f"%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E{circle}%3C/svg%3E"
    again = f'<meta http-equiv="refresh" content="{refresh}">\n' if refresh else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{again}<title>{STATES[code]}: {_text(title)}</title>
<link rel="icon" href="data:image/svg+xml,{icon}">
<style>{_STYLE}</style>
</head>
<body>
{body}
<footer>Times are UTC. Made by testbed-checks.</footer>
</body>
</html>
"""


def _sentence(shown: Sequence[Result], waiting: int, broken: int) -> str:
    wrong = sum(result.code != OK for result in shown)
    number = f"{len(shown)} check{'' if len(shown) == 1 else 's'}"
    said = f"{wrong} of {number} not OK." if wrong else f"{number}, all OK." if shown else "No check has run."
    said += f" {waiting} not run yet." if waiting and shown else ""
    return said + (f" {_parts(broken)} of the configuration can't be used." if broken else "")


def _parts(number: int) -> str:
    return f"{number} part{'' if number == 1 else 's'}"


def _again(refresh: int) -> str:
    return f"; a new page comes every {refresh} s" if refresh else ""


def _counts(shown: Sequence[Result]) -> str:
    counts = Counter(result.code for result in shown)
    items = "".join(
        f'<li><span class="state {_STATE_CLASSES[code]}">{STATES[code]}</span> {counts[code]}</li>'
        for code in sorted(counts, key=severity, reverse=True)
    )
    return f'<ul class="counts">{items}</ul>' if items else ""


def _broken(broken: Sequence[Broken]) -> str:
    listed = "".join(f"<li>{_text(str(one))}</li>" for one in broken)
    return f"<h2>Can't be used</h2><ul>{listed}</ul>" if listed else ""


def _table(shown: Sequence[Result], details: bool, commands: Mapping[str, Command]) -> str:
    if not shown:
        return ""
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Check", "State", "Last run"))
    heads += '<th scope="col" class="number">Took</th>' + ('<th scope="col">Says</th>' if details else "")
    rows = "\n".join(_row(result, details, commands.get(result.name)) for result in shown)
    return f"""<table{' class="details"' if details else ""}>
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>"""


def _row(result: Result, details: bool, command: Command | None) -> str:
    said = f'<td class="text">{_details(result, command)}</td>' if details else ""
    state = f'<td class="state {_STATE_CLASSES[result.code]}">{STATES[result.code]}</td>'
    when = f'<td class="time">{_time(result.began)}</td><td class="time number">{duration(result.seconds)}</td>'
    return f'<tr><th scope="row">{_text(result.name)}</th>{state}{when}{said}</tr>'


def _details(result: Result, command: Command | None) -> str:
    """Return the first line of what it said; behind it, to be opened, the whole of it and its command."""
    output = result.output.decode("utf-8", "replace")
    lines = [printable(line) for line in output[:_LONGEST].split("\n")]
    lines += [f"[{len(output) - _LONGEST} characters more]"] if len(output) > _LONGEST else []
    whole = "\n".join(lines).strip("\n")
    if command:
        whole += f"\n\n{printable(f'{command.source}, line {command.number}')}\n{printable(command.line)}"
    first = _text(result.first_line[:500]) or "(nothing)"
    return f"<details><summary>{first}</summary><pre>{escape(whole)}</pre></details>"


def _waiting(names: Sequence[str]) -> str:
    if not names:
        return ""
    listed = "".join(f"<li>{_text(name)}</li>" for name in sorted(names))
    return f"<h2>Not run yet</h2><ul>{listed}</ul>"


def _time(seconds: float) -> str:
    try:
        moment = time.gmtime(seconds)
    except (OverflowError, ValueError, OSError):
        return "never"
    machine, person = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment), time.strftime("%Y-%m-%d %H:%M:%S", moment)
    return f'<time datetime="{machine}">{person}</time>'


def _text(text: str) -> str:
    return escape(printable(text))
