"""One running service for all tests in here that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.service import HOST, ClientCa, Service, make_service


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="session")
def client_ca(scratch: Path) -> ClientCa:
    return ClientCa(scratch)


@pytest.fixture(scope="session")
def service(scratch: Path, client_ca: ClientCa) -> Iterator[Service]:
    made = make_service(scratch)
    with made.running(CHANCERY_TLS_CLIENTS=str(client_ca.path), CHANCERY_SERVICE_WORKERS="1"):
        made.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
        made.order("host", "add", "db-1.acme.example", "--customer", "acme", "--label", "role=db")
        yield made
