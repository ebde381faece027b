"""Every verb can be one that nobody orders alone, and verbs are the same wherever they have to be known."""

from __future__ import annotations

import base64
from typing import get_args

import pytest

from appliance.authority.operations.ordering import _MODELS
from appliance.authority.ordering.commands import CreateCa
from appliance.authority.orders import NAMESPACE, OrderBody, OrderContext, order_message, verify_orders
from appliance.errors import Refusal
from appliance.policy.check import check_policy
from appliance.policy.document import Policy, PolicyError, PolicyFile, parse_policy
from appliance.policy.roles import ORDER_ROLES
from appliance.requests import check_body
from appliance.ssh.keys import format_public_key_line
from appliance.ssh.sshsig import build_sshsig
from support.ssh_examples import private_key, public_key

ORIGIN, NOW_S = "ca.example.org/log/1", 1_764_000_000
OPERATORS = {"carol": 7, "dave": 8}


def policy(two_operators: str) -> Policy:
    tables = "".join(
        f'[[operator]]\nname = "{name}"\nroles = ["admin"]\n'
        f'keys = ["{format_public_key_line(public_key("ed25519", seed))}"]\n'
        for name, seed in OPERATORS.items()
    )
    text = f"version = 1\n{tables}[appliance]\ntwo_operators = [{two_operators}]\n"
    parsed = parse_policy([PolicyFile(name="policy.toml", text=text)])
    check_policy(parsed)
    return parsed


def order(verb: str, operator: str) -> OrderBody:
    message = order_message(ORIGIN, {"verb": verb}, 2, NOW_S + 60)
    blob = build_sshsig(private_key("ed25519", OPERATORS[operator]), NAMESPACE, message)
    signature = base64.b64encode(blob).decode()
    return OrderBody(operator=operator, policy=2, expires_s=NOW_S + 60, signature=signature)


@pytest.mark.parametrize("verb", sorted(ORDER_ROLES))
def test_verb_of_two_operators_is_carried_out_by_two_and_by_no_one_alone(verb: str) -> None:
    context = OrderContext(
        origin=ORIGIN, policy=policy(f'"{verb}"'), policy_seq=2, spent=frozenset(), now_s=NOW_S
    )
    carol, dave = order(verb, "carol"), order(verb, "dave")
    recorded = verify_orders({"verb": verb}, [dave, carol], context)
    assert [each["operator"] for each in recorded] == ["carol", "dave"]
    for alone in ([carol], [dave]):
        with pytest.raises(Refusal, match="two different operators"):
            verify_orders({"verb": verb}, alone, context)
    with pytest.raises(Refusal, match="two orders by one operator"):
        verify_orders({"verb": verb}, [carol, carol], context)


ONE_PERSON = """
[[person]]
name = "carol"
identities = ["oidc:carol", "ldap:carol"]
"""


@pytest.mark.parametrize(
    ("carol", "dave", "several"),
    [
        ('identities = ["oidc:carol"]', 'identities = ["oidc:dave"]', True),
        ("", "", True),
        ('identities = ["local:root"]', 'identities = ["local:root"]', True),
        ('identities = ["mtls:x"]', 'identities = ["mtls:x", "mtls:y"]', False),
        ('identities = ["oidc:carol"]', 'identities = ["ldap:carol"]', False),
    ],
    ids=["two", "unknown", "the machine's account", "one account", "one person"],
)
def test_two_operators_are_two_people(carol: str, dave: str, several: bool) -> None:
    text = "version = 1\n" + "".join(
        f'[[operator]]\nname = "{name}"\nroles = ["admin"]\n{more}\n'
        f'keys = ["{format_public_key_line(public_key("ed25519", OPERATORS[name]))}"]\n'
        for name, more in (("carol", carol), ("dave", dave))
    )
    text += ONE_PERSON + '[appliance]\ntwo_operators = ["lock.lift"]\n'
    parsed = parse_policy([PolicyFile(name="policy.toml", text=text)])
    context = OrderContext(origin=ORIGIN, policy=parsed, policy_seq=2, spent=frozenset(), now_s=NOW_S)
    both = [order("lock.lift", "carol"), order("lock.lift", "dave")]
    if several:
        check_policy(parsed)
        assert len(verify_orders({"verb": "lock.lift"}, both, context)) == 2
        return
    with pytest.raises(PolicyError, match="carol, dave; expected two people"):
        check_policy(parsed)
    with pytest.raises(Refusal, match="two different operators, two people"):
        verify_orders({"verb": "lock.lift"}, both, context)


def test_verbs_that_can_be_ordered_are_those_that_somebody_may_order() -> None:
    assert set(_MODELS) == set(ORDER_ROLES)
    for verb, model in _MODELS.items():
        assert get_args(model.model_fields["verb"].annotation) == (verb,)


def test_ca_is_not_called_as_the_statement_about_the_krl_of_another_is() -> None:
    """``/v1/krl/users.sig`` is that, so that the KRL of such a CA could be fetched from nowhere."""
    create = {"verb": "ca.create", "type": "user", "algorithm": "ed25519", "phase": "signing"}
    with pytest.raises(Refusal, match=r"does not end in \.sig"):
        check_body(CreateCa, create | {"name": "users.sig"})
    assert check_body(CreateCa, create | {"name": "users.sign"}).name == "users.sign"


@pytest.mark.parametrize("verb", ["ca.destroy", "CA.ROTATE", "", "ca.rotate "])
def test_verb_that_this_version_does_not_know_is_refused_in_the_document(verb: str) -> None:
    with pytest.raises(PolicyError, match=r"two_operators\[0\]: got .*expected one of policy\.apply"):
        policy(f'"{verb}"')
