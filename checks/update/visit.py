"""One visit of an update site: a look at it, and a second one before an alarm, because a push that is going on looks like a broken site."""

from __future__ import annotations

import time
from typing import NamedTuple

from checks import web
from checks.seattle.keys import PublicKey
from checks.seattle.metainfo import Metainfo
from checks.update.site import Sample, SiteError, check_files, choose, fetch, read


class Plan(NamedTuple):
    """What is to be looked at. `key` is the pinned key and `where` it comes from; `files` of them are checked, None for all; `timeout` in seconds."""

    url: str
    key: PublicKey | None
    where: str
    files: int | None
    timeout: float


class Visit(NamedTuple):
    """What a visit found: a trusted metainfo or `error`; `seconds` is what metainfo took, None where it did not come."""

    metainfo: Metainfo | None
    error: SiteError | None
    seconds: float | None
    sample: Sample


def visit(plan: Plan, until: float) -> Visit:
    """Look at the site, once more where a push could be why something is wrong, and again as long as metainfo still changes.

    All ends at `until` of time.monotonic().
    """
    found = _look(plan, until, None)
    pause = min(1.0, plan.timeout / 10)
    changes = True
    while changes and _is_worth_again(found) and time.monotonic() + 2 * pause < until:
        time.sleep(pause)
        later = _look(plan, until, found)
        if later.error and not later.error.again and found.metainfo:
            break  # there was not enough time left for another
        changes = later.metainfo != found.metainfo
        found = later
    return found


def _is_worth_again(found: Visit) -> bool:
    return found.error.again if found.error else bool(found.sample.wrong)


def _look(plan: Plan, until: float, earlier: Visit | None) -> Visit:
    seconds = None
    try:
        data, seconds = fetch(plan.url, until)
        metainfo = read(data, web.place(plan.url), plan.key, plan.where)
    except SiteError as error:
        return Visit(None, error, seconds, Sample())
    each = plan.timeout / 5
    files_until = min(time.monotonic() + 2 * each, until - each)
    if earlier and earlier.metainfo == metainfo:
        entries = [*(wrong.entry for wrong in earlier.sample.wrong), *earlier.sample.rest]
        return Visit(metainfo, None, seconds, check_files(plan.url, entries, files_until, each).after(earlier.sample))
    entries = choose(metainfo.entries, plan.files, time.time())
    return Visit(metainfo, None, seconds, check_files(plan.url, entries, files_until, each))
