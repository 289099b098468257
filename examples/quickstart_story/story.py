"""The story, step by step. Each step shows something and then checks that it is so."""

from quickstart_story.screen import Cut
from quickstart_story.stage import ROOT, URL, Stage

_PAGE = "http://127.0.0.1:8080/"
# A connection that was begun while the container restarts goes to an address that is no more: better ask again soon.
_FETCH = f"busybox wget -qO- -T 2 {_PAGE}"
_ASK_WHOAMI = "podman exec systemd-caddy wget -qO- http://systemd-whoami:8080/"
_UNITS = ("caddy.service", "whoami.service", "report.timer")
_SETTINGS = 'host = "guest"\nca_file = "/etc/core-ops/git-ca.pem"\n'
_OFTEN = """\
# For the quickstart only: without this file the timer comes by every five minutes.
[Timer]
OnCalendar=
OnCalendar=*:*:0/3
RandomizedDelaySec=0
AccuracySec=100ms
"""


def meet_the_host(stage: Stage) -> None:
    """Show that the guest is a real systemd host that has none of this machine's Python."""
    stage.screen.step(
        "A host",
        "A guest has booted: systemd as PID 1, podman, a read-only /usr and no Python, like a Fedora CoreOS host. "
        "Lines at guest# run in there, lines at author$ on this machine.",
    )
    state = stage.guest.wait_until("systemctl", "is-system-running")
    stage.host("systemctl is-system-running; podman --version; core-ops --version")
    python = stage.guest.exec("sh", "-c", "command -v python3")
    stage.check(state.strip() == "running" and not python.ok, "the guest runs, and has the agent but no Python")


def sign_a_repository(stage: Stage) -> None:
    """Make the repository: the example, one signed commit, pushed to where a server serves it."""
    stage.screen.step(
        "A signed repository",
        "What the host should run is written down in git: a web server, a service behind it and a timer, copied from "
        "examples/01-caddy-whoami. The author signs commits with an SSH key; every setting is git's own.",
    )
    stage.author.take_example()
    stage.write("ssh-keygen -q -t ed25519 -N '' -C ada -f ../signing-key")
    stage.write('echo "ada $(cat ../signing-key.pub)" | tee ../allowed_signers')
    for line in (
        "git init -q -b main && git config user.name Ada",
        "git config user.email ada@example.com",
        "git config gpg.format ssh && git config user.signingKey ../signing-key",
        "git config gpg.ssh.allowedSignersFile ../allowed_signers",
        "git add -A && git commit -q -S -m 'Web server, whoami and report'",
        "git init -q --bare -b main ../hosts.git",
        "git remote add origin ../hosts.git && git push -q -u origin main",
    ):
        stage.write(line)
    files = stage.write("git ls-files hosts/guest services")
    signed = stage.write("git log --format='%h %G? %GS: %s'")
    stage.check(
        signed.split()[1:3] == ["G", "ada:"] and "caddy.container" in files,
        f"a repository with one good signature (G), served by `git http-backend` on this machine as {URL}",
        signed,
    )


def enrol(stage: Stage) -> None:
    """Tell the host what to follow and whom to trust."""
    stage.screen.step(
        "What to follow, whom to trust",
        "A host gets three things when it is installed: its name in the repository, the keys it trusts, and here also "
        "the certificate of the demo's https server. One command stores what to follow.",
    )
    guest = stage.guest
    guest.write_text("/etc/core-ops/config.d/host.toml", _SETTINGS)
    guest.write_text("/etc/core-ops/git-ca.pem", (stage.author.home / "server.pem").read_text(encoding="utf-8"))
    guest.write_text("/root/allowed_signers", stage.author.signers.read_text(encoding="utf-8"))
    stage.host("head /etc/core-ops/config.d/host.toml")
    said = stage.host(f"core-ops init {URL} main --signers /root/allowed_signers")
    stage.check(URL in said, "the host follows branch main and accepts what ada signed")


def look_before(stage: Stage) -> None:
    """Show the plan, which changes nothing."""
    stage.screen.step("Plan", "First a look: what would change, and why. This changes nothing.")
    plan = stage.host("core-ops plan", cut=Cut(14, 13))
    untouched = not stage.guest.exec("test", "-e", "/etc/containers/systemd/caddy.container").ok
    stage.check(
        "container/caddy" in plan and "container/whoami" in plan and untouched,
        "the plan names every object, in order, and nothing was written yet",
    )


