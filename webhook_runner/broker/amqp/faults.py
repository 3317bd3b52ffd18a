"""What can happen to a channel or a publish, in our words."""

from collections.abc import Mapping


class LostError(Exception):
    """The channel is gone, and with it every delivery that came by it."""


class MissingError(LostError):
    """The object does not exist (404)."""


class ForbiddenError(LostError):
    """The user may not do that (403)."""


class DiffersError(LostError):
    """The object exists with other properties, or the broker refused the value (406)."""


class ReturnedError(Exception):
    """The publish found no queue, not even by the alternate exchange."""


class NackedError(Exception):
    """The queue refused the publish, or could not replicate it."""


LOST_AS: Mapping[int, type[LostError]] = {403: ForbiddenError, 404: MissingError, 406: DiffersError}
"""What a channel that the broker closed with such a code is told as."""
