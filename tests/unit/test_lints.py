"""Lints of images and of what systemd ignores or refuses: each finds what it is for, and is silent otherwise."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import pytest

from core_ops.reconcile import systemdlints
from core_ops.reconcile.check import check
from core_ops.reconcile.lints import LINTS
from core_ops.reconcile.model import TreeFile
from trees import tree

INSTALL = "[Install]\nWantedBy=multi-user.target\n"
DIGEST = "quay.io/x/web@sha256:" + "0" * 64


def said(files: Mapping[str, str], images: str = "") -> list[str]:
    """What a check says of one host with these services, as `level path:line: Code`."""
    host, *others = tree({f"services/web/{path}": text for path, text in files.items()})
    manifest = host.content + (f"images: {images}\n".encode() if images else b"")
    checked = check((TreeFile(host.path, manifest), *others))
    return [
        f"{f.level} {f.path.removeprefix('services/web/')}{f':{f.line}' if f.line else ''}: {f.code}"
        for f in checked.findings
    ]


@pytest.mark.parametrize(
    ("images", "image", "expected"),
    [
        ("", "quay.io/x/web", "warning"),
        ("", "quay.io/x/web:latest", "warning"),
        ("", "docker.io/library/web", "warning"),
        ("", "registry:5000/web", "warning"),
        ("", "quay.io/x/web:1", ""),
        ("", DIGEST, ""),
        ("", "localhost/web", ""),
        ("", "oci-archive:/var/lib/web.tar", ""),
        ("", "quay.io/x/web:%i", ""),
        ("tag", "quay.io/x/web", "warning"),
        ("tag", "quay.io/x/web:1", ""),
        ("any", "quay.io/x/web", ""),
        ("digest", "quay.io/x/web:1", "error"),
        ("digest", "registry:5000/web", "error"),
        ("digest", "quay.io/x/web:%i", "error"),
        ("digest", DIGEST, ""),
        ("digest", f"quay.io/x/web:1@sha256:{'0' * 64}", ""),
        ("digest", "localhost/web", ""),
    ],
)
def test_an_image_is_as_fixed_as_the_host_asks(images: str, image: str, expected: str) -> None:
    """`images:` decides whether a tag is enough; what no registry is asked for is never said."""
    files = {"web.container": f"[Container]\nImage={image}\n{INSTALL}"}
    assert said(files, images) == ([f"{expected} web.container:2: ImageWithoutDigest"] if expected else [])


def test_an_image_is_judged_without_the_quotes_around_it() -> None:
    """Podman takes them off, also from what the driver of a volume is called."""
    files = {
        "base.image": '[Image]\nImage="quay.io/x/web:latest"\n',
        "seed.volume": '[Volume]\nDriver="image"\nImage="quay.io/x/seed"\n',
        "web.container": f'[Container]\nImage="base.image"\nVolume=seed.volume:/s\n{INSTALL}',
        "local.container": f'[Container]\nImage="localhost/web"\n{INSTALL}',
    }
    assert said(files) == ["warning base.image:2: ImageWithoutDigest", "warning seed.volume:3: ImageWithoutDigest"]
    updated = {"web.container": f'[Container]\nImage="{DIGEST}"\nAutoUpdate="registry"\n{INSTALL}'}
    assert said(updated) == ["warning web.container:3: AutoUpdate"]


def test_an_image_is_looked_at_where_it_is_named() -> None:
    """A .image and a volume's image count; what refers to them does not."""
    files = {
        "base.image": "[Image]\nImage=quay.io/x/web\n",
        "seed.volume": "[Volume]\nDriver=image\nImage=quay.io/x/seed:latest\n",
        "plain.volume": "[Volume]\nImage=quay.io/x/ignored\n",
        "web.container": f"[Container]\nImage=base.image\nVolume=seed.volume:/s\nVolume=plain.volume:/p\n{INSTALL}",
    }
    assert said(files) == ["warning base.image:2: ImageWithoutDigest", "warning seed.volume:3: ImageWithoutDigest"]


def test_two_hosts_may_ask_different_things() -> None:
    """The host that asks for digests has an error, the other one nothing; neither is refused."""
    unit = f"[Container]\nImage=quay.io/x/web:1\n{INSTALL}"
    files = {
        "hosts/a/host.yaml": "host: a\nservices: [web]\nimages: digest\n",
        "hosts/b/host.yaml": "host: b\nservices: [web]\n",
        "services/web/web.container": unit,
    }
    checked = check(TreeFile(path, text.encode()) for path, text in files.items())
    assert [(f.code, f.level, f.hosts) for f in checked.findings] == [("ImageWithoutDigest", "error", ("a",))]
    assert [(h.host, h.objects) for h in checked.hosts] == [("a", 1), ("b", 1)]
    (finding,) = checked.findings
    assert "quay.io/x/web@sha256:" in finding.hint


