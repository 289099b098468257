"""The JSON Schemas of the views as they stand beside the spec, and what it takes to hold something to them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from jsonschema import Draft202012Validator


class Wrong(Protocol):
    """One thing that a schema forbids."""

    message: str

    @property
    def json_path(self) -> str: ...


class Validator(Protocol):
    """As much of a validator as is used here."""

    def iter_errors(self, instance: object, /) -> Iterable[Wrong]: ...


FOLDER = Path(__file__).parents[1] / "specs" / "002-reconcile" / "contracts"
KINDS = ("plan", "apply", "result", "explain", "check")


def _validator(kind: str) -> Validator:
    schema: dict[str, Any] = json.loads((FOLDER / f"{kind}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return cast("Validator", Draft202012Validator(schema))


VALIDATORS: Mapping[str, Validator] = {kind: _validator(kind) for kind in KINDS}


def valid(text: str | bytes) -> dict[str, object]:
    """Return a printed view, after its own schema found nothing wrong with it."""
    view: dict[str, object] = json.loads(text)
    wrong = [f"{e.json_path}: {e.message[:200]}" for e in VALIDATORS[str(view["view_kind"])].iter_errors(view)]
    assert not wrong, wrong
    assert next(iter(view)) == "view_kind"
    return view


def stream(text: str) -> list[dict[str, object]]:
    """Return the lines of a stream, each valid, their sequence numbers growing by one over all of them."""
    views = [valid(line) for line in text.splitlines()]
    numbers = [number for view in views for number in _numbers(view)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert [max(_numbers(v)) for v in views if _numbers(v)] == sorted(max(_numbers(v)) for v in views if _numbers(v))
    return views


def _numbers(view: dict[str, object]) -> list[int]:
    rows = [*rows_of(view, "phases"), *rows_of(view, "events")] if view["view_kind"] == "apply" else []
    return [n for row in rows if isinstance(n := row["sequence"], int)]


def rows_of(view: dict[str, object], field: str) -> list[dict[str, object]]:
    """Return an array of objects that a view holds."""
    rows: object = view[field]
    assert isinstance(rows, list)
    return [row for row in rows if isinstance(row, dict)]  # pyright: ignore[reportUnknownVariableType]
