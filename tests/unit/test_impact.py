"""When a reload is enough for a unit whose config file changed."""

import pytest

from core_ops.reconcile.impact import reload_suffices
from core_ops.reconcile.model import Item, Obj
from core_ops.reconcile.unitfile import UnitText, parse

CONF = Item(Obj("config", "etc/web/app.conf"), "/etc/web/app.conf", b"", 0o644, "", ("services/web/config/app.conf",))


def suffices(file_name: str, content: str) -> bool:
    text = parse(content.encode(), file_name)
    assert isinstance(text, UnitText)
    return reload_suffices(file_name, text, (CONF,))


RELOAD = "[Service]\nExecReload=/bin/kill -HUP $MAINPID\n"


@pytest.mark.parametrize(
    "line",
    [
        "ExecStart=/usr/bin/web --config /etc/web/app.conf",
        "ExecStart=/usr/bin/web --config=/etc/web/app.conf",
        "ExecStart=/usr/bin/web -c %E/web",
        "ReadOnlyPaths=/etc/web",
    ],
)
def test_a_service_reads_its_file_again_at_a_reload(line: str) -> None:
    """A path among its arguments is for the program, which was asked to look again."""
    assert suffices("web.service", f"{RELOAD}{line}\n")
    assert suffices("web.service", f"[Service]\nType=notify-reload\n{line}\n")
    assert not suffices("web.service", f"[Service]\n{line}\n")
    assert not suffices("web.service", f"{RELOAD}ExecReload=\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "EnvironmentFile=/etc/web/app.conf",
        "EnvironmentFile=-/etc/web/app.conf",
        "LoadCredential=app:/etc/web/app.conf",
        "BindReadOnlyPaths=/etc/web/app.conf",
        "ExecStart=/etc/web/app.conf",
        "ExecStartPre=-/etc/web/app.conf --now",
    ],
)
def test_what_is_read_at_start_needs_a_restart(line: str) -> None:
    """Environment, credentials, bound files and the program itself are those of the start."""
    assert not suffices("web.service", f"{RELOAD}ExecStart=/usr/bin/web /etc/web/app.conf\n{line}\n")


@pytest.mark.parametrize(
    ("line", "enough"),
    [
        ("Volume=/etc/web:/etc/web:ro", True),
        ("Mount=type=bind,source=/etc/web,target=/etc/web", True),
        ("Volume=/etc/web/app.conf:/app.conf:ro", False),
        ("Mount=type=bind,src=/etc/web/app.conf,dst=/app.conf", False),
        ("EnvironmentFile=/etc/web/app.conf", False),
        ("Exec=--config /etc/web/app.conf", False),
    ],
)
def test_a_container_sees_a_new_file_only_in_a_directory(line: str, enough: bool) -> None:  # noqa: FBT001 - a table
    """A file mounted by itself stays the inode it was, however often the program reads it."""
    assert suffices("web.container", f"[Container]\nImage=x:1\n{line}\n{RELOAD}") is enough
    both = f"[Container]\nImage=x:1\n{line}\nVolume=/etc/web/app.conf:/app.conf\n{RELOAD}"
    assert not suffices("web.container", both)


@pytest.mark.parametrize("offer", ["ReloadCmd=/bin/web reload", "ReloadSignal=SIGHUP"])
def test_a_container_may_offer_a_reload_by_a_key_of_its_own(offer: str) -> None:
    """A command in the container or a signal to it is an offer in [Container] only, and none when it is set to nothing."""
    container = "[Container]\nImage=x:1\nVolume=/etc/web:/etc/web:ro\n"
    assert suffices("web.container", f"{container}{offer}\n")
    assert not suffices("web.container", container)
    assert not suffices("web.container", f"{container}{offer}\n{offer.partition('=')[0]}=\n")
    assert not suffices("web.container", f"{container}[Service]\n{offer}\n")
    assert not suffices("web.container", f"{container}Volume=/etc/web/app.conf:/app.conf:ro\n{offer}\n")


def test_other_kinds_are_restarted() -> None:
    """A pod or a kube file has no reload of its own."""
    assert not suffices("web.kube", f"[Kube]\nYaml=/etc/web/app.conf\n{RELOAD}")
    assert not suffices("web.pod", f"[Pod]\nVolume=/etc/web:/etc/web\n{RELOAD}")
