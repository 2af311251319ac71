"""The world's sockets: calls in MessagePack-RPC, streams in messages that begin with their size."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carla_bridge.world.server import envelope, messages, rpc, subscriber
from carla_bridge.world.server.call_table import CallTable
from carla_bridge.world.server.messages import RefusedError, Request, Requests, arguments_of
from carla_bridge.world.server.refusals import Refusals, shown
from carla_bridge.world.server.rpc import RpcServer
from carla_bridge.world.server.sockets import PortInUseError
from carla_bridge.world.server.streams import Streams
from carla_bridge.world.server.subscriber import Subscriber
from edge_seg.errors import EdgeSegError

HOST = "127.0.0.1"
LIMIT_S = 10.0
CALLS = CallTable()


def request(method: str, *arguments: Any, number: int = 7) -> bytes:
    """Return a call as CARLA's client sends it."""
    packed: bytes = msgpack.packb([0, number, method, [[False], *arguments]])
    return packed


@CALLS.value("add")
def add(world: list[Any], one: float, other: float) -> float:
    return one + other


@CALLS.void("keep")
def keep(world: list[Any], what: Any) -> None:
    world.append(what)


@CALLS.void("refuse")
def refuse(world: list[Any]) -> None:
    raise envelope.CallError("there is no such actor")


@CALLS.value("unreadable")
def unreadable(world: list[Any]) -> str:
    raise EdgeSegError("the map cannot be read: export it again")


@CALLS.bare("batch")
def batch(world: list[Any], count: int) -> list[object]:
    return [envelope.value(number)[0] for number in range(count)]


@pytest.fixture
def world() -> list[Any]:
    return []


@pytest.fixture
def server(world: list[Any]) -> Iterator[RpcServer]:
    with closing(RpcServer(HOST, 0)) as server:
        server.start(CALLS.bound_to(world))
        yield server


@pytest.fixture
def streams() -> Iterator[Streams]:
    with closing(Streams(HOST, 0)) as streams:
        yield streams


def connect(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=LIMIT_S)


def ask(port: int, *requests: bytes) -> list[Any]:
    """Return the replies to requests sent together."""
    with connect(port) as client:
        client.sendall(b"".join(requests))
        unpacker = msgpack.Unpacker(max_buffer_size=1 << 28)
        replies: list[Any] = []
        while len(replies) < len(requests):
            chunk = client.recv(1 << 16)
            assert chunk, "the server ended the connection"
            unpacker.feed(chunk)
            replies.extend(unpacker)
        return replies


