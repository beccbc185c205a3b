"""An httpx client over mutual TLS: asks a server for its front page, and prints what it was told."""

import sys

import httpx

from mutualtls import HOST, PORT, client_context

with httpx.Client(verify=client_context(), timeout=10) as client:
    try:
        response = client.get(f"https://{HOST}:{PORT}/")
    except httpx.TransportError as error:
        print(f"error: {error}")
        sys.exit(1)
text = response.text.strip()
if response.status_code != 200:
    print(f"error: {response.status_code} {text}")
    sys.exit(1)
print(f"ok: {response.status_code} {text}")
