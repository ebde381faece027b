"""What locks are on: requests, which are then denied, and certificates, which are revoked. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain

from appliance.authority.cutting.cutoff import asked_by, held_by
from appliance.authority.fold.records import AppliedPolicy, IssuedCertificate
from appliance.authority.fold.state import State
from appliance.identity.identity import Identity
from appliance.policy.document import Policy
from appliance.policy.evaluate import Denial, Profile
from appliance.policy.locks import Lock, Target, say_locked
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.keys import fingerprint, format_fingerprint, parse_fingerprint


def deny_locked(
    state: State, applied: AppliedPolicy, identity: Identity, request: UserRequest | HostRequest
) -> Denial | None:
    """Deny a request if its requester, its host or its key is locked, or its key was revoked."""
    if state.locks.in_force:
        lock = state.locks.find(_targets_of_request(state, applied.policy, identity, request))
        if lock is not None:
            return _deny(lock)
    if state.revoked.keys:
        seq = state.revoked.keys.get(fingerprint(request.public_key))
        if seq is not None:
            return Denial(rule="revocation", detail=f"the public key is revoked (entry {seq})")
    return None


def deny_locked_ca(state: State, profiles: Iterable[Profile]) -> Denial | None:
    """Deny what a locked CA would have to sign; a request may leave it out by naming a customer."""
    lock = state.locks.find(Target("ca", profile.ca) for profile in profiles)
    return None if lock is None else _deny(lock)


def find_covered(state: State, policy: Policy, lock: Lock) -> list[IssuedCertificate]:
    """Return the certificates that a lock is on, whatever became of them.

    A locked delegate's are those too that he has asked for on behalf of others: the keys may be his own.
    """
    subjects = _subjects(policy, lock)
    if subjects is not None:
        found = [*held_by(state, subjects), *asked_by(state, subjects)]
        return list({each.seq: each for each in found}.values())
    is_covered = _recognise(state, lock.target)
    return [each for each in state.certificates.values() if is_covered(each)]


def _subjects(policy: Policy, lock: Lock) -> Collection[str] | None:
    """Return whose certificates a lock is on; None if it is not by their subjects that they are found.

    ``host:NAME`` is the subject of a host's certificate and nobody's identity: only a lock on hosts is on it.
    """
    kind, name = lock.target
    if kind == "host":
        return (f"host:{name}",)
    identities = _identities(policy, lock)
    return None if identities is None else [each for each in identities if not is_host(each)]


def _identities(policy: Policy, lock: Lock) -> Collection[str] | None:
    kind, name = lock.target
    if kind in {"identity", "service"}:
        return (name,)
    if kind == "person":
        known = policy.persons.get(name)
        return {*lock.accounts, *(() if known is None else known.identities)}
    if kind == "group" and ":" not in name:
        return policy.groups[name].members if name in policy.groups else ()
    return None


def is_host(subject: str) -> bool:
    """Say whether a certificate's subject is a host; no provider of identities is called so."""
    return subject.startswith("host:")


def _recognise(state: State, target: Target) -> Callable[[IssuedCertificate], bool]:
    """Return what says whether a certificate rests on a provider's group, is for a key, or by a CA."""
    kind, name = target
    if kind == "group":
        return lambda each: name in each.groups
    if kind == "key":
        digest = parse_fingerprint(name)
        return lambda each: each.subject_key == digest
    keys = frozenset(key.fingerprint for key in state.cas[name].keys) if name in state.cas else frozenset()
    return lambda each: each.ca_key in keys


def find_enrolled(state: State, policy: Policy, lock: Lock, now_s: int) -> list[IssuedCertificate]:
    """Return the live certificates of hosts for which those asked whom a lock is on; it does not revoke them.

    Whoever enrols hosts asks for all of theirs, and most of the keys are the hosts' own.
    """
    enrollers = frozenset(_identities(policy, lock) or ())
    asked = (each for each in held_by(state, filter(is_host, state.by_subject)) if each.enroller in enrollers)
    issued = (each for each in asked if each.outcome == "issued" and not each.revoked)
    return [each for each in issued if each.valid_before > now_s]


def covers(state: State, policy: Policy, lock: Lock, certificate: IssuedCertificate) -> bool:
    """Say whether a lock is on one certificate; agrees with :func:`find_covered`."""
    return not lock.targets.isdisjoint(_targets_of_certificate(state, policy, certificate))


def find_owed(state: State) -> dict[int, list[IssuedCertificate]]:
    """Return, by the seq of their lock, the certificates that locks in force are on: in one pass over all.

    What a crash has left of a cut is among them.
    """
    owed: dict[int, list[IssuedCertificate]] = {}
    if state.applied is None or not state.locks.in_force:
        return owed
    for certificate in state.certificates.values():
        lock = state.locks.find(_targets_of_certificate(state, state.applied.policy, certificate))
        if lock is not None:
            owed.setdefault(lock.seq, []).append(certificate)
    return owed


def _deny(lock: Lock) -> Denial:
    return Denial(rule="lock", detail=say_locked(lock))


def _targets_of_request(
    state: State, policy: Policy, identity: Identity, request: UserRequest | HostRequest
) -> Iterator[Target]:
    yield from state.locks.targets_of(policy, str(identity), identity.groups)
    yield Target("key", fingerprint(request.public_key))
    if isinstance(request, HostRequest):
        yield Target("host", request.host)


def _targets_of_certificate(state: State, policy: Policy, certificate: IssuedCertificate) -> Iterator[Target]:
    if is_host(certificate.subject):
        holder: Iterator[Target] = iter([Target("host", certificate.subject.removeprefix("host:"))])
    else:
        delegate = certificate.delegate
        holder = chain(
            state.locks.targets_of(policy, certificate.subject, certificate.groups),
            () if delegate is None else state.locks.targets_of(policy, delegate, ()),
        )
    ca = (ca.name for ca in state.cas.values() for key in ca.keys if key.fingerprint == certificate.ca_key)
    return chain(
        holder,
        [Target("key", format_fingerprint(certificate.subject_key))],
        (Target("ca", name) for name in ca),
    )
