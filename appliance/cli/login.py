"""``chancery login`` and ``chancery logout``: the engineer's side."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Any

import click

from appliance.cli.console import examples, json_option, note, plain_errors, show_json
from appliance.client.agent import connected
from appliance.client.filling import empty, fill_with_file, fill_with_new_key
from appliance.client.openid import Client, Token, log_in_with_browser, log_in_with_device
from appliance.client.saved import Login, forget_login, load_login, save_login
from appliance.client.service import ServiceClient
from appliance.clock import format_rfc3339, now_s
from appliance.config import agent_socket, user_directory
from appliance.errors import ConfigError
from appliance.identity.fetching import make_context
from appliance.moments import parse_moment_ms

# A login that ends sooner than this is not worth going on with.
_LEFT_S = 60


@click.command(
    epilog=examples(
        "chancery login https://ca.example.org",
        "chancery login --device --host db-7.acme.example --login postgres",
        "chancery login https://ca.example.org --user ada --key ~/.ssh/id_ed25519",
    )
)
@click.argument("url", required=False)
@click.option("--ca", type=click.Path(path_type=Path, exists=True), help="CAs of the service's TLS.")
@click.option("--provider", help="The identity provider, if the service has several.")
@click.option("--device", is_flag=True, help="Log in with a browser on another device.")
@click.option("--no-browser", is_flag=True, help="Print the URL only, and open no browser.")
@click.option(
    "--redirect-port",
    type=click.IntRange(0, 65_535),
    default=0,
    show_default="a free one",
    help="The port of http://127.0.0.1:PORT/callback, for providers that must be told of it.",
)
@click.option("--user", help="Log in at a directory, as this user; the password is asked for.")
@click.option(
    "--client-secret-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What some providers demand of programs, too.",
)
@click.option("--again", is_flag=True, help="Log in anew, although the last login is still good.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The private key to certify; without it a new one that is in the agent alone.",
)
@click.option("--host", "hosts", multiple=True, help="A registered host to log in to.")
@click.option("--login", "logins", multiple=True, help="An account to log in as.")
@click.option("--grant", help="The grant to rest on.")
@click.option("--ttl", help="At most this long, such as 30m or 8h.")
@click.option("--reason", help="Why, for the record.")
@json_option
@plain_errors
def login(
    url: str | None,
    ca: Path | None,
    provider: str | None,
    device: bool,
    no_browser: bool,
    redirect_port: int,
    user: str | None,
    client_secret_file: Path | None,
    again: bool,
    key: Path | None,
    hosts: tuple[str, ...],
    logins: tuple[str, ...],
    grant: str | None,
    ttl: str | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """Sign in at the service at URL, and put certificates into the ssh-agent.

    URL and --ca are remembered, and the login is used until it ends: within it nobody is asked anything.
    """
    directory = user_directory()
    known = load_login(directory)
    where = _choose_service(known, url, ca)
    client = ServiceClient(where[0], make_context(None if where[1] is None else Path(where[1])))
    good = known is not None and known.credential and known.expires_s > now_s() + _LEFT_S
    if again or not good or known is None or (known.url, known.ca) != where or provider or user:
        found = _choose_provider(client.get("/v1/providers")["providers"], provider, user)
        credential, expires_s = _sign_in(
            client,
            found,
            user,
            device=device,
            browser=not no_browser,
            port=redirect_port,
            secret_file=client_secret_file,
        )
        known = Login(
            url=where[0],
            ca=where[1],
            provider=found["name"],
            identity=_whoami(client, credential),
            credential=credential,
            expires_s=expires_s,
        )
        save_login(directory, known)
        note(f"logged in as {known.identity} until {format_rfc3339(known.expires_s)}")
    lists = {"hosts": hosts, "logins": logins}
    wishes: dict[str, object] = {name: list(values) for name, values in lists.items() if values}
    texts = {"grant": grant, "ttl": ttl, "reason": reason}
    wishes |= {name: value for name, value in texts.items() if value is not None}
    _show(known, _fill(client, known, wishes, key), as_json=as_json)


@click.command(epilog=examples("chancery logout"))
@json_option
@plain_errors
def logout(as_json: bool) -> None:
    """Forget the login, and remove its certificates from the ssh-agent.

    Certificates that were issued are not revoked by it; `chancery cert revoke` does that.
    """
    forgotten = forget_login(user_directory())
    removed = 0
    if (path := agent_socket()) is not None:
        with connected(path) as agent:
            removed = empty(agent)
    if as_json:
        show_json({"forgotten": forgotten, "removed": removed})
    else:
        note(f"{'logged out' if forgotten else 'there was no login'}; {removed} left the ssh-agent")


def _choose_service(known: Login | None, url: str | None, ca: Path | None) -> tuple[str, str | None]:
    if url is None:
        if known is None:
            raise click.UsageError("say where: chancery login https://ca.example.org")
        return known.url, known.ca if ca is None else str(ca.absolute())
    same = known is not None and known.url == url.rstrip("/")
    kept = known.ca if known is not None and same else None
    return url.rstrip("/"), kept if ca is None else str(ca.absolute())


def _choose_provider(found: list[dict[str, Any]], name: str | None, user: str | None) -> dict[str, Any]:
    kind = "oidc" if user is None else "ldap"
    fit = [each for each in found if each["type"] == kind and name in {None, each["name"]}]
    if len(fit) == 1:
        return fit[0]
    there = ", ".join(f"{each['name']} ({each['type']})" for each in found) or "none"
    hint = "--provider NAME says which" if fit else "--user NAME is for a directory, without it for others"
    raise ConfigError(f"{len(fit) or 'no'} providers fit; {hint}. There are: {there}")


def _sign_in(
    client: ServiceClient,
    provider: dict[str, Any],
    user: str | None,
    *,
    device: bool,
    browser: bool,
    port: int,
    secret_file: Path | None,
) -> tuple[str, int]:
    """Sign in; return the credential and when it ends."""
    if user is not None:
        password = click.prompt(f"Password of {user} at {provider['name']}", hide_input=True, err=True)
        body = {"provider": provider["name"], "username": user, "password": password}
        session = client.post("/v1/sessions", body)
        return session["credential"], parse_moment_ms(session["expires"]) // 1000
    who = Client(
        issuer=provider["issuer"],
        client_id=provider["client_id"],
        scopes=tuple(provider["scopes"]),
        context=make_context(None),
        secret=None if secret_file is None else secret_file.read_text("utf-8").strip(),
    )
    token: Token
    if device:
        token = log_in_with_device(who, lambda url, code: note(f"Open {url} and check the code {code}."))
    else:
        token = log_in_with_browser(who, lambda url: _open(url, browser=browser), port=port)
    return token.text, token.ends_s


def _open(url: str, *, browser: bool) -> None:
    note(f"Log in at {url}")
    if browser:
        webbrowser.open(url)


def _whoami(client: ServiceClient, credential: str) -> str:
    identity: str = client.get("/v1/whoami", credential)["identity"]
    return identity


def _fill(
    client: ServiceClient, known: Login, wishes: dict[str, object], key: Path | None
) -> list[dict[str, Any]]:
    if key is not None:
        return fill_with_file(client, known.credential, wishes, key, now_s=now_s())
    with connected(agent_socket()) as agent:
        return fill_with_new_key(client, known.credential, wishes, agent, label=known.url, now_s=now_s())


def _show(known: Login, certificates: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        shown = {"identity": known.identity, "expires": format_rfc3339(known.expires_s)}
        show_json({**shown, "certificates": certificates})
        return
    for each in certificates:
        principals = ", ".join(each["principals"])
        note(f"in the ssh-agent: {principals} until {each['valid_before']}, serial {each['serial']}")
