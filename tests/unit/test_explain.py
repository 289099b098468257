"""Explaining one object: names, lines with their places, needs, and what starts it."""

import pytest

from core_ops.reconcile.explain import Explained, Unknown, explain
from core_ops.reconcile.explainview import explain_lines, explain_view
from core_ops.reconcile.graph import build
from core_ops.reconcile.model import Obj, Source
from trees import rendered

WEB = "services/web/web.container"
HOST_DROPIN = "hosts/h1/overrides/web.container.d/a.conf"
FILES = {
    WEB: (
        "[Unit]\nDocumentation=man:a\nDocumentation=man:b\nDescription=one\n"
        "[Container]\nImage=x:1\nEnvironment=A=1\nNetwork=n.network\nVolume=%E/web/app.conf:/a\n"
        "[Install]\nWantedBy=multi-user.target\n"
    ),
    "services/web/n.network": "[Network]\n",
    "services/web/config/app.conf": "x",
    "services/web/web.container.d/z.conf": "[Unit]\nDocumentation=\n[Container]\nEnvironment=B=2\n",
    "services/web/web.service.d/a.conf": "[Service]\nMemoryMax=1G\n",
    HOST_DROPIN: "[Unit]\nDescription=two\n[Container]\nImage=x:2\n",
    "hosts/h1/web/config/app.conf": "y",
    "services/tick/tick.timer": "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
    "services/tick/tick.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "services/tick/lost.service": "[Service]\nExecStart=/bin/true\n",
    "services/tick/t@.service": "[Service]\nExecStart=/bin/true\n",
}


def known(name: str) -> Explained:
    """What is known of an object of the tree above."""
    desired = rendered(FILES)
    found = explain(desired, build(desired), name)
    assert isinstance(found, Explained), found
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("container/web", "container/web"),
        ("web.service", "container/web"),
        ("/etc/containers/systemd/web.container", "container/web"),
        (WEB, "container/web"),
        ("n-network.service", "network/n"),
        ("/etc/web/app.conf", "config/etc/web/app.conf"),
        ("services/web/config/app.conf", "config/etc/web/app.conf"),
        (HOST_DROPIN, "dropin/web.container.d/20-host-a.conf"),
    ],
)
def test_an_object_is_found_by_each_of_its_names(name: str, expected: str) -> None:
    """Display id, unit, path on the host, path in the repository."""
    assert known(name).item.object.display_id == expected


def test_every_line_that_counts_has_its_place() -> None:
    """Later lines win, an empty one resets, lists add up; each says what it makes void."""
    lines = {(li.key, li.value): (li.place, li.overrides) for li in known("container/web").lines}
    assert lines == {
        ("Documentation", ""): ("services/web/web.container.d/z.conf:2", (f"{WEB}:2", f"{WEB}:3")),
        ("Description", "two"): (f"{HOST_DROPIN}:2", (f"{WEB}:4",)),
        ("Image", "x:2"): (f"{HOST_DROPIN}:4", (f"{WEB}:6",)),
        ("Environment", "A=1"): (f"{WEB}:7", ()),
        ("Environment", "B=2"): ("services/web/web.container.d/z.conf:4", ()),
        ("Network", "n.network"): (f"{WEB}:8", ()),
        ("Volume", "%E/web/app.conf:/a"): (f"{WEB}:9", ()),
        ("WantedBy", "multi-user.target"): (f"{WEB}:11", ()),
        ("MemoryMax", "1G"): ("services/web/web.service.d/a.conf:2", ()),
    }


def test_a_line_of_an_unknown_setting_replaces_none() -> None:
    """Whoever reads it may read all of them; only an empty line is told as taking back those before it."""
    files = {
        WEB: "[Container]\nImage=x:1\n[X-A]\nX-Reads=/a\nX-Reads=/b\n[X-B]\nX-Reads=/a\nX-Reads=\nX-Reads=/b\n",
    }
    desired = rendered(files)
    found = explain(desired, build(desired), "web.service")
    assert isinstance(found, Explained), found
    assert [(li.section, li.value, li.overrides) for li in found.lines if li.key == "X-Reads"] == [
        ("X-A", "/a", ()),
        ("X-A", "/b", ()),
        ("X-B", "", (f"{WEB}:7",)),
        ("X-B", "/b", ()),
    ]


def test_layers_come_in_the_order_they_are_read() -> None:
    """Unit, base drop-ins, host drop-ins, then those of the generated unit."""
    assert [source for source, _ in known("container/web").layers] == [
        WEB,
        "services/web/web.container.d/z.conf",
        HOST_DROPIN,
        "services/web/web.service.d/a.conf",
    ]


def test_needs_go_both_ways() -> None:
    """What it requires, what requires it, and which files it uses."""
    web, network, config = known("container/web"), known("network/n"), known("/etc/web/app.conf")
    assert (web.requires, web.uses) == ((Obj("network", "n"),), (Obj("config", "etc/web/app.conf"),))
    assert network.required_by == (Obj("container", "web"),)
    assert config.required_by == (Obj("container", "web"),)
    assert [source for source, _ in config.layers] == ["services/web/config/app.conf", "hosts/h1/web/config/app.conf"]


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("web.service", (f"[Install] WantedBy=multi-user.target ({WEB}:11)",)),
        ("network/n", ("wanted by web.service",)),
        ("tick.service", ("activated by tick.timer",)),
        ("lost.service", ()),
        ("t@.service", ()),
    ],
)
def test_a_unit_says_what_starts_it(name: str, starts: tuple[str, ...]) -> None:
    """Its own wish, another unit, a timer, or nothing."""
    assert known(name).starts == starts


def test_a_config_file_says_whose_it_is() -> None:
    """Mode, owner and group are those of the manifest, in the view and in the text."""
    files = {
        "services/a/config/x": "x",
        "services/a/service.toml": 'files.x = { mode = 0o600, owner = "app", group = 7 }\n',
    }
    desired = rendered(files)
    found = explain(desired, build(desired), "/etc/a/x")
    assert isinstance(found, Explained)
    view = explain_view(found, "h1", Source("1" * 40))
    assert (view.metadata.mode, view.metadata.owner, view.metadata.group) == ("0600", "app", "7")
    assert "  file         /etc/a/x (mode 0600, owner app, group 7)" in explain_lines(view)


def test_an_unknown_object_has_near_names() -> None:
    """A slip of the pen leads to the right name."""
    desired = rendered(FILES)
    found = explain(desired, build(desired), "container/wep")
    assert isinstance(found, Unknown)
    assert found.nearest[0] == "container/web"
    assert explain(desired, build(desired), "%%%%") == Unknown(())


@pytest.mark.parametrize("name", ["container/web", "lost.service", "/etc/web/app.conf", HOST_DROPIN])
def test_words_say_what_the_view_says(name: str) -> None:
    """Every fact of the view stands in the text."""
    view = explain_view(known(name), "h1", Source("1" * 40, "/r", "refs/heads/main", "alice"))
    text = "\n".join(explain_lines(view))
    meta = view.metadata
    for fact in (view.object.display_id, meta.path, meta.mode, "h1 @ 11111111", *meta.starts):
        assert fact in text
    assert all(layer.source in text for layer in meta.layers)
    assert all(d.object.display_id in text for d in view.dependencies)
    assert all(f"{li.key}={li.value}  ({li.source}:{li.line}" in text for li in meta.lines)
    assert view.action_or_outcome == "desired"
    assert ("nothing starts it" in text) == (name == "lost.service")
