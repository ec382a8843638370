"""How long the repeating tests repeat: a small number of times normally, a large one with TESTBED_SOAK=1 in the environment."""

import os

SOAK = os.environ.get("TESTBED_SOAK") == "1"


def count(small: int, soak: int) -> int:
    """`small`, or `soak` when TESTBED_SOAK=1 is set."""
    return soak if SOAK else small