def is_closed(client: socket.socket) -> bool:
    """Return whether the server ends the connection, within the limit."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# Calls


def test_answers_by_hand() -> None:
    # facts: version replies [[1, "0.9.16"]]; success of a call without a value is [[false]]
    assert envelope.value("0.9.16") == [[1, "0.9.16"]]
    assert envelope.error("no") == [[0, ["no"]]]
    assert envelope.void() == [[False]]
    assert envelope.void_error("no") == [[True, ["no"]]]


def test_calls_are_answered_in_order_each_in_its_shape(server: RpcServer, world: list[Any]) -> None:
    replies = ask(
        server.port,
        request("add", 1, 2.5, number=1),
        request("keep", b"\x00\xff", number=2),
        request("refuse", number=3),
        request("batch", 2, number=4),
        request("unreadable", number=2**32 - 1),
    )
    assert replies == [
        [1, 1, None, [[1, 3.5]]],
        [1, 2, None, [[False]]],
        [1, 3, None, [[True, ["there is no such actor"]]]],
        [1, 4, None, [[1, 0], [1, 1]]],
        [1, 2**32 - 1, None, [[0, ["the map cannot be read: export it again"]]]],
    ]
    assert world == [b"\x00\xff"]


def test_a_call_that_cannot_be_used_is_an_error_and_the_next_one_works(
    server: RpcServer, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [
        request("no_such\x1b[2J"),
        request("add", 1),
        request("add", 1, [2]),
        request("add", 1, float("nan")),
        request("add", float("inf"), 1),
        request("keep", {"a": 1}),
        request("keep", [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]),
        msgpack.packb([0, 7, "add", []]),
        msgpack.packb([0, 7, "add", [False, 1, 2]]),
        msgpack.packb([0, 7, "keep", [[False], msgpack.ExtType(4, b"x")]]),
    ]
    *replies, last = ask(server.port, *bad, *bad, request("add", 1, 2))
    for reply in replies:
        ((code, text),) = reply[3]
        assert code in (0, True) and "\x1b" not in text[0]
    assert last == [1, 7, None, [[1, 3]]]
    said = capsys.readouterr().err.splitlines()
    kinds = [line.partition(" (")[0] for line in said]
    assert kinds == sorted(set(kinds), key=kinds.index), "each kind is said once"
    assert set(kinds) == {
        "refused: an unknown method",
        "refused: add, TypeError",
        "refused: add, ValueError",
        "refused: keep, ValueError",
    }
    assert "\x1b" not in "".join(said)


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"\xc1", "no MessagePack (FormatError)"),
        (b"GET / HTTP/1.1\r\n\r\n", "a message that is no request"),
        (msgpack.packb([1, 1, None, 3]), "a message that is no request"),
        (msgpack.packb([2, "notify", []]), "a message that is no request"),
        (msgpack.packb([0, -1, "add", []]), "a request without a number and a method's name"),
        (msgpack.packb([0, True, "add", []]), "a request without a number and a method's name"),
        (msgpack.packb([0, 1, b"add", []]), "a request without a number and a method's name"),
        (msgpack.packb([0, 1, "add", None]), "a request without a list of arguments"),
        (b"\x94\x00\x01\xa1\xff\x90", "no MessagePack (UnicodeDecodeError)"),
        (b"\xdd\xff\xff\xff\xff", "no MessagePack (ValueError)"),
        (b"\x91" * 2000, "no MessagePack (StackError)"),
        (b"\xc0" + request("add", 1, 2), "a message that is no request"),
    ],
)
def test_what_is_no_request_ends_the_connection(
    server: RpcServer, capsys: pytest.CaptureFixture[str], sent: bytes, kind: str
) -> None:
    with connect(server.port) as client:
        client.sendall(sent)
        assert is_closed(client)
    assert ask(server.port, request("add", 1, 2)) == [[1, 7, None, [[1, 3]]]]
    assert f"refused: {kind}" in capsys.readouterr().err


def test_a_text_of_forty_megabytes_comes_through(server: RpcServer, world: list[Any]) -> None:
    text = "é" * 20_000_000
    assert ask(server.port, request("keep", text)) == [[1, 7, None, [[False]]]]
    assert world == [text]


def test_a_list_without_end_is_refused_before_it_fills_the_memory(server: RpcServer) -> None:
    # Of one-byte empty lists, each of which takes 64 bytes in memory.
    begun = b"\x94\x00\x01\xa3add" + b"\xdc\x3f\xff" * 3
    with connect(server.port) as client:
        sent = sent_until_refused(client, begun, b"\x90" * 65536)
    assert sent < 16 * messages.MOST_STRUCTURE_BYTES  # what the sockets' buffers hold included


def sent_until_refused(client: socket.socket, begun: bytes, chunk: bytes) -> int:
    """Return how many bytes of a message of ``chunk`` after ``chunk`` could be sent."""
    client.sendall(begun)
    sent = 0
    try:
        while sent < 4 * messages.MOST_BYTES:
            client.sendall(chunk)
            sent += len(chunk)
    except (ConnectionError, TimeoutError):
        return sent
    raise AssertionError("it was never refused")


def test_a_text_without_end_is_refused(server: RpcServer) -> None:
    begun = b"\x94\x00\x01\xa4keep\x92\x91\xc2\xdb\xff\xff\xff\xff"
    with connect(server.port) as client:
        sent = sent_until_refused(client, begun, b"a" * 65536)
    assert sent < messages.MOST_BYTES + (16 << 20)


def test_large_messages_share_a_limit(server: RpcServer) -> None:
    begun = b"\x94\x00\x01\xa4keep\x92\x91\xc2\xdb\x06\x00\x00\x00"
    half_sent = [connect(server.port) for _ in range(rpc.MOST_LARGE)]
    try:
        for client in half_sent:
            client.sendall(begun + b"a" * (rpc.LARGE_BYTES + 200_000))
        time.sleep(0.3)
        with connect(server.port) as third:
            assert sent_until_refused(third, begun, b"a" * 65536) < 2 * rpc.LARGE_BYTES + (8 << 20)
    finally:
        for client in half_sent:
            client.close()
    large = request("keep", "a" * 2 * rpc.LARGE_BYTES)
    eventually(lambda: _is_answered(server.port, large))


def _is_answered(port: int, message: bytes) -> bool:
    try:
        return bool(ask(port, message))
    except (ConnectionError, AssertionError):
        return False


def test_connections_are_bounded_and_become_free_again(server: RpcServer) -> None:
    clients = [connect(server.port) for _ in range(rpc.MOST_CONNECTIONS)]
    try:
        for client in clients:
            client.sendall(request("add", 1, 2))
            assert client.recv(100)
        with connect(server.port) as refused:
            assert is_closed(refused)
    finally:
        for client in clients:
            client.close()
    eventually(lambda: _is_answered(server.port, request("add", 1, 2)))


def test_close_ends_every_thread_and_connection() -> None:
    before = set(threading.enumerate())
    server = RpcServer(HOST, 0)
    server.start(CALLS.bound_to([]))
    clients = [connect(server.port) for _ in range(5)]
    for client in clients:
        client.sendall(request("add", 1, 2))
        assert client.recv(100)
    server.close()
    for client in clients:
        assert is_closed(client)
        client.close()
    eventually(lambda: set(threading.enumerate()) <= before)
    with closing(RpcServer(HOST, server.port)):
        pass  # the port is free again


def test_who_comes_before_the_world_is_built_waits_for_it() -> None:
    with closing(RpcServer(HOST, 0)) as server, connect(server.port) as early:
        early.sendall(request("add", 1, 2))
        time.sleep(0.05)
        server.start(CALLS.bound_to([]))
        assert msgpack.unpackb(early.recv(100)) == [1, 7, None, [[1, 3]]]


def test_one_method_has_one_function() -> None:
    everything = CallTable()
    everything.include(CALLS)
    assert set(everything.bound_to([])) == {"add", "keep", "refuse", "unreadable", "batch"}
    with pytest.raises(ValueError, match="two functions answer add"):
        everything.include(CALLS)


def test_a_port_in_use_is_one_line(server: RpcServer) -> None:
    with pytest.raises(PortInUseError, match=r"in use.*--port") as raised:
        RpcServer(HOST, server.port)
    assert "\n" not in str(raised.value)
    with pytest.raises(EdgeSegError, match=r"cannot listen.*--host"):
        RpcServer("192.0.2.1", 0)  # TEST-NET-1 (RFC 5737): nobody's address
    with pytest.raises(EdgeSegError, match="65536 does not exist"):
        Streams(HOST, 65536)


@given(
    requests=st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.text(max_size=20), st.lists(st.binary())),
        max_size=5,
    ),
    size=st.integers(1, 50),
)
def test_requests_do_not_depend_on_where_the_chunks_end(
    requests: list[tuple[int, str, list[bytes]]], size: int
) -> None:
    sent = b"".join(
        msgpack.packb([0, number, method, [[True], *arguments]])
        for number, method, arguments in requests
    )
    decoder = Requests()
    chunks = (sent[start : start + size] for start in range(0, len(sent), size))
    got = [found for chunk in chunks for found in decoder.of(chunk)]
    assert [(found.id, found.method, arguments_of(found)) for found in got] == requests
    assert decoder.within_one == 0


@given(st.binary(max_size=300))
def test_any_bytes_give_requests_or_a_refusal(sent: bytes) -> None:
    decoder = Requests()
    try:
        assert all(isinstance(found, Request) for found in decoder.of(sent))
    except RefusedError:
        return
    assert 0 <= decoder.within_one <= len(sent)


def test_what_is_shown_of_a_client_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("naïve\x1b[2J\n") == "na\\xefve\\x1b[2J\\n"
    assert len(shown("x" * 1000)) == 160
    refusals = Refusals()
    for number in range(3000):
        refusals.say(f"kind {number}", "a")
        refusals.say("kind 0", "again")
    assert len(capsys.readouterr().err.splitlines()) == 1000


# Streams


def subscribe(streams: Streams, stream: int) -> socket.socket:
    client = connect(streams.port)
    client.sendall(struct.pack("<I", stream))
    return client


def heard(client: socket.socket) -> bytes:
    """Return the next message's payload."""
    (size,) = struct.unpack("<I", exactly(client, 4))
    return exactly(client, size)


