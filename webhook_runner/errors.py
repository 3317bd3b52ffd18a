"""The errors, by who must act: operator, sender, caller, extension author, or only time."""


class ConfigError(Exception):
    """The operator must mend the configuration.

    Attributes:
        problems: one line each, naming file, table, key, what is wrong, what would be right.

    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InvalidTaskError(Exception):
    """The sender must mend the message; it is set aside, never retried.

    Attributes:
        reason: a short word for counting, such as ``not_json`` or ``wrong_type``.
        field: the path of the bad field, or an empty string for the whole message.

    """

    def __init__(self, reason: str, explanation: str, field: str = "") -> None:
        super().__init__(f"{field}: {explanation}" if field else explanation)
        self.reason = reason
        self.field = field


class BrokerUnavailableError(Exception):
    """Nobody must act: the broker cannot be reached, and the supervisor tries on."""


class TopologyError(Exception):
    """The operator must act: a broker object is missing or differs from what is needed."""


class UnknownQueueError(Exception):
    """The caller names a queue that the broker does not have."""


class RefusedError(Exception):
    """A request must not be sent, for a reason that time does not mend."""

    def __init__(self, rule: str, explanation: str) -> None:
        super().__init__(explanation)
        self.rule = rule


class Refuse(RefusedError):  # noqa: N818 - a word that extension authors read aloud: raise Refuse("...")
    """Raised by an extension to end a task for good: ``raise Refuse("no credit")``."""

    def __init__(self, reason: str) -> None:
        super().__init__("extension", reason)


class QueueFileError(Exception):
    """The operator must act: the file of the embedded broker cannot be used.

    Attributes:
        code: the exit code of a daemon that ends by it.

    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class StoreError(Exception):
    """The operator must act: the store cannot be used at all, such as one of a newer version.

    Attributes:
        code: the exit code of a daemon that ends by it.

    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class StoreUnavailableError(Exception):
    """Nobody must act: the store does not answer now, and is tried on."""


class NoStoreError(Exception):
    """The caller asks for what only a store knows, and there is none; names the setting."""


class UnknownTaskError(Exception):
    """The caller names a task, or something put aside, that is not known."""


class ConflictError(Exception):
    """The caller asks for what the state of a task does not allow; says what it is."""
