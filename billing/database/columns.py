"""Which columns each table has, and the queries that are compiled for them once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import peewee

if TYPE_CHECKING:
    from billing.database.dialects.base import Dialect

#: Placeholder for a parameter that is bound each time the compiled query runs.
PLACEHOLDER = peewee.Value(object(), converter=False)


class TableColumns:
    """The columns of each table as they were looked up, and the queries compiled for them.

    `columns` is empty for a table that is not there. `expires_at` is by the clock of its Database.
    """

    def __init__(
        self, columns: dict[str, frozenset[str]], dialect: Dialect, expires_at: float
    ) -> None:
        self.columns, self.dialect, self.expires_at = columns, dialect, expires_at
        self.packs_rows = dialect.packs_rows()
        self._compiled: dict[QueryBuilder, CompiledQuery] = {}

    def has(self, table: str, column: str) -> bool:
        return column in self.columns[table]

    def compile(self, build: QueryBuilder) -> CompiledQuery:
        """The query that `build` makes, built once: that costs ten times as much as running it."""
        compiled = self._compiled.get(build)
        if compiled is None:
            compiled = self._compiled[build] = CompiledQuery(self.dialect, build(self))
        return compiled


#: Builds a query that uses only the columns in TableColumns.
QueryBuilder = Callable[[TableColumns], peewee.Node]


class CompiledQuery:
    """SQL and its parameters, some of which are placeholders."""

    def __init__(self, database: peewee.Database, query: peewee.Node) -> None:
        self.sql, parameters = database.get_sql_context().sql(query).query()
        self._parameters = list(parameters)
        self._are_all_bound = all(each is PLACEHOLDER.value for each in parameters)

    def bind(self, values: tuple[Any, ...]) -> Sequence[Any]:
        """The parameters, each PLACEHOLDER replaced by the next of `values`."""
        if self._are_all_bound:
            return values
        remaining = iter(values)
        return [
            next(remaining) if parameter is PLACEHOLDER.value else parameter
            for parameter in self._parameters
        ]
