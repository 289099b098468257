#!/bin/sh
# Make this machine ready for CoreOps: the system packages that are missing, and .venv in this checkout.
#
# usage: build/setup_machine.sh [GROUP]     GROUP is a dependency group of pyproject.toml, such as dev
#
# Runs as root, or as somebody who may use sudo. Does nothing, quickly, where everything is in place. Never writes
# outside the checkout but through apt-get or dnf, and never chooses a mirror or an index: this machine's settings do.
set -eu

group=${1:-}
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
# A plain user's path lacks these, and the programs in them would seem to be missing.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

log=$(mktemp "${TMPDIR:-/tmp}/core-ops-setup.XXXXXX")
trap 'rm -f "$log"' EXIT
trap 'echo "setup: interrupted; run it again to go on" >&2; exit 130' INT TERM HUP

fail() { # WHAT NEXT: say what failed, where to look, what to do
    echo "setup: failed: $1" >&2
    if [ -s "$log" ]; then
        { grep -E '^ *(E|ERROR|Error|error): ' "$log" || cat "$log"; } | tail -n 5 | sed 's/^ */    /' >&2
        trap - EXIT
        echo "  log:  $log" >&2
    fi
    echo "  next: $2" >&2
    exit 1
}

step() { # WHAT NEXT COMMAND...: run a command quietly
    what=$1 next=$2
    shift 2
    echo "setup: $what"
    "$@" >>"$log" 2>&1 </dev/null || fail "$what" "$next"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# --- system packages --------------------------------------------------------------------------------------------------

missing=
want() { # APT DNF
    case $manager in
        dnf) missing="$missing $2" ;;
        *) missing="$missing $1" ;;
    esac
}
program() { # PROGRAM APT DNF
    command -v "$1" >/dev/null 2>&1 || want "$2" "$3"
}
one_of() { # APT DNF FILE...: at least one of the files
    apt=$1 dnf=$2
    shift 2
    for file in "$@"; do [ ! -e "$file" ] || return 0; done
    want "$apt" "$dnf"
}

find_manager() {
    manager=
    for candidate in apt-get dnf; do
        if [ -z "$manager" ] && command -v "$candidate" >/dev/null 2>&1; then manager=$candidate; fi
    done
}

# Prints a Python that is new enough, as a path: `python3` may be a shim that only works for this user and directory.
find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys.executable)' 2>/dev/null
        then return 0; fi
    done
    return 1
}

want_python() {
    if python=$(find_python); then
        facts=$("$python" -c '
import importlib.util, pathlib, sys, sysconfig
print(sys.base_prefix, "%d.%d" % sys.version_info[:2])
print(bool(importlib.util.find_spec("ensurepip")), pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())')
        # shellcheck disable=SC2086  # four words
        set -- $facts
        [ "$3 $4" != "True True" ] || return 0
        [ "$1" = /usr ] || fail "use $python: it has no ensurepip or no headers" "install a complete Python there"
        [ "$3" = True ] || want "python$2-venv" python3
        [ "$4" = True ] || want "python$2-dev" python3-devel
    elif command -v python3 >/dev/null 2>&1; then
        fail "find Python 3.11 or newer: this machine has $(python3 --version 2>&1)" \
            "install python3.11 with its -venv and -dev packages, or use Debian 12, Ubuntu 24.04 or a newer release"
    else
        want python3 python3
        want python3-venv python3
        want python3-dev python3-devel
    fi
}

list_missing() {
    program git git git-core
    program ssh-keygen openssh-client openssh-clients
    program openssl openssl openssl
    program ip iproute2 iproute
    program strace strace strace
    program mkfs.ext4 e2fsprogs e2fsprogs
    program mmdebstrap mmdebstrap mmdebstrap
    program systemd-nspawn systemd-container systemd-container
    one_of ca-certificates ca-certificates /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt
    one_of debian-archive-keyring debian-keyring /usr/share/keyrings/debian-archive-keyring.gpg \
        /usr/share/keyrings/debian-archive-keyring.pgp
    if ! venv_ready; then
        # systemd-python has no wheels: it is compiled here.
        want_python
        program gcc gcc gcc
        one_of libc6-dev glibc-devel /usr/include/stdio.h
        program pkg-config pkg-config pkgconf-pkg-config
        pkg-config --exists libsystemd 2>/dev/null || want libsystemd-dev systemd-devel
    fi
}

# The harness asks apt for the machine's own mirror, and apt names none before its first update.
never_updated() {
    [ "$manager" = apt-get ] && [ -z "${CORE_OPS_DEBIAN_MIRROR:-}" ] || return 1
    for list in /var/lib/apt/lists/*_Packages*; do [ ! -e "$list" ] || return 1; done
}

install_missing() {
    [ -n "$missing" ] || never_updated || return 0
    wanted=${missing:- package lists}
    retry="check this machine's package sources and network, or install by hand:$wanted"
    [ -n "$manager" ] || fail "install$wanted: neither apt-get nor dnf is here" "install them in this system's way"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || fail "install$wanted: not root, and there is no sudo" \
            "run this as root, or install by hand:$wanted"
        echo "setup: sudo is needed to install$wanted"
        sudo true || fail "become root through sudo" "run this as root, or install by hand:$wanted"
    fi
    if [ "$manager" = apt-get ]; then
        step "reading package lists (apt-get)" "$retry" as_root apt-get update -q
        [ -n "$missing" ] || return 0
        # shellcheck disable=SC2086  # a list of words
        step "installing$missing (apt-get)" "$retry" as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 $missing
    else
        # shellcheck disable=SC2086
        step "installing$missing (dnf)" "$retry" as_root dnf install -q -y --setopt=install_weak_deps=False $missing
    fi
}

# --- the virtual environment ------------------------------------------------------------------------------------------

# What .venv has to fit: it holds this path, and what pyproject.toml asks for.
stamp() {
    echo "$root"
    sha256sum pyproject.toml
}
stamped() { # GROUP
    [ -x .venv/bin/python ] && [ "$(cat ".venv/.setup-${1:-base}" 2>/dev/null)" = "$(stamp)" ]
}
venv_ready() {
    stamped "$group" && .venv/bin/python -c 'import core_ops, core_ops_verify' 2>/dev/null
}

pip() {
    .venv/bin/python -m pip --quiet --disable-pip-version-check --no-input "$@"
}

make_venv() {
    again="see the log; run this again, or remove .venv first to start afresh"
    index="check that pip reaches its package index, then run this again"
    moved=$(head -n 1 .venv/.setup-base 2>/dev/null || true)
    if [ -n "$moved" ] && [ "$moved" != "$root" ] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        python=$(find_python) || fail "find the Python that was just installed" "run 'python3 --version'"
        step "making .venv with $python" "$again" "$python" -m venv --clear .venv
    fi
    if [ -n "$group" ]; then
        # --group came with 25.1
        step "updating pip in .venv" "$index" pip install --upgrade 'pip>=25.1'
        step "installing CoreOps and its $group tools into .venv" "$index" pip install --editable . --group "$group"
        stamp >".venv/.setup-$group"
    else
        step "installing CoreOps into .venv" "$index" pip install --editable .
    fi
    stamp >.venv/.setup-base
}

# Two at a time would install into each other.
if command -v flock >/dev/null 2>&1; then
    exec 9<"$root"
    flock 9
fi
find_manager
list_missing
install_missing
venv_ready || make_venv
