"""Where results go: the spool of graphios, a monitoring server, a status page. Counts what does not get there."""

from __future__ import annotations

import argparse
import asyncio
import os
import time

from checks.engine.commands.commands import Reading
from checks.engine.figures import FIGURES_NAME
from checks.engine.log import internal, log
from checks.engine.results import OK, STATES, WARNING, Result
from checks.engine.run import page
from checks.engine.serve import perfdata_spool, submit
from checks.engine.serve.hand_on import bad_name, hand_on
from checks.engine.serve.perfdata_spool import PerfdataSpool
from checks.engine.serve.submit import Submitter
from checks.output import clean_text, perfdata
from checks.plugin import COUNTER, Measure

MEASURES = (Measure("handed_on.incomplete", "c", COUNTER, "results of which not all, or nothing, could be handed on"),)
_UNITS = {measure.label: measure.unit for measure in (*MEASURES, *submit.MEASURES, *perfdata_spool.MEASURES)}
# Between two pages: where there are new results, and where there are none.
_PAGE_SECONDS, _PAGE_SECONDS_UNCHANGED = 5.0, 60.0
_SHOWN_BYTES = 4000
_AGAIN_SECONDS = 10.0


class Outlets:
    """All of them."""

    def __init__(self, opts: argparse.Namespace, submitter: Submitter | None, spool: PerfdataSpool | None) -> None:
        self._submitter, self._spool = submitter, spool
        self._host, self._prefix = os.fsencode(opts.host), os.fsencode(opts.prefix)
        self._html, self._title, self._details = opts.html, opts.title or page.DEFAULT_TITLE, opts.details
        self._results: dict[str, Result] = {}
        self._named: set[str] = set()
        self._incomplete = 0
        self._counted = 0.0
        self._page_made = self._page_at = 0.0
        self._page_trouble = ""

    @property
    def any(self) -> bool:
        """Whether results go anywhere."""
        return bool(self._spool or self._submitter or self._html)

    async def run(self) -> None:
        """Hand states on, until finish() is called."""
        while self._submitter:
            try:
                await self._submitter.run()
                break
            except Exception as error:  # a mistake of ours is no reason to be silent from now on
                log.error("handing on: %s", internal(error))
                await asyncio.sleep(_AGAIN_SECONDS)

    def finish(self) -> None:
        """Write what waits, and let run() end."""
        self.flush()
        if self._submitter:
            self._submitter.finish()

    def left(self) -> str:
        """What the end of the engine drops, for the log; "" where that is nothing."""
        reports = self._submitter.waiting if self._submitter else 0
        perfdata_bytes = self._spool.waiting if self._spool else 0
        found = [f"{reports} results"] * bool(reports) + [f"{perfdata_bytes} bytes of perfdata"] * bool(perfdata_bytes)
        return f"; not handed on: {', '.join(found)}" if found else ""

    def hand_on(self, result: Result, when: int) -> None:
        """Take a result; `when` in seconds since the epoch."""
        if self._html:
            self._page_at = min(self._page_at, self._page_made + _PAGE_SECONDS)
            self._results[result.name] = result._replace(output=result.output[:_SHOWN_BYTES])
        if not self._spool and not self._submitter:
            return
        why = bad_name(result.name) or ("the name of the engine's own figures" if result.name == FIGURES_NAME else "")
        if why:
            self._incomplete += 1
            self._name_once(
                result.name,
                f"not handed on, its name is {why}" if "figures" in why else f"not handed on, its name {why}",
            )
            return
        self._hand(result, when)

    def figures(self, own: str, troubles: list[str]) -> None:
        """Hand on the engine's figures as a service of its own: WARNING where there are troubles, or something was dropped meanwhile."""
        counted = self._figures()
        dropped = sum(value for label, value in counted.items() if label.endswith((".dropped", ".incomplete")))
        if dropped > self._counted:
            troubles = [
                *troubles,
                f"{dropped - self._counted:.0f} results were dropped, not all handed on, or replaced",
            ]
        self._counted = dropped
        code = WARNING if troubles else OK
        text = f"{STATES[code]}: {troubles[0] if troubles else 'the engine runs'}"
        items = [own, *(perfdata(label, value, _UNITS[label]) for label, value in counted.items())]
        lines = [clean_text(trouble) for trouble in troubles[1:]]
        output = "\n".join([f"{clean_text(text)} | {' '.join(items)}", *lines])
        self._hand(Result(FIGURES_NAME, code, output.encode("utf-8", "replace") + b"\n"), int(time.time()))

    def troubles(self) -> list[str]:
        """What does not get where it should."""
        found = []
        if self._spool and self._spool.trouble:
            found.append(f"perfdata waits for the spool: {self._spool.trouble}")
        if self._submitter and self._submitter.trouble:
            found.append(f"results wait: {self._submitter.trouble}")
        if self._submitter and self._submitter.refused:
            found.append(f"refused: {', '.join(self._submitter.refused)}")
        return [*found, *([f"page: {self._page_trouble}"] if self._page_trouble else [])]

    def forget(self, name: str) -> None:
        """The command is no longer configured."""
        self._results.pop(name, None)
        if self._submitter:
            self._submitter.forget(name.encode("utf-8", "surrogateescape"))

    def flush(self) -> None:
        """Write what waits for the spool."""
        if self._spool:
            self._spool.flush()

    def show(self, reading: Reading) -> None:
        """Write the page anew, where there is one and it is time."""
        now = asyncio.get_running_loop().time()
        if not self._html or now < self._page_at:
            return
        self._page_made, self._page_at = now, now + _PAGE_SECONDS_UNCHANGED
        scheduled = [name for name, command in reading.commands.items() if command.interval]
        shown = [self._results[name] for name in scheduled if name in self._results]
        text = page.render(
            shown,
            made=time.time(),
            title=self._title,
            details=self._details,
            commands=reading.commands,
            broken=reading.broken,
            waiting=[name for name in scheduled if name not in self._results],
            refresh=60,
        )
        try:
            page.write(self._html, text)
            self._page_trouble = ""
        except OSError as error:
            reason = f"{self._html}: {error.strerror or error}"
            if reason != self._page_trouble:
                log.error("%s", reason)
            self._page_trouble = reason

    def _hand(self, result: Result, when: int) -> None:
        made = hand_on(result, self._host, when, spool=bool(self._spool), prefix=self._prefix)
        if made.not_shipped:
            self._incomplete += 1
            self._name_once(result.name, f"perfdata not shipped: {made.not_shipped}")
        if made.line and self._spool:
            self._spool.add(made.line)
        if self._submitter:
            self._submitter.add(made.report)

    def _figures(self) -> dict[str, float]:
        found: dict[str, float] = {"handed_on.incomplete": self._incomplete}
        for one in (self._submitter, self._spool):
            if one:
                found |= one.figures()
        return found

    def _name_once(self, name: str, why: str) -> None:
        text = f"{clean_text(name)}: {why}"
        if text not in self._named and len(self._named) < 1000:
            self._named.add(text)
            log.warning("%s", text)
