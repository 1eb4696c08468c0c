"""Listening sockets: bound once by the parent, shared by all workers."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import resource
import select
import socket
import struct
import sys
import termios
from ipaddress import ip_address

from flyball.errors import Unavailable

BACKLOG = 2048
#: ports that `bind_free` tries after the one asked for.
NEXT_PORTS = 20
#: Linux' option that filters what a socket receives (asm/socket.h), which Python does not name.
_SO_ATTACH_FILTER = 26
#: A filter of four steps: load the byte of TCP flags; if SYN is set, take nothing of the packet; else all of it.
_NO_SYN = b"".join(
    struct.pack("HBBI", *step)
    for step in ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 2**32 - 1))
)
#: open files that a process asks for, where it may have more.
OPEN_FILES = 65_536


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Unavailable, naming the port and the mend."""
    try:
        return _listen(host, port)
    except OSError as error:
        mend = (
            f"another program listens there; stop it, or choose another port with --port {port + 1}"
            if error.errno == errno.EADDRINUSE
            else "choose another with --host and --port"
        )
        raise Unavailable(f"cannot listen on {host}:{port} ({error.strerror or error}): {mend}") from error


def bind_free(host: str, port: int) -> socket.socket:
    """A listening socket on `port`, or on the first free one of the 20 after it. `address` tells which it became."""
    for candidate in range(port, min(port + NEXT_PORTS, 65535) + 1):
        try:
            return _listen(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Unavailable(f"cannot listen on {host}:{candidate}: {error.strerror or error}") from error
    raise Unavailable(f"ports {port} to {port + NEXT_PORTS} of {host} are all taken; choose another with --port")


def address(listening: socket.socket) -> tuple[str, int]:
    """Host and port of a listening socket."""
    host, port = listening.getsockname()[:2]
    return host, port


def is_local(listening: socket.socket) -> bool:
    """Whether only this machine can reach a listening socket."""
    return ip_address(address(listening)[0].partition("%")[0]).is_loopback


def refuse_new(listening: socket.socket) -> None:
    """Let nobody connect any more, in any process that shares the socket; those who have are accepted as ever.

    Closing would reset connections that wait to be accepted, requests in them, and so would `shutdown`. Here a packet
    that wants to connect is ignored: its sender tries again after a second, and is refused if the port is closed then.
    Only Linux knows a means; elsewhere this does nothing.
    """
    if sys.platform != "linux":
        return
    steps = ctypes.create_string_buffer(_NO_SYN, len(_NO_SYN))
    program = struct.pack("HL", len(_NO_SYN) // 8, ctypes.addressof(steps))
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:
        pass  # a kernel without filters, or a socket that was closed: it ends less gently


def readable(fd: int) -> bool:
    """Whether a socket has something to read now: bytes, their end, or, of a listening one, a connection to accept."""
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    return bool(waiting.poll(0))


def allow_open_files() -> int:
    """Raise this process's limit of open files to what it may have, at most 65,536; the limit that it has now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else OPEN_FILES
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft  # a kernel may allow less than it says
    return wanted


def unsent(connected: socket.socket) -> int:
    """Bytes that the kernel keeps of what was written, since the other side has not taken them; 0 where it does not say."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
    except OSError:
        return 0


def reset(connected: socket.socket) -> None:
    """Let the next close throw away what was not taken."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    listening = socket.socket(family, kind, protocol)
    try:
        # A restart need not wait until the last connections of the old server have timed out.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
