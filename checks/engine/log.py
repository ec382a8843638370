"""The log of the resident commands: lines on standard error, which systemd puts into its journal; times are UTC."""

from __future__ import annotations

import logging
import sys
import time

from checks.output import clean_text

log = logging.getLogger("testbed-checks")


def to_stderr() -> None:
    """Begin to log."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.raiseExceptions = False  # a closed standard error must not become a traceback
    log.addHandler(handler)
    log.setLevel(logging.INFO)


def internal(error: BaseException) -> str:
    """Return one line about a mistake of ours."""
    return f"internal error, please report it: {type(error).__name__}: {clean_text(str(error))[:200]}"