def apply_and_answer(stage: Stage) -> None:
    """Apply the plan and ask the container for its page."""
    stage.screen.step(
        "Apply", "Now for real: files first, one daemon-reload, then units in the order they need each other."
    )
    said = stage.host("core-ops apply", cut=Cut(5, 21))
    stage.check("Outcome: converged" in said, "applied, and a second look found every unit up")
    stage.host("podman ps --format '{{.Names}}  {{.Status}}  {{.Ports}}'")
    stage.guest.wait_until("sh", "-c", _FETCH)
    page = stage.host(_FETCH)
    stage.check("Hello" in page, "the container answers over HTTP")
    again = stage.host("core-ops plan --exit-code")
    stage.check("In sync" in again, "planning again finds nothing to do (exit status 0)")


def edit_by_hand(stage: Stage) -> None:
    """Change a managed file behind the agent's back, and see it noticed."""
    stage.screen.step(
        "A hand edit is noticed",
        "Somebody changes the web page on the host itself. The plan shows what is different, and which service reads "
        "that file and has to be restarted.",
    )
    stage.host("sed -i s/Hello/HACKED/ /etc/caddy/site/index.html")
    stage.check("HACKED" in stage.guest.check("sh", "-c", _FETCH), "the page is changed for everybody who looks")
    plan = stage.host("core-ops plan --exit-code", expect=3, meaning="changes are pending")
    stage.check("was changed on the host" in plan and "HACKED" in plan, "the plan says what was changed by hand")


def leave_it_to_the_timer(stage: Stage) -> None:
    """Install the units, and let the first unattended run repair the hand edit."""
    stage.screen.step(
        "The timer takes over, and repairs it",
        "From now on nobody types `apply`: a systemd timer starts the agent. The demo's timer is a hasty one.",
    )
    guest = stage.guest
    for name in ("core-ops.service", "core-ops.timer"):
        guest.copy_in(ROOT / "units/systemd" / name, f"/etc/systemd/system/{name}")
    guest.write_text("/etc/systemd/system/core-ops.timer.d/often.conf", _OFTEN)
    stage.host("cat /etc/systemd/system/core-ops.timer.d/often.conf")
    stage.host("systemctl daemon-reload && systemctl enable --now core-ops.timer")
    taken = stage.wait("waiting for the timer", lambda: "Hello" in guest.exec("sh", "-c", _FETCH).stdout)
    _settle(stage)
    stage.host("journalctl -o cat -n 2 CORE_OPS_ACTION=replace CORE_OPS_ACTION=restart")
    page = stage.host(_FETCH)
    stage.check("HACKED" not in page, f"repaired by itself {taken:.0f} s after the timer was enabled")


def commit_a_change(stage: Stage) -> None:
    """Push a signed commit and see that only what it changed is restarted."""
    stage.screen.step(
        "A signed commit arrives",
        "The author gives whoami a new image and pushes. Nobody logs in to the host. Each start of a unit has an id of "
        "its own (systemd's InvocationID), so it shows what was restarted and what went on running.",
    )
    before = _invocations(stage)
    stage.write("sed -i s/whoami:1/whoami:2/ hosts/guest/overrides/whoami.container.d/image.conf")
    stage.write("git commit -q -S -a -m 'whoami: new image' && git push -q")
    _await_tip(stage)
    stage.host(f"journalctl -o cat CORE_OPS_REVISION={stage.tip()}", cut=Cut(9))
    stage.guest.wait_until("sh", "-c", _ASK_WHOAMI)
    answer = stage.host(_ASK_WHOAMI)
    after = _invocations(stage)
    rows = [("unit", "before", "after", "")]
    rows += [(unit, before[unit], after[unit], _verdict(before[unit], after[unit])) for unit in _UNITS]
    stage.screen.table(rows)
    stage.check("whoami 2" in answer, "the new image answers")
    changed = [unit for unit in _UNITS if before[unit] != after[unit]]
    stage.check(changed == ["whoami.service"], "only whoami was restarted", str(rows))


