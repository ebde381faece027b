"""One PKCS#11 session per thread, each with its own handles of the keys it signs with.

Sessions are never shared: PKCS#11 v3.1 §4.4 has one operation in progress in each. The login belongs to the
application, so sessions are opened without a PIN beside the token's logged-in one.
"""

from __future__ import annotations

import threading
from typing import Any

import pkcs11
from pkcs11 import Attribute, ObjectClass

from hsm.errors import KeyRefused
from hsm.module import Module


class ThreadSession:
    """A session, the thread it belongs to, and the handles that were looked up in it."""

    __slots__ = ("_handles", "pkcs11_session", "thread")

    def __init__(self, pkcs11_session: pkcs11.Session) -> None:
        self.pkcs11_session = pkcs11_session
        self.thread = threading.current_thread()
        self._handles: dict[bytes, Any] = {}

    def private_key(self, cka_id: bytes) -> Any:
        """Return the library's object for the one private key with this CKA_ID.

        Raises:
            KeyRefused: there is none, or more than one.
            pkcs11.PKCS11Error: the token does not answer.
        """
        handle = self._handles.get(cka_id)
        if handle is None:
            template = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: cka_id}
            found = list(self.pkcs11_session.get_objects(template))
            if len(found) != 1:
                raise KeyRefused(
                    f"{len(found)} private keys on the token have CKA_ID {cka_id.hex()}, expected one"
                )
            handle = self._handles[cka_id] = found[0]
        return handle


class ThreadSessions:
    """The sessions of one token."""

    def __init__(self, module: Module, pkcs11_token: pkcs11.Token) -> None:
        self._module = module
        self._pkcs11_token = pkcs11_token
        self._lock = threading.Lock()
        self._all: list[ThreadSession] = []
        self._local = threading.local()

    def current(self) -> ThreadSession:
        """Return the calling thread's session; its first call opens one, or takes over that of a dead thread.

        Tokens have as few as 16 sessions, and nothing tells us when a thread ends.

        Raises:
            ModuleUnavailable: in a forked child.
            pkcs11.PKCS11Error: no session can be opened.
        """
        self._module.check_process()
        session: ThreadSession | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._adopt() or self._open()
        return session

    def close(self) -> None:
        """Close them all; the caller has seen to it that no thread is signing."""
        with self._lock:
            closing, self._all = self._all, []
            self._local = threading.local()
        for session in closing:
            session.pkcs11_session.close()

    def _adopt(self) -> ThreadSession | None:
        with self._lock:
            for session in self._all:
                if not session.thread.is_alive():
                    session.thread = threading.current_thread()
                    return session
        return None

    def _open(self) -> ThreadSession:
        session = ThreadSession(self._pkcs11_token.open())
        with self._lock:
            self._all.append(session)
        return session
