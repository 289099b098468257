"""CoreOps: a GitOps pull agent for systemd hosts.

`reconcile` decides, `host` does, `run` conducts. This module holds the version only, so that asking for it costs nothing.
"""

__version__ = "0.1.0"
