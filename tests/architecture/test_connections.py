"""Who opens connections, and to whom: what a task names is reached through the guard only."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "webhook_runner"
DISPATCH = PACKAGE / "dispatch"

# Modules of others that can open a connection or start a program that does.
MODULES = {
    "_socket", "aio_pika", "aiohttp", "aiormq", "anyio", "ftplib", "http.client", "httpcore2",
    "httpx", "httpx2", "imaplib", "pika", "poplib", "psycopg", "psycopg_pool", "pycurl",
    "requests", "smtplib", "socket", "socketserver", "subprocess", "telnetlib", "urllib.request",
    "urllib3", "uvicorn", "websockets", "xmlrpc",
}  # fmt: skip
CALLS = {
    "connect_accepted_socket", "connect_ex", "connect_tcp", "connect_unix", "create_connection",
    "create_datagram_endpoint", "create_subprocess_exec", "create_subprocess_shell",
    "create_unix_connection", "getaddrinfo", "gethostbyname", "gethostbyname_ex",
    "open_connection", "open_unix_connection", "popen", "sendmsg", "sendto", "sock_connect",
    "sock_sendto", "system", "urlopen", "urlretrieve",
}  # fmt: skip

# To whom each of them speaks. A new line needs an answer to "why not through the guard?".
SPEAKS_TO = {
    "api/connection.py": "whoever has called",
    "api/server.py": "whoever calls: it listens",
    "broker/amqp": "RabbitMQ, as configured",
    "client/http.py": "the daemon's API, for applications and commands",
    "process/doctor/machine.py": "the daemon's own API, as configured",
    "process/notify.py": "systemd, by a local socket",
    "process/workers/line.py": "parent or worker, by a socket pair",
    "process/workers/seat.py": "a worker, which it starts",
    "process/workers/wiring.py": "the parent, by the socket it was started with",
    "store/postgresql": "PostgreSQL, as configured",
    "dispatch/lean.py": "what the connector has checked",
    "dispatch/pooled.py": "what the connector has checked, through stream.py",
    "dispatch/resolver.py": "the system's resolver",
    "dispatch/stream.py": "what the connector has checked",
    "dispatch/target.py": "nobody: it takes URLs apart",
}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def may_connect(path: Path) -> bool:
    tree = tree_of(path)
    named = [f"{name}." for name in imported(tree)]
    return any(name.startswith(f"{module}.") for name in named for module in MODULES) or any(
        called(call) in CALLS for call in calls(tree)
    )


def place(path: Path) -> str:
    name = str(path.relative_to(PACKAGE))
    return next((room for room in SPEAKS_TO if name.startswith(f"{room}/")), name)


def functions(tree: ast.AST, name: str) -> list[ast.AST]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]


def test_every_module_that_can_connect_is_known_with_whom_it_speaks_to() -> None:
    assert {place(path) for path in PACKAGE.rglob("*.py") if may_connect(path)} == set(SPEAKS_TO)


def test_of_what_a_task_names_only_the_checked_address_is_connected_to() -> None:
    """A socket is connected in two functions, and these are only handed to the connector."""
    for name, connecting in (("lean.py", "_connected"), ("stream.py", "connect_tcp")):
        tree = tree_of(DISPATCH / name)
        (open_one,) = functions(tree, "open_one")
        inner = [call for call in calls(tree) if called(call) == connecting]
        assert [call for call in calls(open_one) if called(call) == connecting] == inner
        used = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "open_one"]
        (handed,) = [c for c in calls(tree) if ast.unparse(c.func) == "self._connector.connect"]
        assert used == [handed.args[-1]]


def test_nothing_else_in_the_lean_client_connects() -> None:
    tree = tree_of(DISPATCH / "lean.py")
    (connected,) = functions(tree, "_connected")
    connecting = [call for call in calls(tree) if called(call) == "sock_connect"]
    assert [call for call in calls(connected) if called(call) == "sock_connect"] == connecting
    for call in calls(tree):
        if called(call) == "create_connection":
            assert "sock" in {keyword.arg for keyword in call.keywords}


def test_the_pool_of_the_other_client_connects_through_the_connector() -> None:
    (pool,) = [
        call
        for path in DISPATCH.glob("*.py")
        for call in calls(tree_of(path))
        if called(call) == "AsyncConnectionPool"
    ]
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in pool.keywords}
    assert given["network_backend"] == "self._backend"
    (client,) = functions(tree_of(DISPATCH / "pooled.py"), "__init__")
    assert "self._backend = GuardedBackend(connector)" in ast.unparse(client)


def test_only_a_proxy_is_trusted_unchecked() -> None:
    connectors = [
        ast.unparse(call)
        for path in PACKAGE.rglob("*.py")
        for call in calls(tree_of(path))
        if called(call) == "Connector"
    ]
    assert sorted(connectors) == [
        "Connector(self._guard, resolver)",
        "Connector(self._guard, resolver, self._choice.trusted)",
    ]
