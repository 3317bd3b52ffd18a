"""The two clients have the same methods with the same parameters."""

import inspect

import pytest

from webhook_runner.client import AsyncClient, AsyncLetters, Client, Letters

OF_ONE_KIND = {"__enter__", "__exit__", "__iter__", "__aenter__", "__aexit__", "__aiter__"}


def parameters(kind: type) -> dict[str, list[str]]:
    methods = inspect.getmembers(kind, inspect.isfunction)
    return {
        name: [str(each.replace(annotation=each.empty)) for each in signature.parameters.values()]
        for name, method in methods
        if name not in OF_ONE_KIND
        for signature in [inspect.signature(method)]
    }


@pytest.mark.parametrize(("one", "other"), [(Client, AsyncClient), (Letters, AsyncLetters)])
def test_what_one_client_can_do_the_other_can(one: type, other: type) -> None:
    assert parameters(one) == parameters(other)