@pytest.mark.parametrize(
    ("path", "lines", "images", "line"),
    [
        ("web.container", "[Container]\nImage=x:1\nAutoUpdate=registry", "", 3),
        ("web.container", "[Container]\nImage=x:1\nLabel=io.containers.autoupdate=registry", "", 3),
        ("web.container", '[Container]\nImage=x:1\nLabel="io.containers.autoupdate=image"', "", 3),
        ("web.container", "[Container]\nImage=x:1\nAutoUpdate=local", "", 0),
        ("web.container", "[Container]\nImage=x:1\nAutoUpdate=registry\nAutoUpdate=", "", 0),
        ("web.container", "[Container]\nImage=x:1\nLabel=io.containers.autoupdate.authfile=/a", "", 0),
        ("web.container", "[Container]\nImage=x:1\nAutoUpdate=registry", "any", 0),
        ("web.kube", "[Kube]\nYaml=/srv/a.yaml\nAutoUpdate=main/registry", "", 3),
        ("web.kube", "[Kube]\nYaml=/srv/a.yaml\nAutoUpdate=main/local", "", 0),
    ],
)
def test_updates_behind_the_repository_are_said(path: str, lines: str, images: str, line: int) -> None:
    """The key and the label behind it count, in the two kinds that know them."""
    expected = [f"warning {path}:{line}: AutoUpdate"] if line else []
    assert said({path: f"{lines}\n{INSTALL}"}, images) == expected


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("multi-user.target", ""),
        ("default.target timers.target", ""),
        ("own.target", ""),
        ("k3s.target", ""),
        ("docker.service", ""),
        ("dev-sda.device", ""),
        ("getty@tty1.service", ""),
        ("%i.target", ""),
        ("multiuser.target", "multi-user.target"),
        ("default.traget", "default.target"),
        ("network-onlin.target", "network-online.target"),
        ("multi-user.service", "multi-user.target"),
        ("multi-user", "multi-user.target"),
        ("web.container", "web.service"),
        ("whatever", "multi-user.target"),
    ],
)
def test_names_in_install_that_start_nothing_are_said(wanted: str, meant: str) -> None:
    """A misspelled target and a name that is no unit are said; what may be on the host is not."""
    files = {
        "web.container": f"[Container]\nImage=x:1\n[Install]\nWantedBy={wanted}\n",
        "own.target": f"[Unit]\n{INSTALL}",
    }
    checked = check(tree({f"services/web/{path}": text for path, text in files.items()}))
    assert [(f.line, f.code, f.hint.rpartition(" ")[2]) for f in checked.findings] == (
        [(4, "UnknownInstallTarget", meant)] if meant else []
    )


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"web.service": f"[Service]\nExecStart=/bin/a\n[service]\nRestart=always\n{INSTALL}"}, ["web.service:4"]),
        (
            {"web.container": "[Container]\nImage=x:1\n[Instal]\nA=b\nC=d\n[Install]\nWantedBy=default.target\n"},
            ["web.container:4"],
        ),
        ({"web.container": f"[Container]\nImage=x:1\n[Service]\nCPUWeight=1\n[Quadlet]\nA=b\n{INSTALL}"}, []),
        ({"web.container": f"[Container]\nImage=x:1\n[X-Notes]\nA=b\n[Empty]\n{INSTALL}"}, []),
        ({"web.pod": f"[Pod]\nPodName=a\n[Container]\nA=b\n{INSTALL}"}, ["web.pod:4"]),
        ({"web.slice": "[Slice]\nMemoryMax=1G\n"}, []),
        ({"web.target": f"[Target]\nA=b\n{INSTALL}"}, []),
        (
            {
                "web.container": f"[Container]\nImage=x:1\n{INSTALL}",
                "web.container.d/a.conf": "[Container]\nLabel=a\n[Service]\nCPUWeight=1\n",
                "web.service.d/a.conf": "[Service]\nCPUWeight=1\n[Container]\nLabel=b\n",
            },
            ["web.service.d/a.conf:4"],
        ),
        (
            {
                "w@.container": "[Container]\nImage=x:1\n",
                "w@.container.d/a.conf": "[Containers]\nLabel=a\n",
                "w@1.container": f"[Container]\nImage=x:1\n{INSTALL}",
            },
            ["w@.container.d/a.conf:2"],
        ),
    ],
)
def test_sections_that_nobody_reads_are_said(files: Mapping[str, str], expected: list[str]) -> None:
    """Once for each section, at its first setting; notes and empty sections are left alone."""
    assert said(files) == [f"warning {place}: UnknownSection" for place in expected]


def test_a_name_is_compared_once_and_only_when_it_may_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a name stands there, and however many there are, a check does not compare all with all."""
    compared: list[str] = []

    def nearest(word: str, known: Sequence[str], n: int, cutoff: float) -> list[str]:
        compared.append(word)
        return get_close_matches(word, known, n, cutoff)

    monkeypatch.setattr(systemdlints, "get_close_matches", nearest)
    same = "WantedBy=mine.target other.service\n" * 500
    many = "".join(f"WantedBy=own{n}thing.target\n" for n in range(1000))
    unit = "[Service]\nExecStart=/bin/a\n[Install]\n"
    assert said({"a.service": f"{unit}{same}", "b.service": f"{unit}{same}"}) == []
    assert compared == ["mine"]
    assert said({"a.service": f"{unit}{many}"}) == []
    assert len(compared) <= 300


def test_a_note_in_the_unit_is_a_use_of_a_config_file() -> None:
    """`X-Reads=` and `ConfigurationDirectory=` name what a program reads by itself."""
    files = {
        "a.service": f"[Unit]\nX-Reads=/etc/web/a.conf\n[Service]\nExecStart=/bin/a\n{INSTALL}",
        "b.service": f"[Service]\nConfigurationDirectory=web/b.d\nExecStart=/bin/b\n{INSTALL}",
        "config/a.conf": "",
        "config/b.d/x": "",
        "config/c": "",
    }
    assert said(files) == ["warning config/c: UnusedConfig"]


def test_a_health_command_passed_to_podman_counts() -> None:
    """What PodmanArgs= says is not said again."""
    text = f"[Container]\nImage=x:1\nPodmanArgs=--health-cmd=true\n[Service]\nRestart=always\n{INSTALL}"
    assert said({"web.container": text}) == []


def test_lints_stand_in_the_order_of_their_names() -> None:
    """The table is a list to look things up in."""
    codes = [row.code for row in LINTS]
    assert codes == sorted(codes)
