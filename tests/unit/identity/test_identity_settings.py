"""`[[identity.oidc]]` and `[[identity.ldap]]`: what is refused, and where it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from appliance.config import Config, load_config
from appliance.errors import ConfigError
from appliance.identity.secret_files import read_secret
from appliance.identity.settings import UNSTABLE_CLAIMS, LdapTable, OidcTable
from appliance.setup import directory

TOKEN = '[token]\nmodule = "/usr/lib/softhsm/libsofthsm2.so"\nlabel = "chancery"\n'
OIDC = '[[identity.oidc]]\nname = "oidc"\nissuer = "https://login.example.org"\naudience = "chancery"\n'
LDAP = (
    '[[identity.ldap]]\nname = "ldap"\nurl = "ldaps://dc1.example.org"\nbind_dn = "cn=chancery"\n'
    'password = "file:ldap.password"\nbase = "dc=example,dc=org"\n'
)


def load(data: Path, text: str) -> Config:
    (data / "chancery.toml").write_text(TOKEN + text)
    return load_config(data, {})


def test_providers_have_defaults_that_are_strict(tmp_path: Path) -> None:
    identity = load(tmp_path, OIDC + LDAP).identity
    assert (identity.oidc[0].subject, identity.oidc[0].groups, identity.oidc[0].kind) == ("sub", None, "user")
    assert identity.oidc[0].algorithms == ("RS256", "ES256")
    assert identity.ldap[0].login_attribute == "uid"
    (domain,) = load(tmp_path, LDAP + 'type = "active-directory"').identity.ldap
    assert domain.login_attribute == "sAMAccountName"
    assert load(tmp_path, "").identity.oidc == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OIDC + "colour = 1", "identity.oidc.0.colour: unknown key"),
        (LDAP + "colour = 1", "identity.ldap.0.colour: unknown key"),
        (OIDC.replace('"oidc"', '"mtls"'), "identity.oidc.0.name"),
        (OIDC.replace('"oidc"', '"api"'), "identity.oidc.0.name"),
        (OIDC.replace('"oidc"', '"local"'), "identity.oidc.0.name"),
        (LDAP.replace('"ldap"', '"host"'), "identity.ldap.0.name"),
        (OIDC.replace('"oidc"', '"OIDC"'), "identity.oidc.0.name"),
        (OIDC + LDAP.replace('"ldap"', '"oidc"'), "oidc is the name of two providers"),
        (OIDC + OIDC.replace('"oidc"', '"other"'), "whose would a token be?"),
        (OIDC.replace("https://", "http://"), "identity.oidc.0.issuer"),
        (OIDC.replace("https://login", "https://user@login"), "identity.oidc.0.issuer"),
        (OIDC.replace("example.org", "example.org?x=1"), "identity.oidc.0.issuer"),
        (OIDC.replace("example.org", "example.org:65536"), "identity.oidc.0.issuer"),
        (OIDC.replace("login.example.org", "[::1"), "identity.oidc.0.issuer"),
        (OIDC + 'jwks_uri = "file:///etc/passwd"', "identity.oidc.0.jwks_uri"),
        (OIDC + 'jwks_uri = "https://login.example.org:0/keys"', "identity.oidc.0.jwks_uri"),
        (OIDC + 'algorithms = ["none"]', "identity.oidc.0.algorithms"),
        (OIDC + 'algorithms = ["HS256"]', "identity.oidc.0.algorithms"),
        (OIDC + "algorithms = []", "identity.oidc.0.algorithms"),
        (OIDC + 'kind = "host"', "identity.oidc.0.kind"),
        (OIDC + 'kind = "service"\ngroups = "groups"', "a service has no groups"),
        (OIDC + 'scopes = ["profile"]', "openid must be among them"),
        (OIDC + 'subject = ""', "identity.oidc.0.subject"),
        (OIDC + 'subject = "two words"', "identity.oidc.0.subject"),
        (OIDC + 'subject = "{a}{b}"', "a colon between"),
        (OIDC + 'subject = "{a}/{b}"', "a colon between"),
        (OIDC + 'subject = "{A}"', "template"),
        (OIDC + 'subject = "{a}:{"', "template"),
        (LDAP.replace("ldaps:", "http:"), "identity.ldap.0.url"),
        (LDAP.replace("example.org", "example.org/dc=x", 1), "identity.ldap.0.url"),
        (LDAP.replace("example.org", "example.org:port", 1), "identity.ldap.0.url"),
        (LDAP.replace("file:ldap.password", "s3cret"), "the secret itself does not belong in here"),
        (LDAP + 'filter = "objectClass=*"', "identity.ldap.0.filter"),
        (LDAP + 'login = "uid)(x"', "identity.ldap.0.login"),
        (LDAP + 'login = "Mail"', "can change hands"),
        (LDAP + "session_s = 1", "identity.ldap.0.session_s"),
        ("[identity]\nsaml = 1", "identity.saml: unknown key"),
    ],
)
def test_what_is_wrong_is_said_with_table_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text)
    assert said in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("claim", sorted(UNSTABLE_CLAIMS))
def test_claim_that_can_change_hands_is_no_subject(tmp_path: Path, claim: str) -> None:
    for subject in (claim, f"{{sub}}:{{{claim}}}"):
        with pytest.raises(ConfigError, match="can change hands"):
            load(tmp_path, OIDC + f'subject = "{subject}"')


@pytest.mark.parametrize(
    "subject", ["sub", "oid", "{project_path}:{ref}", "repo:{repository_id}", "https://example.org/employee"]
)
def test_claim_or_template_that_is_for_life_is_a_subject(tmp_path: Path, subject: str) -> None:
    assert load(tmp_path, OIDC + f'subject = "{subject}"').identity.oidc[0].subject == subject


def test_secret_is_read_from_a_file_of_its_owners_alone_or_from_systemd(tmp_path: Path) -> None:
    path = tmp_path / "ldap.password"
    path.touch(0o600)
    path.write_text("with space \n")
    assert read_secret("file:ldap.password", tmp_path, None) == "with space "
    assert read_secret(f"file:{path}", Path("/nonexistent"), None) == "with space "
    path.chmod(0o640)
    assert read_secret("credential:ldap.password", Path("/nonexistent"), tmp_path) == "with space "


@pytest.mark.parametrize(
    ("setting", "mode", "text", "said"),
    [
        ("file:secret", 0o640, "x", "chmod 0600"),
        ("file:secret", 0o600, "", "a secret on one line"),
        ("file:secret", 0o600, "x" * 5_000, "a secret on one line"),
        ("file:secret", 0o600, "two\nlines\n", "a secret on one line"),
        ("file:missing", 0o600, "x", "cannot be read"),
        ("credential:secret", 0o600, "x", "systemd has put no credentials"),
    ],
)
def test_secret_that_is_none_is_said_without_showing_it(
    tmp_path: Path, setting: str, mode: int, text: Any, said: str
) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=said):
        read_secret(setting, tmp_path, None)


@pytest.mark.parametrize("table", [OidcTable, LdapTable])
def test_every_key_is_explained_in_the_example_that_init_writes(table: type[BaseModel]) -> None:
    example = (Path(directory.__file__).parent / "templates" / "chancery.toml").read_text()
    kind = "oidc" if table is OidcTable else "ldap"
    part = example.partition(f"# [[identity.{kind}]]")[2].partition("#\n")[0]
    assert [name for name in table.model_fields if f"\n# {name} = " not in part] == []
