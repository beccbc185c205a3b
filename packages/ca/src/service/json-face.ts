import type { IncomingMessage, ServerResponse } from "node:http";
import { fromJson, toJson, create } from "@bufbuild/protobuf";
import type {
  DescMethod,
  DescService,
  JsonValue,
  MessageInitShape,
  MessageShape,
  DescMessage,
} from "@bufbuild/protobuf";
import { GrpcError, Metadata, readErrorInfo, readRetryInfo } from "@handfast/grpc";
import type { GrpcErrorCode } from "@handfast/grpc";
import type { VerifiedPeer } from "@handfast/tls";
import type { Caller, Methods } from "./caller.ts";
import type { Guard } from "./guard.ts";

/** A service as JSON over HTTP: `POST /handfast.ca.v1.Enrolment/Enrol` and the message as JSON. */
export interface JsonFace {
  /** Answers a request that is one of its own; false if it is not. */
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    peer: VerifiedPeer | undefined,
  ): boolean;
}

/**
 * Serves the methods of a service that have one answer to programs that know HTTP and JSON alone
 * (curl): the same functions behind the same guard. Only `application/json` is taken and `Origin` is
 * refused, so that no web page can use the certificates of the browser it runs in (security.md S54).
 */
export function createJsonFace<Service extends DescService>(
  service: Service,
  { methods, guard }: { readonly methods: Methods<Service>; readonly guard: Guard },
): JsonFace {
  const unary = service.methods.filter(({ methodKind }) => methodKind === "unary");
  const byPath = new Map(unary.map((method) => [`/${service.typeName}/${method.name}`, method]));
  // The functions are as the descriptors say; only the compiler cannot follow.
  const functions = methods as unknown as Readonly<Record<string, UnaryFunction>>;

  async function answer(
    descriptor: DescMethod,
    { request, response, peer }: Exchange,
  ): Promise<void> {
    const problem = headProblem(request);
    if (problem !== undefined) {
      send(response, problem.status, problem);
      return;
    }
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const caller: Caller = {
      method: request.url ?? "",
      descriptor,
      peer,
      remoteAddress: request.socket.remoteAddress,
      requestHeaders: new Metadata(),
      signal: gone.signal,
    };
    try {
      const result = await guard.run(caller, async () => {
        const message = fromJsonBody(descriptor.input, await readBody(request));
        return functions[descriptor.localName]?.(message, caller);
      });
      const message = create(descriptor.output, result);
      send(response, 200, toJson(descriptor.output, message, { alwaysEmitImplicit: true }));
    } catch (error) {
      sendError(response, error);
    }
  }

  return {
    handle(request, response, peer) {
      const descriptor = byPath.get(request.url ?? "");
      if (descriptor === undefined) return false;
      void answer(descriptor, { request, response, peer });
      return true;
    },
  };
}

type UnaryFunction = (
  request: MessageShape<DescMessage>,
  caller: Caller,
) => Promise<MessageInitShape<DescMessage>>;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly peer: VerifiedPeer | undefined;
}

interface HeadProblem {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

function headProblem({ method, headers }: IncomingMessage): HeadProblem | undefined {
  if (method !== "POST") return { status: 405, code: "unimplemented", message: "use POST" };
  if (headers.origin !== undefined) {
    return { status: 403, code: "permission_denied", message: "requests of web pages are refused" };
  }
  const type = headers["content-type"] ?? "";
  if (!/^application\/json(?:; ?charset=utf-8)?$/i.test(type)) {
    return {
      status: 415,
      code: "invalid_argument",
      message: "content-type must be application/json",
    };
  }
  return undefined;
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBodyBytes) {
      throw new GrpcError("RESOURCE_EXHAUSTED", `the body is over ${maxBodyBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function fromJsonBody(schema: DescMessage, text: string): MessageShape<DescMessage> {
  try {
    return fromJson(schema, (text === "" ? {} : JSON.parse(text)) as JsonValue);
  } catch (cause) {
    throw new GrpcError("INVALID_ARGUMENT", `the body is no JSON of ${schema.typeName}`, { cause });
  }
}

/** In the form of the Connect protocol: the code in lower case. */
function sendError(response: ServerResponse, error: unknown): void {
  if (!(error instanceof GrpcError)) {
    send(response, 500, { code: "internal", message: "internal error" });
    return;
  }
  const { code, message } = error;
  const retry = readRetryInfo(error);
  if (retry) response.setHeader("retry-after", String(Math.ceil(retry.delayMs / 1_000)));
  const reason = readErrorInfo(error)?.reason;
  send(response, httpStatuses[code], {
    code: code.toLowerCase(),
    message,
    ...(reason === undefined ? {} : { reason }),
  });
}

function send(response: ServerResponse, status: number, body: object | JsonValue): void {
  if (response.headersSent || response.destroyed) return;
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  response.end(text);
}

const maxBodyBytes = 256 * 1_024;
/** As the Connect protocol maps them (https://connectrpc.com/docs/protocol/#error-codes). */
const httpStatuses: Readonly<Record<GrpcErrorCode, number>> = {
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
};
