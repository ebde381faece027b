"""Logs on standard error: lines for people on a terminal, one JSON object a line for everything else.

No secret has a way in here: what is logged are reasons, names and numbers, never requests or keys.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Final

from appliance.clock import format_rfc3339_ms, now_ms

_MEMBERS: Final = ("request_id", "source", "seq", "event")
# Made once: json.dumps makes an encoder for each line.
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


class _Json(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": format_rfc3339_ms(now_ms()),
            "level": record.levelname.lower(),
            "process": self._process,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _MEMBERS if hasattr(record, name)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        # Not orjson, which refuses lone surrogates: no line is lost over what a name in it holds.
        return _encode(line)


def set_up_logging(process: str, *, terminal: bool | None = None) -> None:
    """Send the logs of this process to standard error."""
    # Nothing that is logged here names threads, processes or lines of code: they are not looked up each time
    # ("Optimization" in Python's logging HOWTO).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # type: ignore[attr-defined, unused-ignore]
    handler = logging.StreamHandler()
    if sys.stderr.isatty() if terminal is None else terminal:
        handler.setFormatter(logging.Formatter(f"{process}: %(message)s"))
    else:
        handler.setFormatter(_Json(process))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
