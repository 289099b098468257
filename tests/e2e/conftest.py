"""Guests for end-to-end tests: built once a session, removed after each test whatever happened in it."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from core_ops_verify.guest.api import Guest, Options
from core_ops_verify.guest.assets import Assets, prepare, prepare_without_agent
from core_ops_verify.guest.box import Bind
from e2e.site import Site


class MakeGuest:
    """Makes guests that live until the end of the test."""

    def __init__(self, assets: Assets, cleanup: ExitStack) -> None:
        self._assets = assets
        self._cleanup = cleanup

    def __call__(self, name: str = "", options: Options | None = None, *, boot: bool = True) -> Guest:
        """Return a new guest, booted unless told otherwise."""
        return self._cleanup.enter_context(Guest.create(self._assets, name, options, boot=boot))


def _require_root() -> None:
    if os.geteuid() != 0:
        pytest.fail("guests need root: run ./tests/run, or `pytest -m 'not e2e'` for the rest")


@pytest.fixture(scope="session")
def assets() -> Assets:
    """Return what guests with the agent are made from, as its source is now."""
    _require_root()
    return prepare()


@pytest.fixture(scope="session")
def bare_assets() -> Assets:
    """Return what guests without the agent are made from."""
    _require_root()
    return prepare_without_agent()


@pytest.fixture
def make_guest(assets: Assets) -> Iterator[MakeGuest]:
    """Return a maker of guests with the agent."""
    with ExitStack() as cleanup:
        yield MakeGuest(assets, cleanup)


@pytest.fixture
def make_bare_guest(bare_assets: Assets) -> Iterator[MakeGuest]:
    """Return a maker of guests without the agent."""
    with ExitStack() as cleanup:
        yield MakeGuest(bare_assets, cleanup)


@pytest.fixture
def guest(make_guest: MakeGuest) -> Guest:
    """Return a running guest with the agent."""
    return make_guest()


@pytest.fixture
def bare_guest(make_bare_guest: MakeGuest) -> Guest:
    """Return a running guest without the agent."""
    return make_bare_guest()


@pytest.fixture
def site(assets: Assets, tmp_path: Path) -> Iterator[Site]:
    """Return a guest that tracks a signed repository with three containers, nothing applied yet."""
    repository = tmp_path / "srv"
    repository.mkdir()
    with Guest.create(assets, options=Options(binds=(Bind(repository, "/srv/git"),))) as guest:
        yield Site(guest, repository)
