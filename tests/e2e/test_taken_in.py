"""Settings that systemd goes by as soon as it has read them, on real systemd."""

import pytest

from core_ops.reconcile.keys import TAKEN_IN
from e2e.site import Site

pytestmark = pytest.mark.e2e

PROGRAM = "[Service]\nExecStart=/bin/sh -c \"trap 'exit 0' INT TERM; while :; do sleep 0.1; done\"\n"
# What is written, and what systemd shows of it.
SETTINGS = {
    "Unit": {
        "Description=other": "Description=other",
        "Documentation=man:true(1)": 'Documentation="man:true(1)"',
        "OnFailure=a.target": "OnFailure=a.target",
        "OnSuccess=b.target": "OnSuccess=b.target",
        "OnFailureJobMode=fail": "OnFailureJobMode=fail",
        "OnSuccessJobMode=replace": "OnSuccessJobMode=replace",
        "FailureAction=exit-force": "FailureAction=exit-force",
        "SuccessAction=exit-force": "SuccessAction=exit-force",
        "StartLimitIntervalSec=77": "StartLimitIntervalUSec=1min 17s",
        "StartLimitBurst=9": "StartLimitBurst=9",
        "StartLimitAction=exit-force": "StartLimitAction=exit-force",
        "JobTimeoutSec=71": "JobTimeoutUSec=1min 11s",
        "RefuseManualStart=yes": "RefuseManualStart=yes",
        "RefuseManualStop=yes": "RefuseManualStop=yes",
        "CollectMode=inactive-or-failed": "CollectMode=inactive-or-failed",
    },
    "Service": {
        "Restart=on-abort": "Restart=on-abort",
        "RestartSec=7": "RestartUSec=7s",
        "RestartSteps=3": "RestartSteps=3",
        "RestartMaxDelaySec=72": "RestartMaxDelayUSec=1min 12s",
        "TimeoutSec=73": "TimeoutStartUSec=1min 14s",  # the next line counts more
        "TimeoutStartSec=74": "TimeoutStartUSec=1min 14s",
        "TimeoutStopSec=75": "TimeoutStopUSec=1min 15s",
        "TimeoutAbortSec=76": "TimeoutAbortUSec=1min 16s",
        "ExecReload=/bin/true": "ExecReload={ path=/bin/true",
        "ExecStop=/bin/sh -c 'echo stop >>/run/ended'": "ExecStop={ path=/bin/sh",
        "ExecStopPost=/bin/sh -c 'echo post >>/run/ended'": "ExecStopPost={ path=/bin/sh",
        "SuccessExitStatus=44": "SuccessExitStatus=44",
        "RestartPreventExitStatus=45": "RestartPreventExitStatus=45",
        "RestartForceExitStatus=46": "RestartForceExitStatus=46",
        "KillMode=mixed": "KillMode=mixed",
        "KillSignal=SIGINT": "KillSignal=2",
        "RestartKillSignal=SIGINT": "RestartKillSignal=2",
        "FinalKillSignal=SIGABRT": "FinalKillSignal=6",
        "SendSIGHUP=yes": "SendSIGHUP=yes",
        "SendSIGKILL=no": "SendSIGKILL=no",
    },
}


def text_of(settings: dict[str, dict[str, str]]) -> str:
    """A drop-in with the settings."""
    return "".join("\n".join((f"[{section}]", *lines, "")) for section, lines in settings.items())


def test_what_systemd_goes_by_once_it_has_read_it_needs_no_restart(site: Site) -> None:
    """The program runs on, every new value counts, and the links of [Install] are made and taken away."""
    known = {section: {line.partition("=")[0] for line in lines} for section, lines in SETTINGS.items()}
    assert known == {section: set(keys) for section, keys in TAKEN_IN.items()}
    install = "[Install]\nWantedBy=multi-user.target\n"
    site.commit(
        {
            "hosts/guest/host.yaml": "host: guest\nservices: [web]\n",
            "services/web/web.service": f"{PROGRAM}{install}",
            "services/web/box.container": "[Container]\nImage=localhost/whoami:1\nPull=never\n" + install,
        }
    )
    site.init()
    site.agent()
    before = site.invocations("web", "box")

    links = "[Install]\nWantedBy=\nWantedBy=graphical.target\nAlias=web2.service\n"
    site.commit(
        {
            "services/web/web.service.d/a.conf": text_of(SETTINGS) + links,
            "services/web/box.container.d/a.conf": "[Unit]\nDescription=other\n[Service]\nRestart=on-abort\n",
            "services/web/box.container.d/b.conf": "[Container]\nNotify=false\nServiceName=box\n",  # as it is anyway
        }
    )
    site.agent()
    assert site.invocations("web", "box") == before
    shown = dict.fromkeys(value for lines in SETTINGS.values() for value in lines.values())
    said = site.guest.show("web.service", *(value.partition("=")[0] for value in shown))
    for value in shown:
        name, _, wanted = value.partition("=")
        assert said[name].startswith(wanted), name
    assert site.guest.show("box.service", "Description", "Restart") == {"Description": "other", "Restart": "on-abort"}
    there = site.guest.check("ls", "/etc/systemd/system", "/etc/systemd/system/graphical.target.wants")
    assert "web2.service" in there
    assert "web.service" in there.split("wants:")[1]
    assert not site.guest.path("/etc/systemd/system/multi-user.target.wants/web.service").is_symlink()
    assert "in sync" in site.agent().stdout + site.core_ops("plan").stdout

    ends = "[Service]\nExecStop=/bin/sh -c 'echo stop >>/run/ended'\n"
    site.commit({"services/web/web.service.d/a.conf": ends})
    site.agent()
    assert site.invocations("web", "box") == before
    assert site.guest.show("web.service", "RefuseManualStop", "SuccessAction") == {
        "RefuseManualStop": "no",
        "SuccessAction": "none",
    }

    site.commit({"services/web/web.service.d/a.conf": f"{ends}Nice=5\n"})
    site.agent()
    assert site.invocations("box") == {"box": before["box"]}
    assert site.invocations("web") != {"web": before["web"]}
    assert site.guest.read_text("/run/ended") == "stop\n"  # it was stopped in the way that was taken in
