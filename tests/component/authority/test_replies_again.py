"""The thread that gives replies again outlives what cannot be given."""

from __future__ import annotations

from pathlib import Path

from appliance.authority.issuing.releases import Release
from appliance.authority.issuing.replay import Repetition, Replayer
from appliance.errors import Refusal
from appliance.requests import UserRequest
from audit.stores.sqlite import SqliteReader
from support.authority import Reply, identity, running_authority
from support.ssh_examples import public_key


def test_reply_that_cannot_be_given_again_is_refused_and_the_next_is_given(tmp_path: Path) -> None:
    with running_authority(tmp_path / "ledger.db") as authority:
        issued = authority.ask(identity(), UserRequest(public_key=public_key("ed25519", 2), grant="logs"))
        assert isinstance(issued, Release)
        (certificate,) = issued.certificates
        replayer = Replayer(SqliteReader(authority.path))
        replayer.start()
        broken, good = Reply(), Reply()
        replayer.submit(Repetition([(1, 2)], broken))  # a policy's file: no intent at all
        replayer.submit(Repetition([(certificate.seq, certificate.seq + 1)], good))
        refusal, again = authority.wait(broken), authority.wait(good)
    assert isinstance(refusal, Refusal)
    assert refusal.slug == "internal"
    assert isinstance(again, Release)
    assert again.certificates[0].line == certificate.line
