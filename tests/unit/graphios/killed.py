"""Runs graphios and kills it (-9) at a chosen moment: python -m tests.unit.graphios.killed MODULE:FUNCTION before|after COUNT [option...]

The moment is the COUNT-th call of a function of graphios, or of the operating system.
"""

import functools
import importlib
import os
import signal
import sys
from typing import Any

from graphios.cli import main


def arm(where: str, when: str, count: int) -> None:
    """Puts a trap around the function."""
    module, _, path = where.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)
    calls = 0

    @functools.wraps(original)
    def trapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **named)
        if calls == count and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, trapped)


if __name__ == "__main__":
    arm(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.exit(main(sys.argv[4:]))
