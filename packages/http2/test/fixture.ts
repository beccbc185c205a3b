import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import type { TLSSocket } from "node:tls";
import { createConnection, encodeHeaderBlock } from "@handfast/http2";
import type {
  ClientConnection,
  Connection,
  Fields,
  Http2Error,
  ResponseHead,
  ServerConnection,
  Settings,
  StreamReset,
} from "@handfast/http2";
import { drive } from "./driver.ts";
import type { Driver } from "./driver.ts";

// Machines on real TLS connections, for what only other implementations can show.

/** A self-signed certificate for localhost; both ends trust it, nobody switches verification off. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** The same in files, for tools; gone when the process ends. */
  readonly certFile: string;
  readonly keyFile: string;
}

export function makeCertificate(): Certificate {
  const folder = mkdtempSync(join(tmpdir(), "handfast-http2-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const certFile = join(folder, "cert.pem");
  const keyFile = join(folder, "key.pem");
  const options = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2
    -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1`;
  execFileSync("openssl", [...options.split(/\s+/), "-keyout", keyFile, "-out", certFile], {
    stdio: "ignore",
  });
  return {
    cert: readFileSync(certFile, "utf8"),
    key: readFileSync(keyFile, "utf8"),
    certFile,
    keyFile,
  };
}

/** A server under test. */
export interface EchoServer {
  readonly port: number;
  /** How the connections that ended did, oldest first. */
  readonly ends: (Http2Error | undefined)[];
  /** Gives a command to each connection. */
  command(action: (connection: ServerConnection) => void): void;
  /** Cuts what is open, and does not wait for any peer. */
  close(): Promise<void>;
}

interface EchoCall {
  readonly id: number;
  readonly parts: Uint8Array[];
  readonly isStreaming: boolean;
}

/**
 * A server on the machine. `GET` is answered with a line of text, `POST` with its own body once it is
 * there, and `POST /…/Bidi` with each piece as it comes. gRPC's framing is bytes like any others, so
 * that is an echo service for gRPC clients too.
 */
export async function listenEcho(
  certificate: Certificate,
  settings: Settings = {},
): Promise<EchoServer> {
  const connections = new Map<ServerConnection, Driver>();
  const sockets = new Set<TLSSocket>();
  const ends: (Http2Error | undefined)[] = [];
  const server = tls.createServer({
    cert: certificate.cert,
    key: certificate.key,
    ALPNProtocols: ["h2"],
    noDelay: true,
  });
  server.on("secureConnection", (socket) => {
    const connection = echoConnection(settings, (error) => {
      ends.push(error);
      connections.delete(connection);
    });
    connections.set(connection, drive(socket, connection));
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    ends,
    command: (action) => {
      for (const [connection, driver] of connections) {
        action(connection);
        driver.wake();
      }
    },
    close: async () => {
      for (const socket of sockets) {
        socket.destroy();
      }
      server.close();
      await once(server, "close");
    },
  };
}

function echoConnection(
  settings: Settings,
  onEnd: (error: Http2Error | undefined) => void,
): ServerConnection {
  const connection: ServerConnection = createConnection<EchoCall>({
    role: "server",
    now: performance.now(),
    settings,
    events: {
      onRequest: (id, head, end) => {
        const call = { id, parts: [], isStreaming: head.path.endsWith("/Bidi") };
        if (call.isStreaming) {
          connection.sendHead(id, grpcHead);
        }
        if (end) {
          connection.respond(id, { head: textHead, data: greeting });
        }
        return call;
      },
      onData: (call, bytes, end) => {
        connection.consume(call.id, bytes.length);
        if (call.isStreaming) {
          connection.sendData(call.id, bytes);
        } else {
          call.parts.push(bytes);
        }
        if (end && call.isStreaming) {
          connection.sendTrailers(call.id, grpcTrailers);
        } else if (end) {
          connection.respond(call.id, {
            head: grpcHead,
            data: call.parts,
            trailers: grpcTrailers,
          });
        }
      },
      onTrailers: (call) =>
        connection.respond(call.id, { head: grpcHead, data: call.parts, trailers: grpcTrailers }),
      onReset: (call) => connection.release(call.id),
      onClose: ({ error }) => onEnd(error),
    },
  });
  return connection;
}

/** An answer, whole. */
export interface Answer {
  readonly head: ResponseHead;
  readonly body: Buffer;
  readonly trailers: Fields;
}

/** A client under test. */
export interface EchoClient {
  readonly connection: Connection;
  /** Sends a request and waits for all of its answer; rejects with the reset. */
  ask(fields: Fields, body?: Uint8Array): Promise<Answer>;
  /** Ends the connection in order, and waits until it has ended. */
  close(): Promise<void>;
  /** Ends it at once. */
  cut(): void;
}

interface Question {
  head: ResponseHead | undefined;
  readonly parts: Uint8Array[];
  readonly resolve: (answer: Answer) => void;
  readonly reject: (reason: StreamReset) => void;
  id: number;
}

/** A client on the machine, connected to any HTTP/2 server on this host. */
export async function connectClient(port: number, certificate: Certificate): Promise<EchoClient> {
  const socket = tls.connect({
    host: "127.0.0.1",
    port,
    servername: "localhost",
    ca: certificate.cert,
    ALPNProtocols: ["h2"],
  });
  await once(socket, "secureConnect");
  socket.setNoDelay(true);
  const finish = (question: Question, trailers: Fields): void =>
    question.resolve({ head: question.head!, body: Buffer.concat(question.parts), trailers });
  const connection: ClientConnection<Question> = createConnection<Question>({
    role: "client",
    now: performance.now(),
    events: {
      onResponse: (question, head, end) => {
        question.head = head;
        return end ? finish(question, []) : undefined;
      },
      onData: (question, bytes, end) => {
        connection.consume(question.id, bytes.length);
        question.parts.push(bytes);
        return end ? finish(question, []) : undefined;
      },
      onTrailers: (question, fields) => finish(question, fields),
      onReset: (question, reset) => question.reject(reset),
      onClose: () => {},
    },
  });
  const driver = drive(socket, connection);
  return {
    connection,
    ask: (fields, body) => {
      const { promise, resolve, reject } = Promise.withResolvers<Answer>();
      const question: Question = { head: undefined, parts: [], resolve, reject, id: 0 };
      const options = body === undefined ? { end: true } : { data: body, end: true };
      question.id = connection.request(fields, { call: question, ...options });
      driver.wake();
      return promise;
    },
    close: async () => {
      connection.shutdown(performance.now());
      driver.wake();
      await once(socket, "close");
    },
    cut: () => void socket.destroy(),
  };
}

/** A request's fields. */
export function post(path: string, ...more: Fields): Fields {
  return [":method", "POST", ":scheme", "https", ":path", path, ":authority", "localhost", ...more];
}

/** A message as gRPC frames it. */
export function grpcMessage(body: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

const greeting = Buffer.from("hello from the machine\n");
const textHead = encodeHeaderBlock([":status", "200", "content-type", "text/plain"]);
const grpcHead = encodeHeaderBlock([":status", "200", "content-type", "application/grpc"]);
const grpcTrailers = encodeHeaderBlock(["grpc-status", "0"]);
