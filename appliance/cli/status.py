"""``chancery status``."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from appliance.calendars.feeds import describe_feeds
from appliance.cli.console import (
    EXIT_FAILED,
    EXIT_NOT_RUNNING,
    Shell,
    examples,
    json_option,
    pass_shell,
    plain_errors,
    show_fields,
    show_json,
)
from appliance.clock import format_rfc3339, format_rfc3339_ms, now_ms
from appliance.config import HOLD_FILE, Config
from appliance.errors import Refusal
from appliance.identity.settings import IdentityTable
from appliance.supervisor import is_running


@click.command(epilog=examples("chancery status", "chancery status --json"))
@json_option
@pass_shell
@plain_errors
def status(shell: Shell, as_json: bool) -> None:
    """Say what is up, what is wrong and what to do.

    Exit codes: 0 certificates are issued, 1 they are not, 3 the service does not run.
    """
    config = shell.config()
    found = _find(shell, config)
    if as_json:
        show_json(found)
    else:
        _show(found)
    if not found["running"]:
        sys.exit(EXIT_NOT_RUNNING)
    if found["problems"]:
        sys.exit(EXIT_FAILED)


def _find(shell: Shell, config: Config) -> dict[str, Any]:
    hold = config.data / HOLD_FILE
    if hold.is_file():
        return _down(f"HOLD: {hold.read_text('utf-8').strip()}", running=is_running(config))
    try:
        found = shell.ask("status") | {"cas": shell.ask("cas")["cas"]}
        probe = shell.ask("probe")
    except Refusal as refusal:
        if is_running(config):
            return _down(f"the authority does not answer: {refusal.detail}", running=True)
        return _down("the service does not run: start it with `chancery serve`", running=False)
    # The status has said already, and better, that the token does not work.
    known = "token:" if found["token"]["problem"] else None
    probed = [problem for problem in probe["problems"] if known is None or not problem.startswith(known)]
    # One that is down stops nothing but logins by it: it is no problem of issuing.
    return {
        "running": True,
        **found,
        "probe": probe,
        "identity": _ask_providers(config),
        "feeds": describe_feeds(config, now_ms()),
        "problems": [*found["problems"], *probed],
    }


def _ask_providers(config: Config) -> list[dict[str, str]]:
    if config.identity == IdentityTable():
        return []
    from appliance.identity.providers import check_providers  # noqa: PLC0415 - seldom needed, and slow to import

    return [
        {"name": name, "what": what, "state": trouble or "ok"}
        for name, what, trouble in check_providers(config, time.monotonic)
    ]


def _down(problem: str, *, running: bool) -> dict[str, Any]:
    return {"running": running, "problems": [problem]}


def _show(found: dict[str, Any]) -> None:
    fields: dict[str, object] = {"issuing": "no" if found["problems"] else "yes"}
    if "origin" in found:
        token = found["token"]
        fields |= {
            "log": found["origin"],
            "entries": f"{found['size']}, the last at {format_rfc3339_ms(found['head_ms'])}",
            "checkpoint": f"over {found['checkpoint_size']} entries",
            "witnesses": "none",
            "policy": f"entry {found['policy']}",
            "token": f"{token['label']} ({token['model']}, {token['serial']})",
            "pool": _describe_pool(token),
            "probe": _describe_probe(found["probe"]),
            "waiting": f"{found['waiting']} commands, {found['open_intents']} signatures",
            "CAs": "\n".join(_describe_key(key) for key in found["cas"] if key["phase"] != "retired"),
        }
        if providers := found["identity"]:
            fields["identity"] = "\n".join(
                f"{each['name']} ({each['what']}) {each['state']}" for each in providers
            )
        if feeds := found["feeds"]:
            fields["leave feeds"] = "\n".join(map(_describe_feed, feeds))
        if last := token["last_trouble"]:
            fields["trouble"] = f"{last['ago_s']:.0f} s ago, a new {last['rung']} was tried: {last['cause']}"
    if found["problems"]:
        fields["problems"] = "\n".join(found["problems"])
    show_fields(fields)


def _describe_key(key: dict[str, Any]) -> str:
    phase = "HALTED" if key["halted"] else key["phase"]
    since = format_rfc3339(key["since_ms"] // 1000)
    following = f"; next: {key['next']}" if key["next"] else ""
    where = f"{key['ca']} ({key['type']}) {key['fingerprint']}"
    return f"{where} {phase} since {since}, {key['live']} live{following}"


def _describe_pool(token: dict[str, Any]) -> str:
    """Say how busy the sessions are; a ready token needs no other word."""
    state = "" if token["condition"] == "ready" else f"{token['condition']} for {token['for_s']:.0f} s; "
    return (
        f"{state}{token['busy']} of {token['sessions']} sessions busy, {token['queued']} waiting, "
        f"{token['call_ms']} ms a call, {token['failed']} of {token['calls']} failed"
    )


def _describe_feed(feed: dict[str, Any]) -> str:
    if "problem" in feed:
        return f"{feed['name']}: {feed['problem']}"
    return f"{feed['name']}: {feed['events']} events, read at {feed['read']}"


def _describe_probe(probe: dict[str, Any]) -> str:
    return f"signed and recorded in {probe['took_ms']} ms" if probe["ready"] else "failed"
