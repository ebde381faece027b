"""The rows that a portion of the ledger becomes, gathered so that each table is written once for them all."""

from __future__ import annotations

from typing import Any, Final

from sqlite_utils import Database

from appliance.index.schema import TABLES

Row = tuple[Any, ...]


def _insert(table: str) -> str:
    columns = TABLES[table][0]
    marks = ", ".join("?" * len(columns))
    # Names are the schema's, never data.
    return f"INSERT INTO [{table}]({', '.join(columns)}) VALUES ({marks})"  # noqa: S608


_INSERTS: Final = {table: _insert(table) for table in TABLES}
_CLOSE: Final = "DELETE FROM open_intent WHERE certificate = ?"


class Portion:
    """Rows on their way into the index. Whoever changes or reads rows flushes first."""

    def __init__(self, db: Database) -> None:
        self._connection = db.conn
        self._rows: dict[str, list[Row]] = {table: [] for table in TABLES}
        # Under load most outcomes come in the portion of their intents: those were never open in the table.
        self._opened: dict[int, None] = {}
        self._closed: list[int] = []

    def add(self, table: str, *row: object) -> None:
        """Add a row, its values in the order of the schema's columns."""
        self._rows[table].append(row)

    def open_intent(self, seq: int) -> None:
        """Put an intent on the list of those without an outcome."""
        self._opened[seq] = None

    def close_intent(self, seq: int) -> None:
        """Take an intent off that list."""
        if seq in self._opened:
            del self._opened[seq]
        else:
            self._closed.append(seq)

    def read(self, sql: str, *values: object) -> list[Row]:
        """Read rows, those of this portion included."""
        self.flush()
        found: list[Row] = self._connection.execute(sql, values).fetchall()
        return found

    def change(self, sql: str, *values: object) -> None:
        """Change rows that exist, those of this portion included."""
        self.flush()
        self._connection.execute(sql, values)

    def flush(self) -> None:
        """Write what was gathered."""
        for table, rows in self._rows.items():
            if rows:
                self._connection.executemany(_INSERTS[table], rows)
                rows.clear()
        for statement, seqs in ((_INSERTS["open_intent"], self._opened), (_CLOSE, self._closed)):
            if seqs:
                self._connection.executemany(statement, [(seq,) for seq in seqs])
                seqs.clear()

    def discard(self) -> None:
        """Forget what was gathered."""
        self._rows = {table: [] for table in TABLES}
        self._opened.clear()
        self._closed.clear()
