"""`PageConnection`: refuses the websockets on which Voilà hangs. Only Voilà imports this module."""

from __future__ import annotations

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.web import Finish

PROTOCOL = "v1.kernel.websocket.jupyter.org"


class PageConnection(ZMQChannelsWebsocketConnection):  # type: ignore[misc]
    """A kernel's connection to a page whose websocket offers Jupyter's v1 subprotocol.

    Voilà reads every binary message as one of that subprotocol. One in the format that is used
    without it would make Voilà fill the memory: see docs/upstream.md.
    """

    async def prepare(self) -> None:
        """Check the offer before the handshake is answered. Raises Finish to refuse it."""
        headers = self.websocket_handler.request.headers
        offered = ",".join(headers.get_list("Sec-WebSocket-Protocol")).split(",")
        if PROTOCOL not in map(str.strip, offered):
            # An HTTPError would be shown with templates of Jupyter that Voilà cannot fill.
            self.websocket_handler.set_status(400)
            raise Finish(f"The websocket must offer the subprotocol {PROTOCOL}.")
        await super().prepare()
