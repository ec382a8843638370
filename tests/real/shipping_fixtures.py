"""Fixtures of the fault suite: sites that ship to the shared carbon, and a proxy before it. A test file names this one in `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.shipping_site import MakeSite, Options, Site
from tests.stack.graphite import Carbon
from tests.stack.proxy import Proxy


@pytest.fixture
def proxy(carbon: Carbon) -> Iterator[Proxy]:
    """A proxy before the shared carbon, which passes everything on until the test says otherwise."""
    with Proxy(carbon.port) as between:
        yield between


@pytest.fixture
def make_site(tmp_path: Path, carbon: Carbon) -> Iterator[MakeSite]:
    """make_site(options=None, port=None): a site of the test's own, by default before the shared carbon; its graphios ends with the test."""
    sites: list[Site] = []

    def make(options: Options | None = None, port: int | None = None) -> Site:
        root = tmp_path / f"site{len(sites)}"
        root.mkdir()
        sites.append(Site(root, port or carbon.port, options))
        return sites[-1]

    yield make
    for site in sites:
        if site.process and site.process.poll() is None:
            site.process.kill()
            site.process.wait(30)


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A site before the shared carbon."""
    return make_site()


@pytest.fixture
def proxied(make_site: MakeSite, proxy: Proxy) -> Site:
    """A site before `proxy`."""
    return make_site(port=proxy.port)
