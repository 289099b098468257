"""Small source trees for tests: written down as a mapping, or invented by hypothesis."""

from collections.abc import Mapping

from hypothesis import strategies as st

from core_ops.reconcile.check import Said
from core_ops.reconcile.layout import read_layout
from core_ops.reconcile.model import Desired, Directories, Finding, Item, Source, TreeFile
from core_ops.reconcile.render import render

HOST = "h1"


def tree(files: Mapping[str, str], *services: str) -> tuple[TreeFile, ...]:
    """A tree whose only host selects the given services, or all."""
    names = services or tuple(sorted({p.split("/")[1] for p in files if p.startswith("services/")}))
    manifest = f"host: {HOST}\nservices: [{', '.join(names)}]\n"
    all_files = {f"hosts/{HOST}/host.yaml": manifest, **files}
    return tuple(TreeFile(path, text.encode()) for path, text in all_files.items())


def rendered(files: Mapping[str, str], *services: str, directories: Directories | None = None) -> Desired:
    """The desired state of such a tree; a refusal fails the test."""
    result = outcome(tree(files, *services), directories=directories)
    assert isinstance(result, Desired), result
    return result


def outcome(
    files: tuple[TreeFile, ...], revision: str = "1" * 40, directories: Directories | None = None
) -> Desired | tuple[Finding, ...]:
    """What rendering gives: a state or the refusals."""
    return render(read_layout(files), HOST, Source(revision), directories or Directories())


def spoken(finding: Finding | Said) -> str:
    """A finding as the fixtures have it: `path:line: Code: message`, without a line where the whole file is meant."""
    line = f":{finding.line}" if finding.line else ""
    return f"{finding.path}{line}: {finding.code}: {finding.message}"


def by_hand(item: Item) -> bytes:
    """A file after somebody edited it on the host, in a way that matters."""
    return item.content + (
        b"# by hand\n" if item.object.resource_type == "config" else b"\n[Unit]\nDescription=by hand\n"
    )


INSTALL = "[Install]\nWantedBy=multi-user.target\n"
PATH = "[Path]\nPathExists=/run/{name}\n[Install]\nWantedBy=multi-user.target\n"
CONTAINER = "[Container]\nImage=x:{image}\n{more}\n[Install]\nWantedBy=multi-user.target\n"
OWNERS = "files: {app.conf: {mode: 0640, owner: app, group: 1000}}\n"
SERVICE = "[Service]\nExecStart=/bin/sleep {image}\n{more}\n[Install]\nWantedBy=multi-user.target\n"


def _member(draw: st.DrawFn, image: int) -> str:
    """A container of the pod, up to its [Container] section, which may go on."""
    service = draw(st.sampled_from(["", INSTALL, "[Service]\nSlice=z.slice\n"]))
    own = draw(st.sampled_from(["", "StartWithPod=no\n"]))
    return f"{service}[Container]\nImage=i.image\nPod=p.pod\nLabel=v={image}\n{own}"


def _job(kind: str, name: str, image: int) -> Mapping[str, str]:
    """A service without [Install], and perhaps the timer or path that starts it."""
    job = f"[Service]\nType=oneshot\nExecStart=/bin/sleep {image}\n"
    match kind:
        case "timed":
            return {
                f"{name}.service": job,
                f"{name}.timer": "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
            }
        case "watched":
            return {f"{name}.service": job, f"{name}.path": PATH.format(name=name)}
        case _:
            return {f"{name}.service": job.replace("Type=oneshot\n", "")}


def _wide(draw: st.DrawFn, files: Mapping[str, str]) -> Mapping[str, str]:
    """Drop-ins for many units, and one that replaces such a drop-in for one of them."""
    targets = draw(st.sets(st.sampled_from(["container", "p-.service", "a.container"])))
    return {
        f"services/z/{target}.d/w.conf": f"[Unit]\nDescription=w{draw(st.integers(0, 1))}\n"
        for target in sorted(targets)
        if target != "a.container" or "services/a/a.container" in files
    }


