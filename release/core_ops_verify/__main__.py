"""Lets `python -m core_ops_verify` start the command line."""

import sys

from core_ops_verify.cli import console

sys.exit(console())
