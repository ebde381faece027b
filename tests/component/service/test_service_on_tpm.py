"""The whole service on another token than SoftHSM: founded on a TPM, which attests what it made."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from support.isolated import isolated
from support.load import BODY, entries
from support.modules import PIN, tpm
from support.service import POLICY, make_service


@isolated
def test_service_on_a_tpm(tmp_path: Path) -> None:
    with tpm(tmp_path) as real:
        pin = tmp_path / "pin"
        pin.write_text(f"{PIN}\n")
        pin.chmod(0o600)
        variables = ", ".join(f'{name} = "{value}"' for name, value in real.environment.items())
        service = make_service(
            tmp_path,
            POLICY,
            *("--module", real.module, "--token", real.label, "--pin", f"file:{pin}"),
            *("--token-setting", f"environment={{ {variables} }}"),
            *("--token-setting", 'tolerate=["CKA_DECRYPT"]', "--token-setting", "attestation=0x8f000002"),
            *("--token-setting", "sessions=2"),
        )
        with service.running():
            assert service.issue(BODY)
            service.order("ca", "rotate", "acme-users", "--phase", "created")
            created = [entry["data"] for entry in entries(service) if entry["kind"] == "ca.created"]
            assert len(created) == 3
            for data in created:
                attestation = base64.b64decode(data["attestation"])
                # TPM2B_PUBLIC of an ECC key; fixedTPM, fixedParent, sensitiveDataOrigin (TPM 2.0 part 2):
                # made in this TPM, never to leave it.
                assert attestation[2:4] == bytes.fromhex("0023")
                assert int.from_bytes(attestation[6:10], "big") & 0x00000032 == 0x00000032
                digest = hashlib.sha256(attestation).hexdigest()
                assert (
                    f"attestation by the token: {len(attestation)} bytes, SHA-256 {digest}"
                    in data["transcript"]
                )
            exported = service.cli("ca", "export", "acme-users", "--attestation").stdout
            assert created[0]["attestation"] in exported
            findings = json.loads(service.cli("doctor", "--json").stdout)
            assert any("signs in 2 sessions" in each["detail"] for each in findings)
        report = json.loads(service.cli("ledger", "verify", "--json").stdout)
        assert report["verdict"] == "verified"
