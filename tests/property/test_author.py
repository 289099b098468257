"""Laws of the author's side: a check agrees with rendering, and an explanation with the files."""

from collections.abc import Mapping

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from core_ops.reconcile.check import check
from core_ops.reconcile.checkview import check_lines, check_view
from core_ops.reconcile.explain import Explained, explain
from core_ops.reconcile.graph import build
from core_ops.reconcile.model import Desired, TreeFile
from core_ops.reconcile.sarif import sarif
from trees import HOST, outcome, rendered, tree, worlds

PATHS = (
    f"hosts/{HOST}/host.yaml",
    "hosts/h2/host.yaml",
    f"hosts/{HOST}/overrides/w.container.d/a.conf",
    f"hosts/{HOST}/w/config/a",
    "services/w/w.container",
    "services/w/w.service",
    "services/w/service.yaml",
    "services/w/w.container.d/a.conf",
    "services/w/config/a",
    "services/x",
    "services/x/n.network",
)
TEXTS = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b"host: h1\nservices: [w, x]\n",
            b"host: h2\nservices: [w]\n",
            b"config-root: x\n",
            b"[Container]\nImage=x\nNetwork=n.network\n",
            b"[Service]\nRestart=always\n",
        ]
    ),
)


@given(st.dictionaries(st.sampled_from(PATHS), TEXTS))
def test_a_check_refuses_what_rendering_refuses(files: dict[str, bytes]) -> None:
    """Whatever the tree: a host has an error exactly when it does not render, and no order changes a byte."""
    entries = [TreeFile(path, content) for path, content in files.items()]
    checked = check(entries, (HOST,))
    result = outcome(tuple(entries))
    assert checked.refused == (not isinstance(result, Desired))
    if not isinstance(result, Desired):
        assert {(f.path, f.line, f.code) for f in result} == {
            (f.path, f.line, f.code) for f in checked.findings if f.level == "error"
        }
    whole = check(entries)
    assert check(reversed(entries)) == whole
    assert {(f.path, f.line, f.code) for f in checked.findings if f.code != "MissingHost"} <= {
        (f.path, f.line, f.code) for f in whole.findings
    }
    assert list(check_lines(check_view(whole)))
    assert msgspec.json.decode(sarif(whole, "1"))


@given(worlds())
def test_every_object_of_a_host_is_explained(files: Mapping[str, str]) -> None:
    """Each object is found by its names, and each line stands in the file where it is said to."""
    desired = rendered(files)
    texts = {f.path: f.content.decode().split("\n") for f in tree(files)}
    graph = build(desired)
    for item in desired.items:
        for name in (item.object.display_id, item.path, item.sources[0]):
            found = explain(desired, graph, name)
            assert isinstance(found, Explained)
            assert found.item == item
            assert all(li.key in texts[li.source][li.line - 1] for li in found.lines)
