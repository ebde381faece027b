"""Whoever has broken into a process of the service, and what he tries: run as that process's user.

A program of its own that needs nothing but Python: it reads a list of attempts from standard input, and says
of each what came of it. ``ok`` is a success of the intruder's.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import sys
from pathlib import Path

PTRACE_ATTACH = 16
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438


def read(path: str) -> None:
    with Path(path).open("rb") as file:
        file.read(1)


def write(path: str) -> None:
    os.close(os.open(path, os.O_RDWR))


def make(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))


def listing(path: str) -> None:
    tuple(Path(path).iterdir())


def remove(path: str) -> None:
    Path(path).unlink()


def rename(path: str) -> None:
    Path(path).rename(f"{path}.away")


def memory(pid: str) -> None:
    write(f"/proc/{pid}/mem")


def environment(pid: str) -> None:
    read(f"/proc/{pid}/environ")


def open_files(pid: str) -> None:
    listing(f"/proc/{pid}/fd")


def trace(pid: str) -> None:
    call(ctypes.CDLL(None, use_errno=True).ptrace(PTRACE_ATTACH, int(pid), None, None))


def copy_memory(pid: str) -> None:
    vector = struct.pack("QQ", 0, 1)
    call(ctypes.CDLL(None, use_errno=True).process_vm_readv(int(pid), vector, 1, vector, 1, 0))


def take_file(pid: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    call(libc.syscall(SYS_PIDFD_GETFD, call(libc.syscall(SYS_PIDFD_OPEN, int(pid), 0)), 0, 0))


def send_signal(pid: str) -> None:
    os.kill(int(pid), 0)


def ask(path_and_message: str) -> None:
    """Ask the authority; a refusal is a refusal, and so is a connection that ends without an answer."""
    path, message = path_and_message.split("|")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        frame = bytes.fromhex(message)
        try:
            connection.sendall(struct.pack(">I", len(frame)) + frame)
            answer = connection.recv(65_536)
        except ConnectionError:
            answer = b""
        if not answer or b"refusal" in answer:
            raise PermissionError(0, "refused")


def call(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def attempt(name: str, argument: str) -> str:
    try:
        globals()[name](argument)
    except OSError as error:
        return f"{type(error).__name__}: {error.strerror}"
    return "ok"


if __name__ == "__main__":
    ctypes.set_errno(0)
    print(json.dumps([attempt(*each) for each in json.load(sys.stdin)]))
