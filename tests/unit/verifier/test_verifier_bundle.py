"""A tlog-proof of one entry, under a pinned key."""

from __future__ import annotations

import pytest

from audit.verifier import Code, Entry, Report, UsageError, Verdict, verify_bundle
from unit.verifier.logbook import KEY, NEXT_KEY, OTHER_KEY, P256_KEY, Logbook, Signer

LOG = Logbook.of(11, covered=[])


def codes(report: Report) -> set[Code]:
    return {finding.code for finding in report.findings}


@pytest.mark.parametrize("size", [1, 2, 7, 8, 11])
def test_proof_of_every_entry_is_verified(size: int) -> None:
    for index in range(size):
        report = verify_bundle(LOG.proof(index, size), KEY.vkey)
        assert (report.verdict, report.size, report.root) == (Verdict.VERIFIED, size, LOG.root(size).hex())


def test_proof_under_a_p256_key_is_verified() -> None:
    log = Logbook.open(P256_KEY)
    assert verify_bundle(log.proof(0), P256_KEY.vkey).verdict is Verdict.VERIFIED


def test_proved_entry_is_handed_on_unless_something_is_wrong() -> None:
    seen: list[Entry] = []
    verify_bundle(LOG.proof(4), KEY.vkey, on_entry=seen.append)
    verify_bundle(LOG.proof(4), None, on_entry=seen.append)
    assert [entry.raw for entry in seen] == [LOG.entries[4]]


def test_proof_without_pinned_key_is_inconclusive() -> None:
    assert codes(verify_bundle(LOG.proof(4), None)) == {Code.NO_PINNED_KEY}


def test_proof_signed_by_another_key_is_inconclusive() -> None:
    report = verify_bundle(LOG.proof(4), NEXT_KEY.vkey)
    assert (report.verdict, codes(report)) == (Verdict.INCONCLUSIVE, {Code.PROOF_UNSIGNED})


def test_proof_from_another_log_is_tampering() -> None:
    stranger = Signer.ed25519(1, "ca.example.org/log/2")
    assert Code.WRONG_ORIGIN in codes(verify_bundle(LOG.proof(4), stranger.vkey))


def test_proof_without_the_entry_is_inconclusive() -> None:
    proof = LOG.proof(4)
    extra = proof.split("\n")[1]
    assert codes(verify_bundle(proof.replace(extra + "\n", ""), KEY.vkey)) == {Code.PROOF_WITHOUT_ENTRY}


def test_proof_of_an_unknown_kind_is_inconclusive() -> None:
    log = Logbook.open()
    log.add("lunch.served", {})
    assert codes(verify_bundle(log.proof(1), KEY.vkey)) == {Code.UNKNOWN_KIND}


def test_proof_of_a_flawed_entry_is_tampering() -> None:
    log = Logbook.open()
    log.add("credential.used", {})
    log.add_bytes(b"{}")
    assert codes(verify_bundle(log.proof(1), KEY.vkey)) == {Code.BAD_DATA}
    assert codes(verify_bundle(log.proof(2), KEY.vkey)) == {Code.BAD_ENTRY}


def test_proof_at_another_index_is_tampering() -> None:
    assert codes(verify_bundle(LOG.proof(4).replace("index 4", "index 5"), KEY.vkey)) == {
        Code.WRONG_SEQ,
        Code.WRONG_ROOT,
    }


def test_proof_outside_of_its_tree_is_tampering() -> None:
    assert Code.BAD_PROOF in codes(verify_bundle(LOG.proof(4).replace("index 4", "index 99"), KEY.vkey))


def test_proof_with_another_signature_is_tampering() -> None:
    log = Logbook.of(3, covered=[])
    text = LOG.proof(2, 3).rpartition("\n— ")[0] + "\n" + KEY.line("another text\n")
    assert log.entries == LOG.entries[:3]
    assert codes(verify_bundle(text, KEY.vkey)) == {Code.BAD_SIGNATURE}


def _mangled() -> list[str]:
    proof = LOG.proof(4)
    header, extra, index, first, *rest = proof.split("\n")
    return [
        "\n".join([header, extra, first, *rest]),
        "\n".join([header, index, extra, first, *rest]),
        "\n".join([header, extra, "index 04", first, *rest]),
        "\n".join([header, extra, "index 9007199254740992", first, *rest]),
        "\n".join([header, extra, index, *rest]),
        "\n".join([header, extra, index, first, first, *rest]),
        "\n".join([header, extra, index, *[first] * 54, *rest]),
        "\n".join([header, extra, index, first[:-1], *rest]),
        "\n".join([header, extra, index, "AAAA", *rest]),
        "\n".join([header, "extra AA", index, first, *rest]),
        header + "\n",
        header + "\n\n",
        proof.partition("\n\n")[0] + "\n\n",
        proof + "\n",
        proof + "\ud800",
        proof + "x" * 400_000,
    ]


@pytest.mark.parametrize("text", _mangled())
def test_mangled_proof_is_tampering(text: str) -> None:
    assert verify_bundle(text, KEY.vkey).verdict is Verdict.TAMPERED


@pytest.mark.parametrize("text", ["", "ssh-ed25519-cert-v01@openssh.com AAAA", "c2sp.org/tlog-proof@v2\n"])
def test_text_that_is_no_proof_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="no proof"):
        verify_bundle(text, KEY.vkey)


def test_malformed_pinned_key_of_a_bundle_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="pinned key"):
        verify_bundle(LOG.proof(4), OTHER_KEY.vkey + "x")
