import type { Duplex } from "node:stream";
import { createConnection, fieldValues } from "@handfast/http2";
import type { RequestHead, ServerConnection } from "@handfast/http2";
import type {
  EngineConnection,
  EngineLimits,
  EngineServerCall,
  EngineStatus,
  ServerEngine,
} from "../engine.ts";
import { statusNumbers } from "../status.ts";
import type { StatusName } from "../status.ts";
import { drive } from "./drive.ts";
import { readMetadata } from "./header-fields.ts";
import { ServerStream, refuseRequest, refuseStream } from "./server-stream.ts";
import type { CallHead, StreamHost } from "./server-stream.ts";
import { parseTimeout } from "./timeout.ts";

/** Creates the server's side of the engine on @handfast/http2. */
export function createServerEngine(limits: EngineLimits): ServerEngine {
  const paths = new Set<string>();
  return {
    register: (path) => void paths.add(path),
    accept: (socket, onCall, onUnknown) => accept(socket, { limits, paths, onCall, onUnknown }),
  };
}

interface Accepting {
  readonly limits: EngineLimits;
  readonly paths: ReadonlySet<string>;
  readonly onCall: (call: EngineServerCall) => void;
  readonly onUnknown: (() => void) | undefined;
}

function accept(socket: Duplex, { limits, paths, onCall, onUnknown }: Accepting): EngineConnection {
  const connection: ServerConnection = createConnection<ServerStream | undefined>({
    role: "server",
    now: performance.now(),
    settings: {
      maxConcurrentStreams: limits.maxConcurrentStreams,
      // Beyond the limit a call can still be told so in its status; twice as much is cut short.
      maxHeaderListSize: 2 * limits.maxHeaderBytes,
    },
    limits: limits.http2 ?? {},
    timing: { ...defaultTiming, ...limits.timing },
    events: {
      onRequest: begin,
      onData: (stream, bytes, end) => stream?.receive(bytes, end),
      onTrailers: (stream) => stream?.receive(nothing, true),
      onReset: (stream) => stream?.cut(),
      onDrain: (stream) => stream?.drained(),
      onClose: () => undefined,
    },
  });
  const driver = drive(socket, connection);
  const host: StreamHost = {
    connection,
    maxReceiveMessageBytes: limits.maxReceiveMessageBytes,
    compression: limits.compression ?? "identity",
    wake: () => driver.wake(),
  };
  return {
    drain() {
      connection.shutdown(performance.now());
      driver.wake();
    },
  };

  function begin(id: number, head: RequestHead, end: boolean): ServerStream | undefined {
    const read = readHead(head, paths);
    if (typeof read === "number") {
      refuseRequest(host, id, read);
      return undefined;
    }
    if ("status" in read) {
      refuseStream(host, id, read);
      if (read === unknownMethod) onUnknown?.();
      return undefined;
    }
    const stream = new ServerStream(id, head, { ...read, host });
    if (end) stream.receive(nothing, true);
    onCall(stream);
    return stream;
  }
}

/** Understands a head: as a call, as one that is answered with a status, or with one of HTTP if it is no gRPC. */
function readHead(head: RequestHead, paths: ReadonlySet<string>): CallHead | EngineStatus | number {
  const { fields } = head;
  if (head.method !== "POST") return methodNotAllowed;
  const [type = "", ...furtherTypes] = fieldValues(fields, "content-type");
  if (furtherTypes.length > 0 || !contentTypePattern.test(type)) return unsupportedMediaType;
  // Byte for byte: what is no registered name runs nothing (S39).
  if (!paths.has(head.path)) return unknownMethod;
  const encodings = fieldValues(fields, "grpc-encoding");
  if (encodings.length > 1 || !knownEncodings.has(encodings[0] ?? "identity")) {
    return refusal("UNIMPLEMENTED", "the message encoding is unknown: expected identity or gzip");
  }
  const timeouts = fieldValues(fields, "grpc-timeout");
  const timeoutMs = timeouts.length === 0 ? undefined : parseTimeout(timeouts.join(","));
  if (timeouts.length > 0 && timeoutMs === undefined) {
    return refusal("INTERNAL", "grpc-timeout is none: expected one to eight digits and a unit");
  }
  const headers = readMetadata(fields);
  if (headers === undefined) {
    return refusal("INTERNAL", "a request header has bytes that may not travel");
  }
  const deadline = timeoutMs === undefined ? undefined : Date.now() + timeoutMs;
  return { path: head.path, headers, deadline };
}

function refusal(code: StatusName, message: string): EngineStatus {
  return { status: statusNumbers[code], message, details: undefined };
}

const unknownMethod = refusal("UNIMPLEMENTED", "unknown method");
const nothing = new Uint8Array(0);
const contentTypePattern = /^application\/grpc(?:\+proto)?(?:;.*)?$/;
const knownEncodings: ReadonlySet<string> = new Set(["identity", "gzip"]);
const methodNotAllowed = 405;
const unsupportedMediaType = 415;
/** A peer that is gone without a word is noticed, also while it has no call. */
const defaultTiming = { keepaliveMs: 120_000, keepaliveWithoutStreams: true } as const;
