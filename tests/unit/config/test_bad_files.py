# ruff: noqa: E501 - the lines stand here as they are printed
"""The exact line that each mistake gets."""

import pytest

from tests.unit.config.conftest import Problems

Q = "[queues.a]\n"
RATE = 'write "unlimited" or a rate above 0 such as "5/s", "21.5/m", "3/h", "1/d"'
URL = (
    'write "amqp://user:password@host:5672/vhost" or amqps, with : / ? # @ in the user or'
    " password percent-encoded"
)
BASE = 'write an absolute URL such as "http://localhost:8000", or ""'
TOKENS = (
    'a list of tables such as {name = "ops", role = "full", hash = "sha256:..."}, of which'
    " `webhook-runner token` prints one"
)
HASH = f'hash = "sha256:{"0" * 64}"'
AMQPS = 'server = "amqps://mq/"\n'

ROWS = [
    # unknown keys
    ('sever = "amqp://h/"', "t.ini:1: sever: unknown key; did you mean server?"),
    (
        "[queues.a]\nconcurency = 1",
        "t.ini:2: [queues.a] concurency: unknown key; did you mean concurrency?",
    ),
    ('prefix = "x"', "t.ini:1: prefix: unknown key; it belongs in [broker]"),
    (
        "concurrency = 1",
        "t.ini:1: concurrency: unknown key; it belongs in a queue's table, such as [queues.default]",
    ),
    (
        '[log]\nserver = "x"',
        "t.ini:2: [log] server: unknown key; it belongs at the top of the file, before the first [table]",
    ),
    ("[log]\nzzz = 1", "t.ini:2: [log] zzz: unknown key; known here: level, format, metadata"),
    ("[brokers]\nheartbeat = 5", "t.ini:1: brokers: unknown key; did you mean broker?"),
    ("schedules = {}", "t.ini:1: schedules: not available in this version; remove it"),
    (
        'processes = 2\nserver = "embedded:/var/lib/queue.db"',
        (
            "t.ini:1: processes: 2 processes cannot share a queue file, which has one owner; write"
            ' processes = 1, or name a RabbitMQ: server = "amqp://user:password@host:5672/"'
        ),
    ),
    (
        "processes = 8\nmax_total = 7",
        (
            "t.ini:1: processes: 8 is above max_total = 7: some would have nothing to do; lower one"
            " or raise the other"
        ),
    ),
    (Q + 'mode = "pull"', "t.ini:2: [queues.a] mode: not available in this version; remove it"),
    ('[api]\ntokens = ["secret"]', f"t.ini:2: [api] tokens: a list: write {TOKENS}"),
    ('[api]\ntokens = [{name = "a", has = "x"}]', f"t.ini:2: [api] tokens: a list: write {TOKENS}"),
    (
        f'[api]\ntokens = [{{name = "a b", {HASH}}}]',
        f"t.ini:2: [api] tokens: a list: write {TOKENS}",
    ),
    (
        '[api]\ntokens = [{name = "a", hash = "md5:0"}]',
        f"t.ini:2: [api] tokens: a list: write {TOKENS}",
    ),
    (
        '[api]\ntokens = [{name = "a"}]',
        't.ini:2: [api] tokens: "a" needs either hash = "sha256:..." or file; `webhook-runner token` prints one',
    ),
    (
        f'[api]\ntokens = [{{name = "a", {HASH}}}, {{name = "a", {HASH}}}]',
        't.ini:2: [api] tokens: "a" is there twice; name each once',
    ),
    (
        '[api]\ntokens = [{name = "a", file = "/nowhere/token"}]',
        "t.ini:2: [api] tokens: /nowhere/token cannot be read: No such file or directory",
    ),
    (
        '[api]\nlisten = "0.0.0.0:7676"',
        't.ini:2: [api] listen: whoever reaches 0.0.0.0:7676 could queue and cancel tasks; add tokens, of which `webhook-runner token` prints one, or write "127.0.0.1:7676"',
    ),
    (
        '[performance]\namqp = "aiormq"',
        't.ini:2: [performance] amqp: "aiormq": write "lean" or "aio-pika"',
    ),
    (
        '[performance]\nhttp = "fast"',
        't.ini:2: [performance] http: "fast": write "lean" or "httpx2"',
    ),
    # types
    ('max_total = "10"', 't.ini:1: max_total: "10": write a whole number from 1 to 100000'),
    ("max_total = 1.5", "t.ini:1: max_total: 1.5: write a whole number from 1 to 100000"),
    ("max_total = true", "t.ini:1: max_total: true: write a whole number from 1 to 100000"),
    (
        f"max_total = {'9' * 400}",
        "t.ini:1: max_total: a huge number: write a whole number from 1 to 100000",
    ),
    ("strict = 1", "t.ini:1: strict: 1: write true or false"),
    ('strict = "yes"', 't.ini:1: strict: "yes": write true or false'),
    ("max_delay = nan", "t.ini:1: max_delay: nan: write a number above 0"),
    ("max_delay = inf", "t.ini:1: max_delay: inf: write a number above 0"),
    ("max_delay = 2026-01-01", 't.ini:1: max_delay: "2026-01-01": write a number above 0'),
    ("base_url = 5", "t.ini:1: base_url: 5: write a string"),
    ("broker = 5", "t.ini:1: broker: 5: write a table"),
    ("queues = 5", "t.ini:1: queues: a whole number: write tables such as [queues.default]"),
    ("[queues]\na = 5", "t.ini:2: [queues] a: 5: write a table"),
    ("[queues]", "t.ini:1: queues: no queue is left; add a table such as [queues.default]"),
    ("[egress]\nallow = 5", 't.ini:2: [egress] allow: 5: write a list of strings such as ["..."]'),
    (
        '[log]\nlevel = "INFO"',
        't.ini:2: [log] level: "INFO": write "debug", "info", "warning" or "error" (did you mean "info"?)',
    ),
    (
        "server = 5",
        't.ini:1: server: a whole number: write a string such as "amqp://user:password@host:5672/", or a list of them, or "embedded:/var/lib/webhook-runner/queue.db"',
    ),
    (
        Q + "headers = {A = 5}",
        't.ini:2: [queues.a.headers] A: a whole number: write a string, {file = "/path"} or {env = "NAME"}',
    ),
    (
        Q + 'rollback_on = ["never"]',
        't.ini:2: [queues.a] rollback_on: a list: write a list of "failed", "expired" or "cancelled"',
    ),
    # ranges
    (
        Q + "concurrency = 0",
        "t.ini:2: [queues.a] concurrency: 0: write a whole number from 1 to 10000",
    ),
    (
        Q + "concurrency = -1",
        "t.ini:2: [queues.a] concurrency: -1: write a whole number from 1 to 10000",
    ),
    (
        Q + "concurrency = 1e9",
        "t.ini:2: [queues.a] concurrency: 1000000000.0: write a whole number from 1 to 10000",
    ),
    (Q + "timeout = 0", "t.ini:2: [queues.a] timeout: 0: write a number above 0 and at most 1500"),
    (Q + "jitter = 2", "t.ini:2: [queues.a] jitter: 2: write a number from 0 to 1"),
    (
        Q + "retry_limit = -2",
        "t.ini:2: [queues.a] retry_limit: -2: write a whole number not below -1",
    ),
    (Q + 'rate = "10 per fortnight"', f't.ini:2: [queues.a] rate: "10 per fortnight": {RATE}'),
    (Q + 'rate = "0/s"', f't.ini:2: [queues.a] rate: "0/s": {RATE}'),
    (Q + "rate = 5", f"t.ini:2: [queues.a] rate: 5: {RATE}"),
    (Q + "rate = true", f"t.ini:2: [queues.a] rate: true: {RATE}"),
    (
        Q + 'success_codes = "2xx"',
        't.ini:2: [queues.a] success_codes: "2xx": \'2xx\' is no status or range: write 200, "200-299" or "200,202,204"',
    ),
    (
        Q + "schedule = [0]",
        "t.ini:2: [queues.a] schedule: a list: every delay must be a number of seconds above 0",
    ),
    # names
    (
        '[queues."a b"]',
        't.ini:1: [queues] "a b": no queue name: 1 to 100 letters, digits, dots, dashes and underscores, the first no dot (^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$)',
    ),
    (
        '[queues."wr.v1.x"]',
        't.ini:1: [queues] "wr.v1.x": names that start with "wr.v1" belong to broker.prefix; choose another',
    ),
    (
        '[queues."amq.x"]',
        't.ini:1: [queues] "amq.x": names that start with "amq." belong to RabbitMQ itself; choose another',
    ),
    (
        'default_queue = "x"\nunknown_queue = "default"',
        't.ini:1: default_queue: "x" is not configured, and unknown_queue = "default" sends tasks there; add [queues.x]',
    ),
    # settings that must fit together
    (
        Q + "min_backoff_seconds = 9\nmax_backoff_seconds = 3",
        "t.ini:2: [queues.a] min_backoff_seconds: 9 is above max_backoff_seconds = 3; lower one or raise the other",
    ),
    (
        "[breaker]\nopen_seconds = 30\nmax_open_seconds = 10",
        "t.ini:2: [breaker] open_seconds: 30 is above max_open_seconds = 10; lower one or raise the other",
    ),
    (
        "[breaker]\nfailure_ratio = 0",
        "t.ini:2: [breaker] failure_ratio: 0: write a number above 0 and at most 1",
    ),
    (
        Q + "per_host_concurrency = -1",
        "t.ini:2: [queues.a] per_host_concurrency: -1: write a whole number from 0 to 10000",
    ),
    (
        Q + "timeout = 700",
        "t.ini:2: [queues.a] timeout: 700 is above max_timeout = 600; lower one or raise the other",
    ),
    (
        Q + "max_timeout = 30",
        "t.ini:2: [queues.a] timeout: 60 is above max_timeout = 30; lower one or raise the other",
    ),
    (
        Q + "max_backoff_seconds = -0.5",
        "t.ini:2: [queues.a] max_backoff_seconds: write -1 for no limit, else 0 or more",
    ),
    (
        Q + "bucket_size = 0.5",
        "t.ini:2: [queues.a] bucket_size: 0.5 would never hold a token; write 0 (rate / 5) or 1 or more",
    ),
    (
        "[broker]\nreconnect_min_seconds = 60",
        "t.ini:2: [broker] reconnect_min_seconds: 60 is above reconnect_max_seconds = 30; lower one or raise the other",
    ),
    (
        '[broker]\ncert_file = "/etc/passwd"',
        "t.ini:2: [broker] cert_file: needs key_file beside it",
    ),
    (
        AMQPS + '[broker]\nauth = "external"',
        't.ini:3: [broker] auth: "external" needs a client certificate: cert_file and key_file',
    ),
    (
        '[broker]\npassword_file = "/nowhere"',
        "t.ini:2: [broker] password_file: /nowhere cannot be read: No such file or directory",
    ),
    (
        '[broker]\nca_file = "$CREDENTIALS_DIRECTORY/x"',
        "t.ini:2: [broker] ca_file: $CREDENTIALS_DIRECTORY is not set; systemd sets it for LoadCredential=",
    ),
    # broker urls
    ('server = "http://h/"', f"t.ini:1: server: the scheme 'http' is no broker's; {URL}"),
    ('server = "localhost"', f"t.ini:1: server: the scheme '' is no broker's; {URL}"),
    ('server = "amqp:///x"', f"t.ini:1: server: no host; {URL}"),
    ('server = "amqp://u:p/w@h/"', f"t.ini:1: server: {URL}"),
    ('server = "amqp://h:99999/"', f"t.ini:1: server: {URL}"),
    (
        'server = "amqp://h/a/b"',
        't.ini:1: server: a virtual host with a slash is written with %2F, as in "amqp://host/%2Fname"',
    ),
    (
        'server = "amqp://h/?heartbeat=5"',
        't.ini:1: server: nothing may follow "?" or "#"; such settings stand in [broker]',
    ),
    (
        'server = "amqp://u:100%@h/"',
        't.ini:1: server: a "%" that encodes nothing; write %25 for the sign itself',
    ),
    ("server = []", 't.ini:1: server: an empty list; write "amqp://user:password@host:5672/"'),
    # other urls, addresses, headers
    ('base_url = "/x"', f"t.ini:1: base_url: {BASE}"),
    ('base_url = "ftp://h"', f"t.ini:1: base_url: {BASE}"),
    (
        'base_url = "http://h/?a=1"',
        't.ini:1: base_url: nothing may follow "?" or "#": paths are joined to it',
    ),
    (
        'base_url = "http://u:p@h/"',
        "t.ini:1: base_url: no user or password here; send them with headers = {Authorization = ...}",
    ),
    (Q + 'base_url = "http://h h"', f"t.ini:2: [queues.a] base_url: {BASE}"),
    (
        '[api]\nlisten = "1.2.3.4"',
        't.ini:2: [api] listen: "1.2.3.4": write an address such as "127.0.0.1:7676", or "" to switch it off',
    ),
    ('[api]\nlisten = "h:65536"', "t.ini:2: [api] listen: port 65536 is above 65535"),
    (
        '[egress]\nproxy = "socks5://h"',
        '''t.ini:2: [egress] proxy: write a URL such as "http://proxy.example:3128", or ""''',
    ),
    (
        Q + 'headers = {Host = "x"}',
        "t.ini:2: [queues.a.headers] Host: is set by webhook_runner or its connection; leave it out",
    ),
    (
        Q + 'headers = {X = {env = "NOPE"}}',
        "t.ini:2 (variable NOPE): [queues.a.headers] X: the environment variable NOPE is not set",
    ),
    (
        Q + 'headers = {X = {file = "/nowhere"}}',
        "t.ini:2 (file /nowhere): [queues.a.headers] X: /nowhere cannot be read: No such file or directory",
    ),
    # taskqueue's sections
    (
        "[Queue1]\nconcurrency = 2",
        "t.ini:1: Queue1: a queue's table is written [queues.Queue1]; `webhook-runner config convert FILE` prints a whole file of taskqueue anew",
    ),
]

