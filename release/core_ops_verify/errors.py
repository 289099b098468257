"""Why the harness stops: one sentence that says what failed, and the next step for a person.

Messages follow the agent's style: what was being attempted, lower case, no period.
"""


class VerifyError(Exception):
    """A reason to stop that a person can act on.

    Args:
        message: What was being attempted and where.
        hint: The next step; empty when there is none to name.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        """Return the message and its hint on one line."""
        message = str(self.args[0])
        return f"{message}; {self.hint}" if self.hint else message


class MachineError(VerifyError):
    """This machine cannot host guests as it is: a program, a right or a setting is missing."""


class BuildError(VerifyError):
    """A cached part (base tree, template, runtime, payload) could not be made."""


class GuestError(VerifyError):
    """A guest could not be created, booted, entered or removed."""


class CommandError(GuestError):
    """A command inside a guest ended with another status than 0.

    Args:
        message: What was run and in which guest.
        status: The exit status.
        output: What the command wrote, standard error last.
    """

    def __init__(self, message: str, *, status: int, output: str) -> None:
        super().__init__(message)
        self.status = status
        self.output = output

    def __str__(self) -> str:
        """Return the message followed by the command's own words, which a failing test must show."""
        return f"{self.args[0]}\n{self.output}".rstrip()


class CommandTimeoutError(GuestError):
    """A command inside a guest did not end in time and was killed."""
