"""What goes in and out of a connection: nothing is read while enough is here, and what a client leaves unread is known."""

from __future__ import annotations

from uvicorn.protocols.http.flow_control import FlowControl

from flyball.serving.connections import NOTHING, Unread, unread
from flyball.serving.sockets import reset, unsent

#: bytes parsed before it is asked whether there is enough to do; requests of one slice are kept as they are parsed,
#: the bytes after it as they came.
SLICE = 8 * 1024


class Flow(FlowControl):
    """uvicorn's flow control, with limits."""

    #: reading stays paused, whoever asks for more.
    full = False
    #: of the answers written, when it was last looked.
    unread: Unread = NOTHING

    def hold(self) -> None:
        self.full = True
        self.pause_reading()

    def release(self) -> None:
        self.full = False
        self.resume_reading()

    def resume_reading(self) -> None:
        if not self.full:
            super().resume_reading()

    def resume_writing(self) -> None:
        self.unread = NOTHING
        super().resume_writing()

    def look(self, now_s: float) -> Unread:
        """What the client has still to take; where bytes wait here, those that the kernel keeps count too."""
        transport = self._transport
        size = transport.get_write_buffer_size() if self.write_paused or transport.is_closing() else 0
        if size:
            size += unsent(transport.get_extra_info("socket"))
        self.unread = unread(self.unread, size, now_s)
        return self.unread

    def cut(self) -> None:
        """End the connection; what the client has not taken is thrown away, else the kernel would keep it and try on."""
        reset(self._transport.get_extra_info("socket"))
        self._transport.abort()
