import checks.version
import graphios.version


def test_graphios_and_the_checks_are_one_version() -> None:
    assert graphios.version.VERSION == checks.version.VERSION
