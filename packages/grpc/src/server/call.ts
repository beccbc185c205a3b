import { randomUUID } from "node:crypto";
import type { DescMethod } from "@bufbuild/protobuf";
import type { Context } from "@opentelemetry/api";
import type { Principal } from "@handfast/policy";
import type { ForwardedPeer, PeerCertificate, VerifiedPeer } from "@handfast/tls";
import { encodeStatusDetails } from "../details.ts";
import type { EngineServerCall, EngineServerListener, EngineStatus } from "../engine.ts";
import { GrpcError } from "../errors.ts";
import { Metadata } from "../metadata.ts";
import type { ReadonlyMetadata } from "../metadata.ts";
import { statusName } from "../status.ts";
import type { Listed } from "../roster.ts";
import type { CallerOfCall } from "./forwarded-by.ts";

/** What a handler and an interceptor know of the call they serve. */
export interface ServerCall {
  /** The full name as it was called: "/bank.v1.BankService/Deposit". */
  readonly method: string;
  /** The method's description, as protobuf-es generated it. */
  readonly descriptor: DescMethod;
  /**
   * Who calls, verified; undefined in plaintext, where no client certificate is asked for, and for whatever
   * comes through a proxy of `forwardedBy`.
   */
  readonly peer: VerifiedPeer | undefined;
  /** Who calls through a proxy of `forwardedBy`, his certificate verified for this call. */
  readonly forwarded: ForwardedPeer | undefined;
  /** What is verified of who calls, whichever way he came: the certificate of `peer` or of `forwarded`. */
  readonly caller: PeerCertificate | undefined;
  /** The address of the other end; undefined on a Unix socket. */
  readonly remoteAddress: string | undefined;
  /** The peer's `x-request-id` if it is a plain one, else one of ours. */
  readonly requestId: string;
  /** When the caller stops waiting; undefined if never. */
  readonly deadline: Date | undefined;
  /** Aborts when the call ends before the handler: cancelled, past its deadline, cut or shut down. */
  readonly signal: AbortSignal;
  readonly requestHeaders: ReadonlyMetadata;
  /** Sent before the first response message. Setting one later has no effect. */
  readonly responseHeaders: Metadata;
  /** Sent with the status. */
  readonly responseTrailers: Metadata;
  /** Sends the response headers now, rather than with the first message. */
  sendHeaders(): void;
}

/** What a call is given by its connection and its server. */
export interface CallContext extends CallerOfCall {
  readonly descriptor: DescMethod;
  readonly remoteAddress: string | undefined;
  readonly maxSendMessageBytes: number;
  /** Called once, when the status is known; undefined is OK. */
  ended(call: OpenCall, error: GrpcError | undefined): void;
  /** Called once, after that, when nothing works on the call any more. */
  released(call: OpenCall): void;
}

/** A call between its head and its status. It ends exactly once, whoever is first. */
export class OpenCall implements ServerCall, EngineServerListener, Listed {
  readonly startedAt: number = performance.now();
  readonly deadline: Date | undefined;
  receivedBytes = 0;
  sentBytes = 0;
  /** Of its span, while telemetry is on. */
  context: Context | undefined;
  /** Whether the call is counted among those of its caller. */
  hasPlace = false;
  place = -1;
  readonly #engine: EngineServerCall;
  readonly #context: CallContext;
  #abort: AbortController | undefined;
  #abortReason: GrpcError | undefined;
  #requestId: string | undefined;
  /** Whoever waits for something that the end of the call must not keep waiting; undefined if nobody ever did. */
  #waiting: Set<(error: GrpcError) => void> | undefined;
  #responseHeaders: Metadata | undefined;
  #responseTrailers: Metadata | undefined;
  #headersSent = false;
  #ended = false;
  #clientEnded = false;
  #pendingRead: PendingRead | undefined;
  #deadlineTimer: NodeJS.Timeout | undefined;
  /** What works on the call: its way through the gates to its end, and its handler. */
  #workers = 1;

