"""Listening sockets, and a port that is taken told in one line."""

from __future__ import annotations

import contextlib
import errno
import socket

from edge_seg.errors import EdgeSegError, in_one_line


class PortInUseError(EdgeSegError):
    """Somebody else listens there."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at ``host:port`` (0: any free port).

    Raises `PortInUseError` where the port is taken, `EdgeSegError` where ``host`` is none of ours.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=256)
    except OverflowError:
        raise EdgeSegError(f"port {port} does not exist: choose one from 1 to 65534") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"port {port} of {host} is in use, perhaps by another world: end that one, "
                "or choose another --port"
            ) from error
        reason = in_one_line(error)
        raise EdgeSegError(
            f"cannot listen at {host}:{port} ({reason}): choose another --host or --port"
        ) from error


def tune(connection: socket.socket) -> None:
    """Have small messages leave at once: a tick is a chain of them (Nagle, RFC 896)."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def shut(connection: socket.socket) -> None:
    """End a connection for whoever waits in it, too: `close` alone tells neither end."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