def push_unsigned(stage: Stage) -> None:
    """Push a commit that nobody signed, and see that the host does not take it."""
    stage.screen.step(
        "An unsigned commit is refused",
        "Somebody who can push, but has no key, tries to change the page through the repository.",
    )
    before = _invocations(stage)
    stage.write("sed -i s/Hello/HACKED/ hosts/guest/caddy/config/site/index.html")
    stage.write("git commit -q --no-gpg-sign -a -m 'A nicer page' && git push -q")
    bad = stage.tip()
    taken = stage.wait("waiting for the timer", lambda: _refused(stage) == bad)
    stage.host("journalctl -o cat -n 1 CORE_OPS_CODE=unsigned")
    page = stage.host(_FETCH)
    state = stage.status()["status"]["reconciliation"]
    stage.check(
        state["refused"]["code"] == "unsigned" and state["last_applied_revision"] != bad,
        f"refused after {taken:.0f} s with the code “unsigned”; the host stays on the last good revision",
    )
    stage.check("HACKED" not in page and _invocations(stage) == before, "no file was changed and no unit restarted")


def remove_a_service(stage: Stage) -> None:
    """Take the bad commit back and a service away, signed, and see both happen."""
    stage.screen.step(
        "Taken back, and a service removed",
        "The author reverts the stray commit: no history is rewritten, a signature on top counts for the whole tree. "
        "A second commit takes whoami off this host.",
    )
    stage.write("git revert -S --no-edit HEAD")
    stage.write("sed -i 's/ whoami,//' hosts/guest/host.yaml")
    stage.write("cat hosts/guest/host.yaml")
    stage.write("git rm -rq hosts/guest/overrides/whoami.container.d")
    stage.write("git commit -q -S -a -m 'guest: no whoami' && git push -q")
    signatures = stage.write("git log --format='%h %G? %s'").splitlines()
    _await_tip(stage)
    stage.host(f"journalctl -o cat CORE_OPS_REVISION={stage.tip()}", cut=Cut(9))
    stage.host("systemctl status whoami.service", expect=4, meaning="there is no such unit")
    running = stage.host("podman ps --format '{{.Names}}'")
    left = stage.guest.exec("find", "/etc/containers/systemd", "-name", "whoami*").stdout
    stage.check(
        [line.split()[1] for line in signatures] == ["G", "G", "N", "G", "G"],
        "the commit nobody signed (N) stays in the history, below signed ones (G)",
    )
    stage.check("whoami" not in running and not left, "whoami is stopped, and its files are gone", running + left)
    stage.check("Hello" in stage.guest.check("sh", "-c", _FETCH), "the web server still answers")


def ask_for_status(stage: Stage) -> None:
    """Show what the host says about itself."""
    stage.screen.step("Status", "What is this host on, who signed it, and how did the last run go?")
    said = stage.host("core-ops status")
    stage.check("Converged" in said and stage.tip() in said, "converged to the author's last commit")


STEPS = (
    meet_the_host,
    sign_a_repository,
    enrol,
    look_before,
    apply_and_answer,
    edit_by_hand,
    leave_it_to_the_timer,
    commit_a_change,
    push_unsigned,
    remove_a_service,
    ask_for_status,
)


def _await_tip(stage: Stage) -> None:
    tip = stage.tip()
    applied = lambda: stage.status()["status"]["reconciliation"].get("last_applied_revision") == tip  # noqa: E731
    taken = stage.wait("waiting for the timer", applied)
    _settle(stage)
    stage.screen.meanwhile(f"The timer came by, and {taken:.0f} s after the push the host is on {tip[:8]}:")


def _settle(stage: Stage) -> None:
    """Wait for the end of the run: it looks again for a moment after it has changed something."""
    stage.wait(
        "waiting for the end of the run",
        lambda: stage.guest.show("core-ops.service", "ActiveState")["ActiveState"] != "activating",
    )


def _refused(stage: Stage) -> str:
    refusal: dict[str, str] | None = stage.status()["status"]["reconciliation"].get("refused")
    return refusal["revision"] if refusal else ""


def _invocations(stage: Stage) -> dict[str, str]:
    return {unit: stage.guest.show(unit, "InvocationID")["InvocationID"][:12] for unit in _UNITS}


def _verdict(before: str, after: str) -> str:
    return "went on running" if before == after else "restarted"
