import { constants } from "node:http2";
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream } from "node:http2";

import { refusalHeaders, refuseHttp2, requestRefusal } from "./http-refusal.ts";
import { createStanding, feed, gateBytes } from "./judged-connection.ts";
import type { Tell } from "./judged-connection.ts";
import { rememberPeer } from "./peer-of.ts";
import type { DrainReason, Protocol } from "./protocol.ts";

/** HTTP/2 by a plain `http2.createServer()` of the user's, fed judged connections. */
export function createHttp2Protocol(server: Http2Server): Protocol {
  return {
    accept(socket, peer, session) {
      const standing = createStanding(session);
      const streams = new Set<ServerHttp2Stream>();
      let connection: ServerHttp2Session | undefined;
      feed(server, socket, gate);

      function gate(event: string | symbol, args: readonly unknown[], tell: Tell): boolean {
        switch (event) {
          case "session":
            [connection] = args as [ServerHttp2Session];
            return tell(event, args);
          // Node's compatibility layer makes its requests out of this one event.
          case "stream": {
            const [stream] = args as [ServerHttp2Stream];
            streams.add(stream);
            stream.once("close", () => streams.delete(stream));
            if (!standing.mayStart()) return refuse(stream);
            rememberPeer(stream, peer);
            gateBytes(stream, standing.mayGoOn, cut);
            return tell(event, args);
          }
          default:
            return standing.mayGoOn() ? tell(event, args) : cut();
        }
      }

      function refuse(stream: ServerHttp2Stream): true {
        const refused = requestRefusal(standing.ending ?? { kind: "closing" });
        stream.on("error", () => {});
        stream.respond({ ":status": refused.status, ...refusalHeaders(refused) });
        stream.end(`${refused.text}\n`);
        return true;
      }

      function cut(): true {
        socket.destroy();
        return true;
      }

      return {
        drain(reason: DrainReason) {
          standing.end(reason);
          if (connection === undefined || connection.destroyed) return;
          if (reason.kind === "refused") {
            const { text } = requestRefusal(reason);
            connection.goaway(goawayCode(reason), 0, Buffer.from(text));
          }
          // Sends GOAWAY, and ends the connection when its last stream has ended.
          connection.close();
        },
        activity: () => ({ callsInFlight: streams.size }),
      };
    },
    refuse: refuseHttp2,
  };
}

/** An error code makes a client give up its calls in flight, which have a grace where nothing was revoked. */
function goawayCode({ refusal }: DrainReason & { kind: "refused" }): number {
  return refusal.code === "CERTIFICATE_REVOKED"
    ? constants.NGHTTP2_INADEQUATE_SECURITY
    : constants.NGHTTP2_NO_ERROR;
}
