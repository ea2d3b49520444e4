"""SELECTs that are asked often, compiled once for each kind of database.

`Database.look_up` runs them past SQLAlchemy's sessions and connections, which cost far
more than the driver does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Float, Select
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

Found = TypeVar("Found")

Converter = Callable[[Any], Any]
Parameters = dict[str, Any] | Sequence[Any]


@dataclass(frozen=True, slots=True)
class Statement:
    """What a driver is told, values aside."""

    text: str
    constants: Mapping[str, Any]
    """Values that the query itself has."""
    order: Sequence[str] | None
    """Names of the values, where the driver takes them by position."""
    encoders: Mapping[str, Converter]
    """What the types of columns make of values before the database gets them."""
    decoders: Sequence[tuple[int, Converter]]
    """What they make of what comes from it, by position in a row."""


class Lookup(Generic[Found]):
    """One SELECT, whose values are bound by name.

    Args:
        query: of some columns.
        make: makes something of a row.
    """

    def __init__(
        self,
        query: Select[*tuple[Any, ...]],
        make: Callable[[Iterable[Any]], Found],
    ) -> None:
        self.query = query
        self.make = make
        self.statements: dict[str, Statement] = {}

    def asked(
        self, dialect: Dialect, values: Mapping[str, Any]
    ) -> tuple[str, Parameters]:
        """What the driver of a database is told."""
        known = self.statement(dialect)
        named = {**known.constants, **values}
        for name, encode in known.encoders.items():
            named[name] = encode(named[name])
        if known.order is None:
            return known.text, named
        return known.text, [named[name] for name in known.order]

    def found(self, dialect: Dialect, rows: Iterable[Sequence[Any]]) -> list[Found]:
        """What rows that came from the driver become."""
        decoders = self.statement(dialect).decoders
        if not decoders:
            return [self.make(row) for row in rows]
        changed = [list(row) for row in rows]
        for row in changed:
            for position, decode in decoders:
                row[position] = decode(row[position])
        return [self.make(row) for row in changed]

    def statement(self, dialect: Dialect) -> Statement:
        """The query in the words of a database."""
        known = self.statements.get(dialect.name)
        if known is None:
            known = self.statements[dialect.name] = compiled(self.query, dialect)
        return known


def compiled(query: Select[*tuple[Any, ...]], dialect: Dialect) -> Statement:
    """A query in the words of a database."""
    found: Any = query.compile(dialect=dialect)
    encoders = {
        name: parameter.type.dialect_impl(dialect).bind_processor(dialect)
        for parameter, name in found.bind_names.items()
    }
    decoders = [
        (position, decoder(column.type, dialect))
        for position, column in enumerate(query.selected_columns)
    ]
    return Statement(
        text=found.string,
        constants=found.params,
        order=found.positiontup,
        encoders={name: each for name, each in encoders.items() if each},
        decoders=[(position, each) for position, each in decoders if each],
    )


def decoder(kind: TypeEngine[Any], dialect: Dialect) -> Converter | None:
    """What a type makes of what comes from the database; None: it stays."""
    if isinstance(kind, Float):
        # Drivers give floats; what makes them of decimals asks for the column's code.
        return None
    return kind.dialect_impl(dialect).result_processor(dialect, None)
