"""Base units, exactly, and thresholds as values."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphios import perfdata, thresholds, units


@pytest.mark.parametrize(
    ("number", "unit", "base", "unit_of_base"),
    [
        ("34385", "µs", "0.034385", "s"),
        ("34385", "μs", "0.034385", "s"),
        ("1500", "ms", "1.5", "s"),
        ("-7", "ns", "-0.000000007", "s"),
        ("1.5", "min", "90", "s"),
        ("2", "h", "7200", "s"),
        ("1", "d", "86400", "s"),
        ("1", "KB", "1024", "B"),
        ("1.5", "kB", "1536", "B"),
        ("1", "KiB", "1024", "B"),
        ("2643", "MB", "2771386368", "B"),
        ("12.3", "GB", "13207024435.2", "B"),
        ("1", "TB", "1099511627776", "B"),
        ("18446744073709551615", "EB", str(18446744073709551615 * 1024**6), "B"),
        ("555", "Bytes", "555", "B"),
    ],
)
def test_base_units(number: str, unit: str, base: str, unit_of_base: str) -> None:
    assert units.to_base(number, unit) == base
    assert units.FACTORS[unit][0] == unit_of_base


@pytest.mark.parametrize("unit", ["", "%", "c", "s", "B", "C", "m", "kbps", "V", "packets", "Mb"])
def test_units_that_stay_as_they_are(unit: str) -> None:
    assert unit not in units.FACTORS


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8), st.sampled_from(sorted(units.FACTORS)))
def test_nothing_is_lost_on_the_way_to_the_base_unit(number: Decimal, unit: str) -> None:
    base = units.to_base(f"{number:f}", unit)
    assert Decimal(base) / units.FACTORS[unit][1] == pytest.approx(number, rel=Decimal("1e-20"))
    assert "e" not in base.lower()


ALL = ("warn", "crit", "min", "max")


@pytest.mark.parametrize(
    ("item", "values"),
    [
        ("a=1;10;20;0;100", [("warn", "10"), ("crit", "20"), ("min", "0"), ("max", "100")]),
        ("a=1;;;;", []),
        ("a=1", []),
        ("a=1;10:20;@30:40", [("warn_low", "10"), ("warn", "20"), ("crit_low", "30"), ("crit", "40")]),
        ("a=1;10:;~:20", [("warn_low", "10"), ("crit", "20")]),
        ("a=1;@10;:5", [("warn", "10"), ("crit", "5")]),
        ("a=1;~:;@~:", []),
        ("a=1;0:5;-10:-5.5", [("warn_low", "0"), ("warn", "5"), ("crit_low", "-10"), ("crit", "-5.5")]),
        ("a=1;1e3;0,5;U;U", [("warn", "1000"), ("crit", "0.5")]),
        ("a=1%;80%;70%:90%", [("warn", "80"), ("crit_low", "70"), ("crit", "90")]),
        ("a=1;x;1:y;z", [("warn", None), ("crit_low", "1"), ("crit", None), ("min", None)]),
    ],
)
def test_thresholds(item: str, values: list[tuple[str, str | None]]) -> None:
    good, _, _ = perfdata.items(item, whole=True)
    assert list(thresholds.values(good[0], ALL)) == values


def test_only_the_thresholds_asked_for() -> None:
    good, _, _ = perfdata.items("a=1;10:20;20;0;100", whole=True)
    assert [field for field, _ in thresholds.values(good[0], ("warn", "max"))] == ["warn_low", "warn", "max"]
