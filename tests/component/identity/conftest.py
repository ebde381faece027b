"""A real slapd for all tests in here; each works with people of its own where it changes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.directory import Directory, running_directory


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    with running_directory(tmp_path_factory.mktemp("slapd")) as running:
        yield running
