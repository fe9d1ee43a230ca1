"""What a stranger may send before a request is one, tried with bare sockets on a real server."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from graph.settings.configured import new_key
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import patience, wait_until
from tests.support.servers.server_process import SERVE, ServerProcess, serving

#: Bytes that an attack sends, unless it is stopped, and how much a server may grow by them.
ATTACK, GROWTH = 64 * 2**20, 20 * 2**20

PIECE = 64 * 1024


@pytest.fixture(scope="module")
def key() -> tuple[str, str]:
    text, entry = new_key("alice")
    return text, str(entry)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, key: tuple[str, str]
) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("server"), api_keys=key[1]) as started:
        yield started


def connect(server: ServerProcess) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=patience())


def answer_to(server: ServerProcess, *parts: bytes) -> bytes:
    """All that is answered until the server closes, also where it closes before all is sent."""
    with closing(connect(server)) as connection:
        with suppress(OSError):
            for part in parts:
                connection.sendall(part)
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionError):
        while piece := connection.recv(PIECE):
            received += piece
    return received


def request(path: str, *lines: str, method: str = "GET") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]
    return "\r\n".join(head).encode()


def memory(server: ServerProcess) -> int:
    """What the process has in memory, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def endless(piece: bytes) -> list[bytes]:
    return [piece * (PIECE // len(piece))] * (ATTACK // PIECE)


JSON = "Content-Type: application/json"
CHUNKED = request("/runs", "Transfer-Encoding: chunked", JSON, method="POST")
ATTACKS: dict[str, Callable[[], list[bytes]]] = {
    "lines of a head": lambda: [b"GET / HTTP/1.1\r\n", *endless(b"x-a: b\r\n")],
    "one line": lambda: [b"GET / HTTP/1.1\r\nx-a: ", *endless(b"b")],
    "the name of a line": lambda: [b"GET / HTTP/1.1\r\n", *endless(b"b")],
    "a path": lambda: [b"GET /", *endless(b"a")],
    "a query": lambda: [b"GET /?", *endless(b"a=b&")],
    "empty lines": lambda: endless(b"\r\n"),
    "trailers": lambda: [CHUNKED, b"1\r\nx\r\n0\r\n", *endless(b"x-a: b\r\n")],
    "one trailer": lambda: [CHUNKED, b"0\r\nx-a: ", *endless(b"b")],
    "a chunk's extension": lambda: [CHUNKED, b"1;", *endless(b"a")],
}


def test_what_is_no_request_yet_is_bounded(server: ServerProcess) -> None:
    """All of them at once: the server waits two seconds for the rest of each before it closes."""
    before = memory(server)
    with ThreadPoolExecutor(len(ATTACKS)) as attackers:
        sent = [attackers.submit(answer_to, server, *attack()) for attack in ATTACKS.values()]
        answers = {name: one.result() for name, one in zip(ATTACKS, sent, strict=True)}
    assert memory(server) - before < GROWTH
    # Where the whole head was there, its caller has an answer already: no key came with it.
    refused = (b"HTTP/1.1 431", b"HTTP/1.1 400", b"HTTP/1.1 401")
    assert {name: one for name, one in answers.items() if one and not one.startswith(refused)} == {}
    assert server.client.get("/health/live").status_code == 200


def taken(server: ServerProcess, head: bytes, piece: bytes) -> int | None:
    """The bytes of a body that are taken before the connection is closed; None where all are."""
    count = 0
    with closing(connect(server)) as connection:
        connection.sendall(head)
        received = connection.recv(PIECE)  # the answer, ahead of all of the body
        assert received.startswith(b"HTTP/1.1 ")
        with suppress(ConnectionError):
            for pieces in endless(piece):
                connection.sendall(pieces)
                count += len(pieces)
            return None
    return count


LONG = f"Content-Length: {10**12}"


#: Heads that are answered before their bodies, and what these are made of.
BODIES = {
    "no key": (request("/runs", LONG, JSON, method="POST"), b"x"),
    "health": (request("/health/live", LONG), b"x"),
    "no key, in chunks": (CHUNKED, b"1000\r\n%s\r\n" % (b"x" * 4096)),
    "no key, in small chunks": (CHUNKED, b"10\r\n%s\r\n" % (b"x" * 16)),
    "health, in chunks": (
        request("/health/live", "Transfer-Encoding: chunked"),
        b"400\r\n%s\r\n" % (b"x" * 1024),
    ),
}


def test_the_body_of_a_request_that_has_its_answer_is_bounded(server: ServerProcess) -> None:
    before = memory(server)
    with ThreadPoolExecutor(len(BODIES)) as senders:
        sent = [senders.submit(taken, server, *body) for body in BODIES.values()]
        counts = {name: one.result() for name, one in zip(BODIES, sent, strict=True)}
    # What lies between the two processes is counted too.
    unbounded = {name for name, count in counts.items() if count is None or count >= GROWTH}
    assert unbounded == set()
    assert memory(server) - before < GROWTH


def test_a_connection_whose_request_was_answered_early_serves_the_next(
    server: ServerProcess,
) -> None:
    """Where the rest of its body is no larger than others."""
    body = b"x" * 60_000
    with closing(connect(server)) as connection:
        for _ in range(8):
            head = request("/runs", f"Content-Length: {len(body)}", JSON, method="POST")
            connection.sendall(head)
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(PIECE)
            assert answer.startswith(b"HTTP/1.1 401")
            connection.sendall(body)
        connection.sendall(request("/health/live", "Connection: close"))
        assert rest(connection).startswith(b"HTTP/1.1 200")


def test_a_body_may_come_in_parts_but_not_in_small_ones_only(
    server: ServerProcess, key: tuple[str, str]
) -> None:
    """What stands around its parts costs as much to read as they do."""
    lines = ("Transfer-Encoding: chunked", JSON, f"X-Api-Key: {key[0]}", "Connection: close")
    head = request("/runs", *lines, method="POST")
    body = b'{"prompt": "2 + 2"}'.ljust(48_000)

    def in_parts(size: int, end: int = len(body)) -> list[bytes]:
        return [body[start : start + size] for start in range(0, end, size)]

    few = [*in_parts(1, 250), body[250:]]
    for parts, status in (
        (in_parts(1), b"431"),
        (in_parts(16), b"431"),
        (in_parts(40), b"431"),
        (in_parts(64), b"201"),
        (few, b"201"),
    ):
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
        answer = answer_to(server, head, chunks, b"0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(("count", "status"), [(98, b"200"), (99, b"431"), (5_000, b"431")])
def test_the_lines_of_a_head_and_of_trailers_are_counted(
    server: ServerProcess, count: int, status: bytes
) -> None:
    """With the two that are there anyway, there may be a hundred."""
    lines = ["a:b"] * count
    in_head = answer_to(server, request("/health/live", *lines, "Connection: close"))
    assert in_head.startswith(b"HTTP/1.1 " + status)
    trailers = "".join(f"{line}\r\n" for line in lines).encode()
    head = request("/health/live", "Transfer-Encoding: chunked")
    behind = request("/health", "Connection: close")
    in_trailers = answer_to(server, head + b"0\r\n" + trailers + b"\r\n" + behind)
    assert in_trailers.startswith(b"HTTP/1.1 " + status)
    assert (b"models" in in_trailers) == (status == b"200")


def test_a_head_that_is_too_large_is_told_with_the_limit(server: ServerProcess) -> None:
    answer = answer_to(server, request("/health/live", f"x-long: {'a' * 40_000}"))
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"application/problem+json" in answer
    assert b"urn:runwright:problem:head-too-large" in answer
    assert b"connection: close" in answer


def test_what_is_no_http_is_told_as_a_problem(server: ServerProcess) -> None:
    answer = answer_to(server, b"hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"urn:runwright:problem:malformed" in answer


def test_a_key_in_a_trailer_is_no_key(server: ServerProcess, key: tuple[str, str]) -> None:
    body = b"0\r\n" + f"x-api-key: {key[0]}\r\n\r\n".encode()
    head = request("/runs", "Transfer-Encoding: chunked", "Connection: close")
    for parts in ([head, body], [head + body]):
        assert answer_to(server, *parts).startswith(b"HTTP/1.1 401")
    told = request("/runs", f"x-api-key: {key[0]}", "Connection: close")
    assert answer_to(server, told).startswith(b"HTTP/1.1 200")


def test_requests_sent_ahead_are_answered_in_order(server: ServerProcess) -> None:
    paths = ["/health/live", "/nothing", "/health/live", "/health/ready"]
    ahead = b"".join(request(path) for path in paths) + request("/", "Connection: close")
    answers = answer_to(server, ahead).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers[:4]] == [b"200", b"401", b"200", b"200"]
    assert len(answers) == 5


def test_what_comes_behind_a_request_for_another_protocol_is_answered(
    server: ServerProcess,
) -> None:
    upgrade = request("/health/live", "Upgrade: h2c", "Connection: Upgrade")
    answer = answer_to(server, upgrade * 2 + request("/health/live", "Connection: close"))
    assert answer.count(b"HTTP/1.1 200") == 3


def test_a_connection_on_which_some_are_always_ahead_is_kept(server: ServerProcess) -> None:
    """With three under way all the time, however many there have been."""
    one = request("/health/live", f"a: {'b' * 400}")
    with closing(connect(server)) as connection:
        connection.sendall(one * 3)
        received, answered = b"", 0
        while answered < 2_000 and (piece := connection.recv(PIECE)):
            received += piece
            more = received.count(b"HTTP/1.1 200") - answered
            connection.sendall(one * more)
            answered += more
        assert answered >= 2_000


def test_only_so_many_are_kept_that_are_sent_ahead(server: ServerProcess) -> None:
    before = memory(server)
    answer = answer_to(server, request("/health/live") * 100_000)
    assert memory(server) - before < GROWTH
    assert 1 <= answer.count(b"HTTP/1.1 200 OK") < 100_000


HOSTS = {
    "http://evil.example": b"403",
    "http://evil.example:80": b"403",
    "https://me@localhost": b"403",
    "HTTP://localhost": b"200",
    "http://127.0.0.1:8000": b"200",
}


@pytest.mark.parametrize("host", HOSTS)
def test_the_host_that_a_whole_address_names_is_the_one_that_counts(
    server: ServerProcess, host: str
) -> None:
    for named in ("localhost", "evil.example"):
        head = f"GET {host}/health/live HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\n\r\n"
        assert answer_to(server, head.encode()).startswith(b"HTTP/1.1 " + HOSTS[host])
    without = f"GET {host}/health/live HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert answer_to(server, without.encode()).startswith(b"HTTP/1.1 403")


def test_what_is_no_http_fills_no_log(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        for _ in range(50):
            assert answer_to(server, b"hello\r\n\r\n").startswith(b"HTTP/1.1 400")
            upgrade = request("/health/live", "Upgrade: h2c", "Connection: Upgrade, close")
            assert answer_to(server, upgrade).startswith(b"HTTP/1.1 200")
        server.client.get("/health")
        server.terminate()
        lines = [line for line in server.lines if "warning" in line]
    [line] = [line for line in lines if "127.0.0.1" in line]
    assert "malformed requests refused" in line
    assert not [line for line in lines if "upgrade" in line or "Invalid" in line]


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose answer to one request comes when the test says so."""
    limits = {"max_head": "4096", "max_body": "1024"}
    with serving(tmp_path_factory.mktemp("server"), tools=GATE, **limits) as started:
        yield started


def answers_behind_one(server: ServerProcess, gate: str, *ahead: bytes) -> list[bytes]:
    """All answers, where these were sent while the first one was awaited."""
    body = f'{{"prompt": "pass gate {gate}"}}'.encode()
    with closing(connect(server)) as connection:
        head = request("/runs/wait", f"Content-Length: {len(body)}", JSON, method="POST")
        connection.sendall(head + body)
        wait_until(lambda: server.client.get("/runs", params={"status": "running"}).json()["runs"])
        with suppress(OSError):
            for part in ahead:
                connection.sendall(part)
        server.open_gate(gate)
        return rest(connection).split(b"HTTP/1.1 ")[1:]


def test_only_a_few_wait_for_the_answer_to_another(gated: ServerProcess) -> None:
    answers = answers_behind_one(gated, "few", request("/health/live") * 100)
    assert [answer[:3] for answer in answers] == [b"201", *[b"200"] * 4]


def test_only_so_many_bytes_wait_for_the_answer_to_another(gated: ServerProcess) -> None:
    """As many as one request may have: here 5 kB, with its body."""
    ahead = request("/health/live", f"a: {'b' * 2_000}")
    answers = answers_behind_one(gated, "bytes", ahead * 3)
    assert [answer[:3] for answer in answers] == [b"201", b"200", b"200"]


def test_what_is_no_http_behind_another_request_ends_the_connection(gated: ServerProcess) -> None:
    post = request("/runs", "Transfer-Encoding: chunked", JSON, method="POST")
    answers = answers_behind_one(gated, "broken", post + b"1\r\n{\r\nzz\r\n")
    assert [answer[:3] for answer in answers] == [b"201"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with little patience and few places."""
    limits = {"head_timeout": "0.5", "body_rate": "1000", "max_connections_per_address": "20"}
    with serving(tmp_path_factory.mktemp("server"), **limits) as started:
        yield started


HALVES = {
    "nothing": b"",
    "a line": b"GET / HTTP/1.1\r\n",
    "half a line": b"GET /hea",
    "empty lines": b"\r\n\r\n",
    "no body": request("/runs", "Content-Length: 100", JSON, method="POST"),
    "half a body": request("/runs", "Content-Length: 100", JSON, method="POST") + b'{"prompt',
    "half a second request": request("/health/live") + b"GET / HTTP/1.1\r\nx-a",
}


@pytest.mark.parametrize("half", HALVES)
def test_what_is_half_sent_is_closed(small: ServerProcess, half: str) -> None:
    answer = answer_to(small, HALVES[half])
    if half in ("nothing", "empty lines"):
        assert answer == b""
    else:
        assert b"HTTP/1.1 408" in answer
        assert b"urn:runwright:problem:too-slow" in answer


def test_connections_are_bounded_and_the_server_is_seen_to_live(small: ServerProcess) -> None:
    small.client.get("/health/live", headers={"connection": "close"})
    with ExitStack() as opened:
        held = [opened.enter_context(closing(connect(small))) for _ in range(20)]

        def taken() -> bool:
            # Those that were there before have gone, and these are all.
            for connection in held:
                with suppress(OSError):
                    connection.sendall(b"GET /runs/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return answer_to(small, request("/runs")).startswith(b"HTTP/1.1 503")

        wait_until(taken)
        alive = answer_to(small, request("/health/live"))
        refused = answer_to(small, request("/runs"))
    assert alive.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in alive
    assert b"urn:runwright:problem:too-many-connections" in refused
    assert "127.0.0.1" in small.logs("connections refused")
    wait_until(
        lambda: answer_to(small, request("/runs", "Connection: close")).startswith(b"HTTP/1.1 200")
    )


def test_no_more_are_let_in_than_files_may_be_open(tmp_path: Path) -> None:
    """However many are configured, and whatever the limit is: 40 here."""
    command = ["bash", "-c", 'ulimit -n 296; exec "$@"', "serve", *SERVE]
    with serving(tmp_path, command) as server, ExitStack() as opened:
        for _ in range(60):
            connection = opened.enter_context(closing(connect(server)))
            connection.sendall(request("/runs/stream"))
        assert answer_to(server, request("/runs")).startswith(b"HTTP/1.1 503")
        assert answer_to(server, request("/health/live")).startswith(b"HTTP/1.1 200")


def test_an_idle_connection_is_closed_however_slow_bodies_may_be(tmp_path: Path) -> None:
    """Also one that sends empty lines after its answer, by which the server's own wait ends."""
    limits = {"head_timeout": "0.5", "body_rate": "0"}
    with serving(tmp_path, **limits) as server, closing(connect(server)) as connection:
        connection.sendall(request("/health/live"))
        assert connection.recv(PIECE).startswith(b"HTTP/1.1 200")
        connection.settimeout(patience(10))
        connection.sendall(b"\r\n")
        assert rest(connection).count(b"HTTP/1.1") == 0