TOML_ROWS: list[tuple[str | bytes, str]] = [
    (
        b"\xef\xbb\xbfstrict = true",
        "t.ini:1: starts with a byte-order mark; save it as UTF-8 without one",
    ),
    (b"strict = true\n# \xe4", "t.ini:2: byte 0xe4 is not UTF-8; save the file as UTF-8"),
    (
        "strict = true\nstrict = true",
        "t.ini:2: column 14: Cannot overwrite a value: the key is written twice; keep one",
    ),
    (
        Q + Q,
        "t.ini:2: column 10: Cannot declare ('queues', 'a') twice: the table is written twice; put its keys under one heading",
    ),
    (
        'base_url = "http://',
        "t.ini:1: column 20: Unterminated string; the file ends in the middle: is it still being written?",
    ),
    (
        "strict =",
        "t.ini:1: column 9: Invalid value; the file ends in the middle: is it still being written?",
    ),
    (
        "strict = yes\n",
        't.ini:1: column 10: Invalid value: no TOML value; text stands in quotes, as in key = "text"',
    ),
    (
        "x = " + "[" * 5000,
        "t.ini: TOML inline arrays/tables are nested more than the allowed 400 levels; no setting needs a value like this",
    ),
]


@pytest.mark.parametrize(("text", "line"), ROWS)
def test_a_mistake_is_told_with_place_and_remedy(
    text: str, line: str, problems_of: Problems
) -> None:
    assert problems_of(text) == [line]


