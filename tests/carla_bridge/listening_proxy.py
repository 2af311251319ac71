"""Between a CARLA client and its server: notes every call that the client makes, by its name.

    with listening_proxy(server_port, tmp_path) as (port, calls):
        ...                     # connect to port
    calls()                     # {"version", "get_episode_info", ...}

A process of its own, as a thread would wait for the lock that CARLA's client holds while it waits.
With ``version`` it answers that call itself. The framing is msgpack-rpc: a request is an array
[0, id, method, arguments], with no length before it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgpack

BLOCK = 1 << 16


@contextmanager
def listening_proxy(
    server_port: int, folder: Path, version: str = ""
) -> Iterator[tuple[int, Callable[[], set[str]]]]:
    """Yield the port to connect to, and what returns the names of the calls until now."""
    log = folder / "calls.txt"
    log.touch()
    command = [sys.executable, __file__, str(server_port), str(log), version]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), lambda: set(log.read_text().split())
        finally:
            process.kill()


def serve(server_port: int, log: Path, version: str) -> None:
    """Accept clients for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener, open(log, "a") as names:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            threading.Thread(
                target=_between, args=(client, server_port, names, version), daemon=True
            ).start()


def _between(client: socket.socket, server_port: int, names: object, version: str) -> None:
    server = socket.create_connection(("127.0.0.1", server_port))
    for end in (client, server):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=_answers, args=(server, client), daemon=True).start()
    requests = msgpack.Unpacker(max_buffer_size=1 << 28, raw=False, strict_map_key=False)
    while block := client.recv(BLOCK):
        requests.feed(block)
        for _, id, method, arguments in requests:
            print(method, file=names, flush=True)  # type: ignore[call-overload]
            if version and method == "version":
                client.sendall(msgpack.packb([1, id, None, [[1, version]]]))
            else:
                server.sendall(msgpack.packb([0, id, method, arguments]))
    server.shutdown(socket.SHUT_RDWR)


def _answers(server: socket.socket, client: socket.socket) -> None:
    while block := server.recv(BLOCK):
        client.sendall(block)
    client.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
