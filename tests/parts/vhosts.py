"""Empty virtual hosts of a private node by the dozen, for one rabbitmqctl costs half a second."""

import itertools

from tests.parts.node import RabbitNode

_BATCH = 20
_REPLACE = """
Old = [{old}], New = [{new}],
[rabbit_vhost:delete(V, <<"tests">>) || V <- Old],
[begin
   rabbit_vhost:add(V, <<"tests">>),
   rabbit_auth_backend_internal:set_permissions(
     <<"guest">>, V, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)
 end || V <- New].
"""


class VhostPool:
    """Give each test a virtual host nobody used before; used ones are deleted in batches."""

    def __init__(self, node: RabbitNode) -> None:
        self._node = node
        self._numbers = itertools.count(1)
        self._fresh: list[str] = []
        self._used: list[str] = []

    def take(self) -> str:
        """Return the name of an empty virtual host on which guest may do everything."""
        if not self._fresh:
            self._refill()
        return self._fresh.pop()

    def give_back(self, name: str) -> None:
        """Say that a virtual host may be deleted."""
        self._used.append(name)

    def _refill(self) -> None:
        names = [f"t{next(self._numbers)}" for _ in range(_BATCH)]
        self._node.ctl("eval", _REPLACE.format(old=_binaries(self._used), new=_binaries(names)))
        self._fresh, self._used = names, []


def _binaries(names: list[str]) -> str:
    return ", ".join(f'<<"{name}">>' for name in names)