def exactly(client: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        part = client.recv(size - len(read))
        assert part, "the server ended the connection"
        read += part
    return read


def hears_nothing(client: socket.socket) -> bool:
    client.settimeout(0.2)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    return False


def test_a_token_by_hand(streams: Streams) -> None:
    # u32 stream, u16 port, u8 protocol 1 = TCP, u8 address type 0 = the client's own host
    expected = (5).to_bytes(4, "little") + streams.port.to_bytes(2, "little") + b"\x01\x00"
    assert streams.token(5) == expected + bytes(16)
    assert len(streams.token(5)) == 24


def test_parts_become_one_message_for_each_subscriber(streams: Streams) -> None:
    camera, other = streams.open(), streams.open()
    assert camera != other and not streams.has_subscriber(camera)
    with subscribe(streams, camera) as one, subscribe(streams, camera) as two:
        eventually(lambda: len(streams._listening(camera)) == 2)
        streams.send(other, b"nobody hears this")
        streams.send(camera, b"head", memoryview(bytearray(b"pixels")).cast("B", (2, 3)))
        streams.offer(camera, b"second")
        for client in (one, two):
            assert (heard(client), heard(client)) == (b"headpixels", b"second")
    eventually(lambda: not streams.has_subscriber(camera))


def test_a_number_may_come_byte_by_byte(streams: Streams) -> None:
    camera = streams.open()
    with connect(streams.port) as client:
        for byte in struct.pack("<I", camera):
            client.sendall(bytes([byte]))
            time.sleep(0.01)
        eventually(lambda: streams.has_subscriber(camera))


def test_unknown_and_forgotten_streams_stay_connected_and_idle(streams: Streams) -> None:
    camera = streams.open()
    with subscribe(streams, 4_000_000_000) as unknown, subscribe(streams, camera) as known:
        eventually(lambda: streams.has_subscriber(camera))
        streams.forget(camera)
        streams.send(camera, b"late")
        assert not streams.has_subscriber(camera)
        assert hears_nothing(unknown)
        assert hears_nothing(known)


def test_a_late_joiner_is_greeted_before_anything_else(streams: Streams) -> None:
    world, last = streams.open(), [None, b"last"]
    streams.greet(world, lambda: last[0])
    with subscribe(streams, world) as early:
        eventually(lambda: streams.has_subscriber(world))
        assert hears_nothing(early)
    eventually(lambda: not streams.has_subscriber(world))
    last.pop(0)
    with subscribe(streams, world) as late:
        eventually(lambda: streams.has_subscriber(world))
        streams.send(world, b"next")
        assert (heard(late), heard(late)) == (b"last", b"next")


def test_a_tick_waits_for_who_is_expected(streams: Streams) -> None:
    camera = streams.open()
    streams.wait_expected()  # nobody
    clients: list[socket.socket] = []
    for _ in range(3):
        streams.expect(camera)
        late = threading.Timer(0.1, lambda: clients.append(subscribe(streams, camera)))
        late.start()
        streams.wait_expected()
        assert streams.has_subscriber(camera)
        late.join()
        clients.pop().close()
        eventually(lambda: not streams.has_subscriber(camera))


def test_a_tick_does_not_wait_for_ever(streams: Streams) -> None:
    for _ in range(10_000):
        streams.expect(streams.open())
    streams.expect(99_999_999)
    begun = time.monotonic()
    streams.wait_expected()
    assert 0.1 < time.monotonic() - begun < 2.0
    streams.wait_expected()
    assert time.monotonic() - begun < 2.0


def test_a_slow_reader_gets_all_of_a_synchronous_world(streams: Streams) -> None:
    camera, image = streams.open(), bytes(2_000_000)
    with subscribe(streams, camera) as slow:
        eventually(lambda: streams.has_subscriber(camera))

        def send() -> None:
            for number in range(40):
                streams.send(camera, struct.pack("<I", number), image)

        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(0.3)
        assert sender.is_alive(), "it waits: not all of 80 MB may lie in memory"
        numbers = [struct.unpack_from("<I", heard(slow))[0] for _ in range(40)]
        sender.join()
    assert numbers == list(range(40))


def test_a_slow_reader_of_an_asynchronous_world_misses_the_oldest(streams: Streams) -> None:
    camera, image = streams.open(), bytes(2_000_000)
    with subscribe(streams, camera) as slow:
        eventually(lambda: streams.has_subscriber(camera))
        begun = time.monotonic()
        for number in range(100):
            streams.offer(camera, struct.pack("<I", number), image)
        assert time.monotonic() - begun < 1.0
        numbers = []
        while not numbers or numbers[-1] < 99:
            numbers.append(struct.unpack_from("<I", heard(slow))[0])
    assert numbers == sorted(numbers)
    assert 10 < len(numbers) < 40  # what may wait, and what the sockets hold


def test_a_reader_that_hangs_holds_the_world_up_once(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "PATIENCE_S", 0.3)
    camera, image = streams.open(), bytes(8_000_000)
    with subscribe(streams, camera), subscribe(streams, camera) as healthy:
        eventually(lambda: len(streams._listening(camera)) == 2)
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.extend(heard(healthy)[:1] for _ in range(30)))
        reader.start()
        begun = time.monotonic()
        for number in range(30):
            streams.send(camera, bytes([number]), image)
        assert 0.2 < time.monotonic() - begun < 4.0
        reader.join(LIMIT_S)
    assert got == [bytes([number]) for number in range(30)]


def test_readers_that_come_and_go_leave_nothing_behind(streams: Streams) -> None:
    camera = streams.open()
    threads = threading.active_count()
    for _ in range(200):
        with subscribe(streams, camera):
            pass
    for _ in range(20):
        connect(streams.port).close()
    streams.send(camera, b"x")
    eventually(lambda: not streams.has_subscriber(camera))
    eventually(lambda: threading.active_count() <= threads)


def test_a_reader_that_went_keeps_its_number_until_it_is_let_go() -> None:
    # Closed any earlier, the number would go to another connection, which the lobby still knows.
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    subscriber = Subscriber(ours)
    theirs.close()
    subscriber.send((b"image",))
    subscriber.send((b"image",))
    time.sleep(0.05)
    assert ours.fileno() >= 0
    subscriber.close()
    deadline = time.monotonic() + 10.0
    while ours.fileno() >= 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ours.fileno() == -1
