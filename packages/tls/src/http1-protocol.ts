import type { IncomingMessage, Server as HttpServer, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

import { refusalHeaders, refuseHttp1, requestRefusal } from "./http-refusal.ts";
import { createStanding, feed, gateBytes } from "./judged-connection.ts";
import type { Tell } from "./judged-connection.ts";
import { rememberPeer } from "./peer-of.ts";
import type { DrainReason, Protocol } from "./protocol.ts";

/** HTTP/1.1 by a plain `http.Server` of the user's, fed judged connections. */
export function createHttp1Protocol(server: HttpServer): Protocol {
  return {
    accept(socket, peer, session) {
      const standing = createStanding(session);
      const responses = new Set<ServerResponse>();
      let upgraded = 0;
      rememberPeer(socket, peer);
      feed(server, socket, gate);

      function gate(event: string | symbol, args: readonly unknown[], tell: Tell): boolean {
        switch (event) {
          case "request":
          case "checkContinue":
          case "checkExpectation": {
            const [request, response] = args as [IncomingMessage, ServerResponse];
            // Counted before it is asked for: the answer may be a drain, which ends an idle connection at once.
            responses.add(response);
            response.once("close", () => {
              responses.delete(response);
              closeIfIdle();
            });
            if (!standing.mayStart()) return refuse(response);
            gateBytes(request, standing.mayGoOn, cut);
            return tell(event, args);
          }
          case "upgrade":
          case "connect": {
            if (!standing.mayStart()) return cut();
            const [, stream] = args as [IncomingMessage, Duplex];
            rememberPeer(stream, peer);
            upgraded++;
            gateBytes(stream, standing.mayGoOn, cut);
            return tell(event, args);
          }
          default:
            // Timeouts and requests that do not parse: the latter come with bytes of the peer's.
            return standing.mayGoOn() ? tell(event, args) : cut();
        }
      }

      function refuse(response: ServerResponse): true {
        const refused = requestRefusal(standing.ending ?? { kind: "closing" });
        response.writeHead(refused.status, { ...refusalHeaders(refused), connection: "close" });
        response.end(`${refused.text}\n`);
        return true;
      }

      function cut(): true {
        socket.destroy();
        return true;
      }

      function closeIfIdle(): void {
        if (standing.ending !== undefined && callsInFlight() === 0) socket.destroySoon();
      }

      function callsInFlight(): number {
        return responses.size + upgraded;
      }

      return {
        drain(reason: DrainReason) {
          standing.end(reason);
          // Node then says `Connection: close`, where the head of the response has not left yet.
          for (const response of responses) response.shouldKeepAlive = false;
          closeIfIdle();
        },
        activity: () => ({ callsInFlight: callsInFlight() }),
      };
    },
    refuse: refuseHttp1,
  };
}