@pytest.mark.parametrize(("text", "line"), TOML_ROWS)
def test_a_file_that_is_no_toml_is_told_where(
    text: str | bytes, line: str, problems_of: Problems
) -> None:
    assert problems_of(text) == [line]


@pytest.mark.parametrize("entry", ["", "10.0.0.1/8", "a b", "h:0", "h:70000", "300.1.1.1"])
@pytest.mark.parametrize("key", ["allow", "deny", "no_proxy"])
def test_an_egress_entry_that_is_none_is_refused(
    key: str, entry: str, problems_of: Problems
) -> None:
    (line,) = problems_of(f'[egress]\n{key} = ["{entry}"]')
    assert line.startswith(f"t.ini:2: [egress] {key}: {entry!r}")


def test_all_problems_are_told_at_once_in_the_order_of_the_file(problems_of: Problems) -> None:
    text = """
server = "http://u:secret@h/"
max_total = 0
[broker]
heartbeat = "x"
[queues.a]
timeout = 0
min_backoff_seconds = 9
max_backoff_seconds = 3
[queues.b]
conc = 1
"""
    lines = problems_of(text, {"WEBHOOK_RUNNER_LOG__LEVEL": "loud"})
    assert sorted(line.split(": ")[0] for line in lines) == [
        "WEBHOOK_RUNNER_LOG__LEVEL", "t.ini:11", "t.ini:2", "t.ini:3", "t.ini:5", "t.ini:7", "t.ini:8",
    ]  # fmt: skip
    numbers = [int(line.split(":")[1]) for line in lines if line.startswith("t.ini")]
    assert numbers == sorted(numbers)
    assert not any("secret" in line for line in lines)


def test_a_rule_over_a_broken_key_is_not_told(problems_of: Problems) -> None:
    assert len(problems_of(Q + 'min_backoff_seconds = "x"\nmax_backoff_seconds = 0')) == 1
    assert len(problems_of('[queues."a b"]\n[queues.""]\n')) == 2


def test_what_is_wrong_within_a_queue_without_a_name_is_told_too(problems_of: Problems) -> None:
    lines = problems_of('[queues."a b"]\nconcurrency = 0\nrate = "often"\n')
    assert [line.split(": ")[0] for line in lines] == ["t.ini:1", "t.ini:2", "t.ini:3"]