  constructor(engine: EngineServerCall, context: CallContext) {
    this.#engine = engine;
    this.#context = context;
    this.deadline = engine.deadline === undefined ? undefined : new Date(engine.deadline);
    engine.start(this);
    this.#armDeadline();
  }

  get requestId(): string {
    return (this.#requestId ??= requestIdOf(this.#engine.headers));
  }

  get method(): string {
    return this.#engine.path;
  }

  get descriptor(): DescMethod {
    return this.#context.descriptor;
  }

  get peer(): VerifiedPeer | undefined {
    return this.#context.peer;
  }

  get forwarded(): ForwardedPeer | undefined {
    return this.#context.forwarded;
  }

  get caller(): PeerCertificate | undefined {
    return this.peer ?? this.forwarded?.peer;
  }

  /** Why a certificate handed on with the call does not count. */
  get refused(): CallerOfCall["refused"] {
    return this.#context.refused;
  }

  get principal(): Principal {
    return this.#context.principal;
  }

  get remoteAddress(): string | undefined {
    return this.#context.remoteAddress;
  }

  get requestHeaders(): ReadonlyMetadata {
    return this.#engine.headers;
  }

  get responseHeaders(): Metadata {
    return (this.#responseHeaders ??= new Metadata());
  }

  get responseTrailers(): Metadata {
    return (this.#responseTrailers ??= new Metadata());
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#abortReason !== undefined) this.#abort.abort(this.#abortReason);
    }
    return this.#abort.signal;
  }

  sendHeaders(): void {
    if (this.#headersSent || this.#ended) return;
    this.#headersSent = true;
    this.#engine.sendHeaders(this.responseHeaders);
  }

  /** The next request message; undefined at the end. Rejects when the call is over. One at a time. */
  read(): Promise<Uint8Array | undefined> {
    if (this.#abortReason !== undefined) return Promise.reject(this.#abortReason);
    if (this.#clientEnded) return nothingMore;
    return new Promise((resolve, reject) => {
      this.#pendingRead = { resolve, reject };
      this.#engine.read();
    });
  }

  /** Sends a response message; resolves when there is room for the next. */
  send(message: Uint8Array): Promise<void> {
    const limit = this.#context.maxSendMessageBytes;
    if (message.length > limit) {
      const text = `response message of ${message.length} bytes is larger than the limit of ${limit}`;
      throw new GrpcError("RESOURCE_EXHAUSTED", text);
    }
    this.throwIfOver();
    this.sendHeaders();
    this.sentBytes += message.length;
    let written = false;
    let wake: (() => void) | undefined;
    this.#engine.send(message, () => {
      written = true;
      wake?.();
    });
    if (written) return sentAtOnce;
    return this.orAborted(
      new Promise<void>((resolve) => {
        wake = resolve;
      }),
    );
  }

  /** Settles as `promise` does, or rejects when the call is ended before its handler is done. */
  orAborted<Value>(promise: Promise<Value>): Promise<Value> {
    return this.#race(promise, () => undefined);
  }

  /**
   * As orAborted, for what a handler does: nobody waits for it once the call is over, but until it is done
   * the call keeps its place on the connection (S38).
   */
  whileWorking<Value>(promise: Promise<Value>): Promise<Value> {
    this.#workers += 1;
    return this.#race(promise, () => this.workDone());
  }

  /** `settled` is called when the promise has, also where nobody waits for it any more. */
  #race<Value>(promise: Promise<Value>, settled: () => void): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (this.#abortReason === undefined) (this.#waiting ??= new Set()).add(reject);
      else reject(this.#abortReason);
      const succeeded = (value: Value): void => {
        this.#waiting?.delete(reject);
        resolve(value);
        settled();
      };
      const failed = (error: unknown): void => {
        this.#waiting?.delete(reject);
        reject(error);
        settled();
      };
      promise.then(succeeded, failed);
    });
  }

  /** Something that worked on the call is done. */
  workDone(): void {
    this.#workers -= 1;
    if (this.#workers > 0) return;
    this.#engine.release?.();
    this.#context.released(this);
  }

  throwIfOver(): void {
    if (this.#abortReason !== undefined) throw this.#abortReason;
  }

  /** Ends the call with what its handler came to. */
  finish(error: GrpcError | undefined): void {
    if (!this.#end(error)) return;
    if (this.#responseHeaders !== undefined && !this.#headersSent) {
      this.#headersSent = true;
      this.#engine.sendHeaders(this.#responseHeaders);
    }
    this.#sendStatus(error);
  }

  /** Ends the call over the head of its handler: its signal aborts, the peer reads this status. */
  abort(error: GrpcError): void {
    if (!this.#end(error)) return;
    this.#sendStatus(error);
    this.#fire(error);
  }

  onMessage(message: Uint8Array): void {
    this.receivedBytes += message.length;
    this.#settleRead(message);
  }

  onEnd(): void {
    this.#clientEnded = true;
    this.#settleRead(undefined);
  }

  onGone(status: EngineStatus | undefined): void {
    const error = this.#goneError(status);
    if (this.#end(error)) this.#fire(error);
  }

  #settleRead(message: Uint8Array | undefined): void {
    const pending = this.#pendingRead;
    this.#pendingRead = undefined;
    pending?.resolve(message);
  }

  #goneError(status: EngineStatus | undefined): GrpcError {
    const code = status && statusName(status.status);
    if (code !== undefined && code !== "OK") return new GrpcError(code, status?.message ?? "");
    // A client's clock for the deadline starts before ours: it gives up first, by the way of the request.
    const late =
      this.deadline !== undefined && this.deadline.getTime() - deadlineSlackMs <= Date.now();
    return late ? deadlineExceeded() : new GrpcError("CANCELLED", "the caller cancelled the call");
  }

  #fire(error: GrpcError): void {
    this.#abortReason = error;
    this.#abort?.abort(error);
    this.#pendingRead?.reject(error);
    this.#pendingRead = undefined;
    for (const reject of this.#waiting ?? []) reject(error);
  }

  #end(error: GrpcError | undefined): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    clearTimeout(this.#deadlineTimer);
    this.#context.ended(this, error);
    return true;
  }

  #sendStatus(error: GrpcError | undefined): void {
    const trailers = this.#responseTrailers ?? new Metadata();
    if (error !== undefined) trailers.merge(error.trailers);
    this.#engine.finish(
      {
        status: error?.status ?? 0,
        message: error?.message ?? "",
        details: error && encodeStatusDetails(error),
      },
      trailers,
    );
  }

  #armDeadline(): void {
    if (this.deadline === undefined) return;
    const rest = this.deadline.getTime() - Date.now();
    // Longer delays than this fire at once, and no call lives for 24 days.
    if (rest > maxTimerMs) return;
    this.#deadlineTimer = setTimeout(() => this.abort(deadlineExceeded()), Math.max(0, rest));
  }
}

interface PendingRead {
  resolve(message: Uint8Array | undefined): void;
  reject(error: GrpcError): void;
}

function deadlineExceeded(): GrpcError {
  return new GrpcError("DEADLINE_EXCEEDED", "the deadline passed before the call was done");
}

/** A peer's request id is used only if it is a plain one (security.md S43). */
export function requestIdOf(headers: Metadata): string {
  const given = headers.get("x-request-id");
  return given !== undefined && requestIdPattern.test(given) ? given : randomUUID();
}

const nothingMore: Promise<undefined> = Promise.resolve(undefined);
const sentAtOnce: Promise<void> = Promise.resolve();
const requestIdPattern = /^[A-Za-z0-9-]{1,64}$/;
const deadlineSlackMs = 25;
const maxTimerMs = 2 ** 31 - 1;
