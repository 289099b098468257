"""The author's verbs: they look at a source tree or at what a host was given, and write nothing."""

import argparse

import msgspec

from core_ops import __version__, settings
from core_ops.errors import EXIT_FAILED, EXIT_OK, RefusedRevisionError
from core_ops.host.directory import read_tree
from core_ops.host.terminal import Terminal, is_terminal, standard
from core_ops.reconcile import check as checking
from core_ops.reconcile.checkview import check_lines, check_view
from core_ops.reconcile.sarif import sarif


def _out() -> Terminal:
    out, _ = standard()
    return Terminal(out, colour=settings.colour_wanted() and is_terminal(out))


def check(arguments: argparse.Namespace) -> int:
    """Say everything that is wrong with a source tree, or might be."""
    only = (arguments.host,) if arguments.host else ()
    try:
        checked = checking.check(read_tree(arguments.path), only)
    except RefusedRevisionError as refused:
        checked = checking.unreadable(refused)
    view = check_view(checked)
    if arguments.format == "sarif":
        _out().show([sarif(checked, __version__).decode()])
    elif arguments.json or arguments.format == "json":
        _out().show([msgspec.json.encode(view).decode()])
    else:
        _out().show(check_lines(view))
    return EXIT_FAILED if checked.refused else EXIT_OK
