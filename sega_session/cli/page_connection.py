"""End the kernels of pages that are gone, and refuse what Voilà cannot answer.

Only Voilà imports this module.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.ioloop import IOLoop
from tornado.web import Finish

PROTOCOL = "v1.kernel.websocket.jupyter.org"

GOING_AWAY = 1001
"""The code with which browsers close the websockets of a page that is left or loaded again."""

CLOSED = 1.0
"""Seconds that a kernel outlives its page, for the page's last messages."""

LOST = 60.0
"""Seconds that a kernel waits for a page that it has lost, or that never came, to connect."""


class PageKernels(AsyncMappingKernelManager):  # type: ignore[misc]
    """Kernels that end soon after their pages, whatever they are doing.

    Voilà starts a kernel for each page that is loaded. What was edited is in the folder of the
    sessions by then, and the next page goes on with it.
    """

    async def start_kernel(self, **options: Any) -> str:
        """Start a kernel, which ends if no page connects to it."""
        kernel: str = await super().start_kernel(**options)
        # Until then a page is not told that its kernel has crashed.
        self.add_restart_callback(kernel, lambda: self.end_later(kernel, 0, crashed=True), "dead")
        self.end_later(kernel, LOST)
        return kernel

    async def shutdown_kernel(
        self, kernel_id: str, now: bool = True, restart: bool = False
    ) -> None:
        """End a kernel at once.

        Files are replaced atomically, so nothing is left half written. A kernel that is asked to
        end prints tracebacks if it is still loading.
        """
        await super().shutdown_kernel(kernel_id, now=now, restart=restart)

    def end_later(self, kernel: str, seconds: float, *, crashed: bool = False) -> None:
        """End a kernel in some seconds if no page is connected to it then.

        Args:
            kernel: its id.
            seconds: how long to wait.
            crashed: it has ended by itself, so that a page that is connected does not matter.
        """

        async def end() -> None:
            if kernel in self and (crashed or not self.kernel_model(kernel)["connections"]):
                await self.shutdown_kernel(kernel)

        IOLoop.current().call_later(seconds, end)


class PageConnection(ZMQChannelsWebsocketConnection):  # type: ignore[misc]
    """A kernel's connection to a page whose websocket offers Jupyter's v1 subprotocol.

    Voilà reads every binary message as one of that subprotocol. One in the format that is used
    without it would make Voilà fill the memory: see docs/upstream.md.
    """

    _connected = False

    async def prepare(self) -> None:
        """Check the offer before the handshake is answered. Raises Finish to refuse it."""
        headers = self.websocket_handler.request.headers
        offered = ",".join(headers.get_list("Sec-WebSocket-Protocol")).split(",")
        if PROTOCOL not in map(str.strip, offered):
            # An HTTPError would be shown with templates of Jupyter that Voilà cannot fill.
            self.websocket_handler.set_status(400)
            raise Finish(f"The websocket must offer the subprotocol {PROTOCOL}.")
        await super().prepare()
        if self.websocket_handler.connection is not self:
            raise Finish  # the page was left meanwhile

    def connect(self) -> Any:
        """Connect the page to the kernel, once the handshake is answered."""
        self._connected = True
        return super().connect()

    def disconnect(self) -> None:
        """Close the connection, and end the kernel unless the page connects again."""
        super().disconnect()
        left = self.websocket_handler.close_code == GOING_AWAY
        if not self._connected:
            # The page was left during the handshake. Jupyter has counted the end of a connection
            # whose beginning it never counted.
            self.multi_kernel_manager.notify_connect(self.kernel_id)
            left = True
        self.multi_kernel_manager.end_later(self.kernel_id, CLOSED if left else LOST)
