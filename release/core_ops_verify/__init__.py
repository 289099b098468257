"""The verification harness: real systemd and podman guests to prove the agent in. Never shipped to hosts."""

__version__ = "0.1.0"
