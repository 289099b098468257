"""Who provides what on one host, and everything that keeps the host from being rendered.

Each path and each runtime unit has one source; the second one that wants it is refused with both places.
"""

from core_ops.reconcile.model import Finding


class Claims:
    """The places of one host as they are taken, and the refusals found on the way."""

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}
        self.findings: list[Finding] = []

    def refuse(self, finding: Finding) -> None:
        """Keep a reason why the host has no desired state."""
        self.findings.append(finding)

    def claim(self, place: str, path: str) -> bool:
        """Take a path of the host or a unit name for a repository path; return whether it was free."""
        holder = self._holders.setdefault(place, path)
        if holder == path:
            return True
        message = f"wants {place}, which {holder} already provides"
        self.refuse(Finding(path, 0, "DestinationConflict", message, "remove or rename one of them"))
        return False
