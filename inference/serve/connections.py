"""A connection of the server that is closed when nothing is asked over it."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 10.0  # until a request's head must have arrived, from the connection or the last answer on


class Connection(H11Protocol):
    """uvicorn's, which waits for a first request without end and reads on after it refused a body.

    Each connection takes one of those that the server has, so a few that never ask would keep out all others.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._await_request()

    def on_response_complete(self) -> None:
        """See uvicorn."""
        super().on_response_complete()
        self._await_request()

    def _await_request(self) -> None:
        last = self.cycle
        self.loop.call_later(REQUEST_SECONDS, lambda: self.transport.close() if self.cycle is last else None)
