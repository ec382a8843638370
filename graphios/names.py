"""What the first version of the shipper still calls; goes away with it."""

from __future__ import annotations

from collections.abc import Callable

from graphios.configuration.settings import Names
from graphios.convert import Converter
from graphios.naming.cleaning import Unique
from graphios.naming.rules import LONGEST_NAME as LONGEST_NAME

unique_label = Unique().label


class Namer:
    """Holds a Converter."""

    def __init__(self, base: str = "", unique: bool = True, warn: Callable[[str], None] = lambda text: None) -> None:
        self.converter = Converter(Names(base=base, cleaning="unique" if unique else "graphios"), warn=warn)
