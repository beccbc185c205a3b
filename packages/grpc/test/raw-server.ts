// A server of HTTP/2 frames written out by hand, for what no engine would do.
import { once } from "node:events";
import net from "node:net";

/** A frame that arrived. */
export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
}

/** One connection, from its first frame on. */
export interface RawConnection {
  send(type: number, options?: RawFrameOptions): void;
  end(): void;
  /** When it was accepted, by performance.now(). */
  readonly startedAt: number;
}

export interface RawFrameOptions {
  readonly flags?: number;
  readonly stream?: number;
  readonly payload?: Uint8Array;
}

/** Listens on a free port, and tells of each connection and each of its frames. */
export async function rawServer(
  onFrame: (connection: RawConnection, frame: RawFrame) => void,
): Promise<
  {
    readonly address: { readonly host: string; readonly port: number };
    readonly connections: readonly RawConnection[];
  } & AsyncDisposable
> {
  const sockets = new Set<net.Socket>();
  const connections: RawConnection[] = [];
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    const connection: RawConnection = {
      startedAt: performance.now(),
      send: (type, options = {}) => socket.write(encode(type, options)),
      end: () => socket.end(),
    };
    connections.push(connection);
    let bytes = Buffer.alloc(0);
    let at = preface;
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= at + 9) {
        const end = at + 9 + bytes.readUIntBE(at, 3);
        if (bytes.length < end) return;
        const [type, flags] = [bytes.readUInt8(at + 3), bytes.readUInt8(at + 4)];
        onFrame(connection, { type, flags, stream: bytes.readUInt32BE(at + 5) });
        at = end;
      }
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    address: { host: "127.0.0.1", port: (server.address() as net.AddressInfo).port },
    connections,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function encode(
  type: number,
  { flags = 0, stream = 0, payload = new Uint8Array(0) }: RawFrameOptions,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** The payload of a GOAWAY that took no stream beyond `last`. */
export function goawayPayload(last: number, code: number): Uint8Array {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(last, 0);
  payload.writeUInt32BE(code, 4);
  return payload;
}

/** What a client sends that begins a call with an empty message, and then does nothing ever. */
export function rawCall(path: string): Uint8Array {
  const block = headerBlock({
    ":method": "POST",
    ":scheme": "https",
    ":path": path,
    ":authority": "localhost",
    "content-type": "application/grpc",
    te: "trailers",
  });
  return Buffer.concat([
    Buffer.from(prefaceText),
    encode(frameTypes.settings, {}),
    encode(frameTypes.headers, { flags: 4, stream: 1, payload: block }),
    encode(frameTypes.data, { flags: 1, stream: 1, payload: new Uint8Array(5) }),
  ]);
}

/** A header block of literals, each shorter than 127 octets. */
function headerBlock(fields: Readonly<Record<string, string>>): Uint8Array {
  return Buffer.concat(
    Object.entries(fields).flatMap(([name, value]) => [
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]),
  );
}

/** The head of an answer of gRPC that is nothing but the status OK. */
export const okAnswer: Uint8Array = headerBlock({
  ":status": "200",
  "content-type": "application/grpc",
  "grpc-status": "0",
});
export const frameTypes = { data: 0, headers: 1, settings: 4, ping: 6, goaway: 7 } as const;
const prefaceText = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const preface = prefaceText.length;
