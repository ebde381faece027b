"""One running service for all tests in here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.service import Service, make_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = make_service(tmp_path_factory.mktemp("web"))
    with made.running(CHANCERY_SERVICE_WORKERS="2"):
        yield made
