"""``chancery login`` and ``chancery logout``: the engineer's side."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass
from pathlib import Path

import click

from appliance.cli.console import examples, json_option, note, plain_errors, show_json
from appliance.client.agent import connected
from appliance.client.filling import check_clock, empty, fill_with_file, fill_with_new_key, holds
from appliance.client.known_hosts import fetch_known_hosts, kept_pattern, write_known_hosts
from appliance.client.openid import Client, Token, log_in_with_browser, log_in_with_device
from appliance.client.replies import Certificate, Provider, Providers, Session, WhoAmI
from appliance.client.saved import Login, forget_login, load_login, save_login
from appliance.client.service import ServiceClient
from appliance.clock import format_rfc3339, now_s
from appliance.config import agent_socket, user_directory
from appliance.errors import ChanceryError, ConfigError, Refusal
from appliance.identity.fetching import make_context
from appliance.moments import parse_moment_ms

# A login that ends sooner than this is not worth going on with.
_LEFT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ways:
    """How to sign in."""

    provider: str | None
    user: str | None
    device: bool
    browser: bool
    port: int
    again: bool
    secret_file: Path | None


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
@click.option(
    "--again",
    is_flag=True,
    help="Log in anew, although the last login is good, and have the provider ask who you are.",
)
@click.option("--if-needed", is_flag=True, help="Do nothing while the agent has a certificate that lasts.")
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
    if_needed: bool,
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
    known = load_login(user_directory())
    url, ca_file = choose_service(known, url, ca)
    if if_needed and known is not None and known.url == url and is_good(known):
        return
    client = ServiceClient(url, make_context(ca_file))
    ways = _Ways(
        provider=provider,
        user=user,
        device=device,
        browser=not no_browser,
        port=redirect_port,
        again=again,
        secret_file=client_secret_file,
    )
    lists = {"hosts": hosts, "logins": logins}
    wishes: dict[str, object] = {name: list(values) for name, values in lists.items() if values}
    texts = {"grant": grant, "ttl": ttl, "reason": reason}
    wishes |= {name: value for name, value in texts.items() if value is not None}
    if known is not None and not again and _goes_on(known, url, ways):
        try:
            _show(known, _fill(client, known, wishes, key), as_json=as_json)
        except Refusal as refusal:  # its end may come early: a directory's session ends with the web tier
            if refusal.slug != "unauthenticated":
                raise
        else:
            return
    signed_in = _sign_in(client, url, ca_file, ways)
    certificates = _fill(client, signed_in, wishes, key, before=known)
    _show(signed_in, certificates, as_json=as_json)


@click.command(epilog=examples("chancery logout"))
@json_option
@plain_errors
def logout(as_json: bool) -> None:
    """Forget the login, and remove its certificates from the ssh-agent.

    Certificates that were issued are not revoked by it; `chancery cert revoke` does that. The file of one
    that lies beside a key of yours (`--key`) stays.
    """
    known = load_login(user_directory())
    forgotten = forget_login(user_directory())
    removed = 0
    if known is not None and (path := agent_socket()) is not None:
        with connected(path) as agent:
            removed = empty(agent, known.identity)
    if as_json:
        show_json({"forgotten": forgotten, "removed": removed})
    else:
        note(f"{'logged out' if forgotten else 'there was no login'}; {removed} left the ssh-agent")


def choose_service(known: Login | None, url: str | None, ca: Path | None) -> tuple[str, Path | None]:
    """Return the service, and the CAs of its TLS: those that are named, or else those of the last login."""
    if url is None and known is None:
        raise click.UsageError("say where: chancery login https://ca.example.org")
    chosen = known.url if url is None and known is not None else str(url).rstrip("/")
    kept = known.ca if known is not None and known.url == chosen else None
    return chosen, ca.absolute() if ca is not None else None if kept is None else Path(kept)


def is_good(known: Login) -> bool:
    """Say whether the ssh-agent has a certificate of a login that lasts for a while yet."""
    with connected(agent_socket()) as agent:
        return holds(agent, known.identity, now_s() + _LEFT_S)


def _goes_on(known: Login, url: str, ways: _Ways) -> bool:
    """Say whether the login that is kept is the one that is wanted, and good for a while yet."""
    same = known.url == url and ways.provider in {None, known.provider} and ways.user is None
    return same and known.expires_s > now_s() + _LEFT_S


def _choose_provider(found: list[Provider], ways: _Ways) -> Provider:
    kind = "oidc" if ways.user is None else "ldap"
    fit = [each for each in found if each.type == kind and ways.provider in {None, each.name}]
    if len(fit) == 1:
        return fit[0]
    there = ", ".join(f"{each.name} ({each.type})" for each in found) or "none"
    hint = "--provider NAME says which" if fit else "--user NAME is for a directory, without it for others"
    raise ConfigError(f"{len(fit) or 'no'} providers fit; {hint}. There are: {there}")


def _sign_in(client: ServiceClient, url: str, ca: Path | None, ways: _Ways) -> Login:
    """Sign in, and keep the login."""
    provider = _choose_provider(client.get("/v1/providers", Providers).providers, ways)
    with connected(agent_socket()):  # nobody is to sign in for what has nowhere to go
        pass
    if ways.user is not None:
        credential, expires_s = _show_password(client, provider.name, ways.user)
    else:
        token = _fetch_token(provider, ways)
        credential, expires_s = token.text, token.ends_s
    check_clock("the login", expires_s, now_s())
    signed_in = Login(
        url=url,
        ca=None if ca is None else str(ca),
        provider=provider.name,
        identity=_name(client, provider.name, credential),
        credential=credential,
        expires_s=expires_s,
    )
    save_login(user_directory(), signed_in)
    note(f"logged in as {signed_in.identity} until {format_rfc3339(signed_in.expires_s)}")
    return signed_in


def _name(client: ServiceClient, provider: str, credential: str) -> str:
    """Ask the service who has signed in: a credential that it does not take is of no use."""
    try:
        return client.get("/v1/whoami", WhoAmI, credential).identity
    except Refusal as refusal:
        if refusal.slug != "unauthenticated":
            raise
        raise ConfigError(
            f"you have signed in, but the service does not take what {provider} gave you: its operators find "
            "the reason in its log (a clock that is off, another audience, a claim that is missing)"
        ) from refusal


def _show_password(client: ServiceClient, provider: str, user: str) -> tuple[str, int]:
    password = click.prompt(f"Password of {user} at {provider}", hide_input=True, err=True)
    body = {"provider": provider, "username": user, "password": password}
    session = client.post("/v1/sessions", Session, body)
    return session.credential, parse_moment_ms(session.expires) // 1000


def _fetch_token(provider: Provider, ways: _Ways) -> Token:
    who = Client(
        issuer=provider.issuer,
        client_id=provider.client_id,
        scopes=tuple(provider.scopes),
        context=make_context(None),
        secret=None if ways.secret_file is None else _read_text(ways.secret_file),
    )
    if ways.device:
        return log_in_with_device(who, lambda url, code: note(f"Open {url} and check the code {code}."))
    return log_in_with_browser(
        who, lambda url: _open(url, browser=ways.browser), port=ways.port, again=ways.again
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected text") from error


def _open(url: str, *, browser: bool) -> None:
    note(f"Log in at {url}")
    if browser and not webbrowser.open(url):
        note("no browser could be opened: open it in one on this machine, or use --device")


def _fill(
    client: ServiceClient,
    known: Login,
    wishes: dict[str, object],
    key: Path | None,
    *,
    before: Login | None = None,
) -> list[Certificate]:
    with connected(agent_socket()) as agent:
        if before is not None and before.identity != known.identity:
            empty(agent, before.identity)
        if key is not None:
            certificates = fill_with_file(client, known, wishes, key, agent, now_s=now_s())
        else:
            certificates = fill_with_new_key(client, known, wishes, agent, now_s=now_s())
    _learn_hosts(client)
    return certificates


def _learn_hosts(client: ServiceClient) -> None:
    """Write the CAs of hosts anew, so that they are never older than a certificate."""
    directory = user_directory()
    try:
        write_known_hosts(directory, fetch_known_hosts(client, kept_pattern(directory)))
    except (ChanceryError, OSError) as error:  # what is known already goes on being believed
        note(f"the CAs of hosts were not learnt: {error}")


def _show(known: Login, certificates: list[Certificate], *, as_json: bool) -> None:
    if as_json:
        shown = {"identity": known.identity, "expires": format_rfc3339(known.expires_s)}
        show_json({**shown, "certificates": [each.model_dump() for each in certificates]})
        return
    for each in certificates:
        principals = ", ".join(each.principals)
        note(f"in the ssh-agent: {principals} until {each.valid_before}, serial {each.serial}")
