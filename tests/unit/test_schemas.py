"""The JSON Schemas beside the spec are those of the types that views are made of.

Run this file by itself to write the schemas anew, and read the difference before committing it: a word or a field that is
gone breaks somebody's program.
"""

import json

import msgspec
import pytest

from core_ops.reconcile.applyview import ApplyView
from core_ops.reconcile.checkview import CheckView
from core_ops.reconcile.contract import PlanView
from core_ops.reconcile.explainview import ExplainView
from core_ops.reconcile.resultview import ResultView
from schemas import FOLDER

VIEWS = {"plan": PlanView, "apply": ApplyView, "result": ResultView, "explain": ExplainView, "check": CheckView}


def generated(kind: str) -> str:
    """The schema of a view as its type says it."""
    (found,), parts = msgspec.json.schema_components([VIEWS[kind]], ref_template="#/$defs/{name}")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"CoreOps {kind} view",
        **found,
        "$defs": dict(sorted(parts.items())),
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("kind", VIEWS)
def test_a_schema_is_that_of_its_type(kind: str) -> None:
    """A field or word that the program prints and the schema does not know, or the other way round, is an accident."""
    assert (FOLDER / f"{kind}.schema.json").read_text() == generated(kind)


@pytest.mark.parametrize("kind", VIEWS)
def test_a_schema_is_strict(kind: str) -> None:
    """No object of a view may have a field that nobody knows, and each says which fields must be there."""
    parts: dict[str, dict[str, object]] = json.loads(generated(kind))["$defs"]
    for name, part in parts.items():
        assert part["additionalProperties"] is False, name
        assert part["required"], name


def main() -> None:
    """Write the schemas anew."""
    for kind in VIEWS:
        (FOLDER / f"{kind}.schema.json").write_text(generated(kind))


if __name__ == "__main__":
    main()
