import type { EngineClientCall, EngineClientListener, EngineRequest } from "../engine.ts";
import { ClientStream } from "./client-stream.ts";
import type { CallHost } from "./client-stream.ts";
import type { Link, Subchannel } from "./subchannel.ts";

/** Makes a call on one certain connection. */
export type StartOnLink = (
  request: EngineRequest,
  listener: EngineClientListener,
) => EngineClientCall;

/** What is known of the health of the server at the other end of a connection. */
export interface HealthVerdict {
  /** Undefined while the server has not said. */
  readonly serving: boolean | undefined;
  /** Why it counts as not serving. */
  readonly failure: unknown;
  stop(): void;
}

/** Begins to watch the health of a server; `changed` is called when the verdict has. */
export type WatchHealth = (start: StartOnLink, changed: () => void) => HealthVerdict;

/** What a channel uses members with. */
export interface MemberHost extends Pick<
  CallHost,
  "authority" | "scheme" | "maxReceiveMessageBytes"
> {
  /** Absent: a connection is used as soon as it is there. */
  readonly watchHealth: WatchHealth | undefined;
  changed(member: Member): void;
}

/** An address as one channel uses it: its connection, and whether the server behind it says that it serves. */
export class Member {
  readonly subchannel: Subchannel;
  readonly #host: MemberHost;
  readonly #leave: () => void;
  #watched: Link | undefined;
  #verdict: HealthVerdict | undefined;
  /** A call for the verdict that found no room on the connection. */
  #pending: ClientStream | undefined;

  constructor(subchannel: Subchannel, host: MemberHost) {
    this.subchannel = subchannel;
    this.#host = host;
    this.#leave = subchannel.join(() => {
      this.#follow();
      host.changed(this);
    });
    this.#follow();
  }

  /** As the subchannel's; with health watched, `ready` only while the server serves. */
  get state(): Subchannel["state"] {
    const { state } = this.subchannel;
    if (state !== "ready" || this.#host.watchHealth === undefined) return state;
    const serving = this.#verdict?.serving;
    if (serving === undefined) return "connecting";
    return serving ? "ready" : "failed";
  }

  get failure(): unknown {
    return this.subchannel.failure ?? this.#verdict?.failure;
  }

  /** The connection, if it is for use. */
  get link(): Link | undefined {
    return this.state === "ready" ? this.subchannel.link : undefined;
  }

  leave(): void {
    this.#stop();
    this.#leave();
  }

  /** Watches the connection there is. */
  #follow(): void {
    const { link } = this.subchannel;
    if (link === this.#watched) {
      if (link !== undefined && this.#pending?.open(link) === true) this.#pending = undefined;
      return;
    }
    this.#stop();
    this.#watched = link;
    if (link === undefined || this.#host.watchHealth === undefined) return;
    this.#verdict = this.#host.watchHealth(
      (request, listener) => this.#start(link, request, listener),
      () => this.#host.changed(this),
    );
  }

  #stop(): void {
    this.#verdict?.stop();
    this.#verdict = undefined;
    this.#watched = undefined;
    this.#pending = undefined;
  }

  #start(link: Link, request: EngineRequest, listener: EngineClientListener): EngineClientCall {
    const { authority, scheme, maxReceiveMessageBytes } = this.#host;
    link.backgroundCalls += 1;
    const ended: EngineClientListener = {
      ...listener,
      onStatus(outcome) {
        link.backgroundCalls -= 1;
        listener.onStatus(outcome);
      },
    };
    return new ClientStream(request, ended, {
      authority,
      scheme,
      maxReceiveMessageBytes,
      place: (call) => {
        if (!call.open(link)) this.#pending = call;
      },
      forget: (call) => {
        if (this.#pending === call) this.#pending = undefined;
      },
    });
  }
}