_NEEDS_A = "[Unit]\nRequires=a.service\nAfter=a.service\n"
_NEEDS_MOUNT = "[Unit]\nRequiresMountsFor=/srv/d/x\n"
_MAYBE_MOUNT = st.sampled_from(["", _NEEDS_MOUNT])


def _mounts(draw: st.DrawFn) -> Mapping[str, str]:
    """Perhaps a mount over the network, one below it, and an automount for the first."""
    files: dict[str, str] = {}
    install = draw(st.sampled_from(["", INSTALL]))
    if draw(st.booleans()):
        files["services/z/srv-d.mount"] = (
            f"[Mount]\nWhat=h:/{draw(st.integers(1, 2))}\nWhere=/srv/d\nType=nfs\n{install}"
        )
        if draw(st.booleans()):
            files["services/z/srv-d.automount"] = f"[Automount]\nWhere=/srv/d\n{draw(st.sampled_from(['', INSTALL]))}"
        if draw(st.booleans()):
            files["services/z/srv-d-e.mount"] = (
                f"[Mount]\nWhat=/dev/{draw(st.integers(1, 2))}\nWhere=/srv/d/e\n{INSTALL}"
            )
    return files


@st.composite
def worlds(draw: st.DrawFn) -> Mapping[str, str]:
    """A small universe of services that share a network, a pod and an image, with configs, drop-ins, timers and paths."""
    files: dict[str, str] = {
        "services/z/z.network": f"[Network]\nLabel=v={draw(st.integers(0, 1))}\n",
        "services/z/p.pod": f"[Pod]\nLabel=v={draw(st.integers(0, 1))}\n{draw(st.sampled_from(['', INSTALL]))}",
        "services/z/i.image": f"[Image]\nImage=i:{draw(st.integers(1, 2))}\n",
        **_mounts(draw),
        "services/z/z.slice": f"[Slice]\nMemoryMax={draw(st.integers(1, 2))}G\n",
    }
    for name in sorted(draw(st.sets(st.sampled_from("abc"), min_size=1))):
        base = f"services/{name}"
        image = draw(st.integers(1, 2))
        more = "Network=z.network\n" if draw(st.booleans()) else ""
        if draw(st.booleans()):
            files[f"{base}/config/app.conf"] = f"v={draw(st.integers(0, 1))}\n"
            more += f"Volume=/etc/{name}{draw(st.sampled_from(['/app.conf:/app.conf', ':/conf']))}\n"
            if manifest := draw(st.sampled_from(["", "", "exclusive: true\n", OWNERS, f"exclusive: true\n{OWNERS}"])):
                files[f"{base}/service.yaml"] = manifest
        kind = draw(st.sampled_from(["container", "service", "timed", "watched", "member", "plain"]))
        if kind == "member":
            files[f"{base}/{name}.container"] = _member(draw, image) + more
        elif kind == "container":
            files[f"{base}/{name}.container"] = CONTAINER.format(image=image, more=more)
        elif kind == "service":
            requires = draw(st.sampled_from(["", _NEEDS_A, _NEEDS_MOUNT])) if name != "a" else draw(_MAYBE_MOUNT)
            use = draw(st.sampled_from(["BindReadOnlyPaths=", "ExecReload=/bin/true\nEnvironment=FILE="]))
            own = more.replace("Network=z.network\n", "").replace("Volume=", use)
            files[f"{base}/{name}.service"] = requires + SERVICE.format(image=image, more=own)
        else:
            files |= {f"{base}/{path}": text for path, text in _job(kind, name, image).items()}
        if kind in {"container", "service"} and draw(st.booleans()):
            dropin = f"{base}/{name}.{kind}.d/x.conf"
            files[dropin] = f"[Unit]\nDescription=d{draw(st.integers(0, 1))}\n"
    files |= _wide(draw, files)
    return files
