"""FastAPI on uvicorn over mutual TLS: greets its callers by name, and prints who called.

uvicorn does not tell an application who its client is: the protocol class below does. Of the clients that are
refused during the handshake asyncio says nothing.
"""

import asyncio
import socket

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from mutualtls import HOST, PORT, identity, server_context

app = FastAPI()


@app.get("/", response_class=PlainTextResponse)
async def greet(request: Request) -> str:
    caller = request.scope["caller"]
    print(f"accepted: {caller}", flush=True)
    return f"hello {caller}\n"


class IdentifiedProtocol(H11Protocol):
    """Puts the SPIFFE id of the connection's client certificate into the scope of each request."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        certificate = transport.get_extra_info("peercert") or {}
        caller = identity(list(certificate.get("subjectAltName", ())))
        application = self.app

        async def identified(scope, receive, send):
            await application({**scope, "caller": caller}, receive, send)

        self.app = identified


listener = socket.create_server((HOST, PORT))
config = uvicorn.Config(app, http=IdentifiedProtocol, log_level="warning", lifespan="off")
config.load()
config.ssl = server_context()
print(f"listening: {HOST}:{listener.getsockname()[1]}", flush=True)
asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
