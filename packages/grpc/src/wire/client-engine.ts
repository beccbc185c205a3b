import type { Address, Target } from "../client/target.ts";
import type {
  EngineChannel,
  EngineClientCall,
  EngineClientListener,
  EngineLimits,
  EngineRequest,
} from "../engine.ts";
import { createBackOff } from "./back-off.ts";
import { ClientStream } from "./client-stream.ts";
import type { CallHost } from "./client-stream.ts";
import { Member } from "./member.ts";
import type { MemberHost, WatchHealth } from "./member.ts";
import { resolveTarget } from "./resolve.ts";
import { shareSubchannel } from "./subchannel.ts";
import type { Connector, Keepalive } from "./subchannel.ts";

/** What a channel of this engine is made of. */
export interface ChannelOptions {
  readonly target: Target;
  readonly connector: Connector;
  readonly limits: Pick<EngineLimits, "maxReceiveMessageBytes">;
  readonly loadBalancing: "pick_first" | "round_robin";
  readonly keepalive?: Keepalive | undefined;
  /** Absent: servers are not asked for their health. */
  readonly watchHealth?: WatchHealth | undefined;
  /** The addresses of a target; the system's resolver if absent. For tests. */
  readonly resolve?: (target: Target) => Promise<readonly Address[]>;
}

/**
 * Creates a channel. It resolves and dials when it is first used, and again, name included, when a call
 * finds it without a connection. Channels of one connector share the connection to an address.
 */
export function createChannel(options: ChannelOptions): EngineChannel {
  return new Channel(options);
}

/**
 * - `pick_first`: the addresses in order, the next one begun when the last has failed or has not answered
 *   within 250 ms (happy eyeballs); the first that is ready is kept, and the others are let go.
 * - `round_robin`: all addresses at once, and the calls take turns among those that are ready.
 */
class Channel implements EngineChannel, CallHost, MemberHost {
  readonly authority: string;
  readonly scheme: "http" | "https";
  readonly maxReceiveMessageBytes: number;
  readonly watchHealth: WatchHealth | undefined;
  readonly #options: ChannelOptions;
  readonly #waiting = new Set<ClientStream>();
  readonly #resolveBackOff = createBackOff();
  #members: readonly Member[] = [];
  /** Whether the name is to be resolved before the next connection is made. */
  #stale = true;
  #resolving = false;
  #resolveFailure: unknown;
  #resolvedAt = 0;
  #turn = 0;
  #nextAttemptAt = 0;
  #stagger: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
    const { target, connector, limits } = options;
    this.authority = target.authority;
    this.watchHealth = options.watchHealth;
    this.scheme = connector.scheme;
    this.maxReceiveMessageBytes = limits.maxReceiveMessageBytes;
  }

  start(request: EngineRequest, listener: EngineClientListener): EngineClientCall {
    return new ClientStream(request, listener, this);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#stagger);
    this.#replaceMembers([]);
  }

  place(call: ClientStream): void {
    // Most of the time there is one connection, and room on it.
    const [only] = this.#members;
    if (this.#waiting.size === 0 && this.#members.length === 1 && only?.link !== undefined) {
      if (call.open(only.link)) return;
    }
    this.#waiting.add(call);
    this.#step();
  }

  changed({ subchannel }: Member): void {
    if (subchannel.state === "idle") this.#stale = true;
    this.#step();
  }

  forget(call: ClientStream): void {
    this.#waiting.delete(call);
  }

  /** Does what the state asks for: opens calls that wait, connects, resolves, or tells calls why not. */
  #step(): void {
    if (this.#closed) return;
    const ready = this.#members.filter(({ link }) => link !== undefined);
    if (ready.length > 0) {
      if (this.#options.loadBalancing === "pick_first") this.#keepOnly(ready[0]!);
      this.#openCalls(ready, false);
    }
    if (this.#waiting.size > 0) {
      const linked = this.#members.filter(({ subchannel }) => subchannel.link !== undefined);
      this.#openCalls(linked, true);
    }
    if (this.#options.loadBalancing === "round_robin") this.#connectAll();
    if (ready.length > 0 && this.#options.loadBalancing === "round_robin" && this.#stale) {
      this.#resolveAgain();
    }
    if (ready.length > 0 || this.#waiting.size === 0) return;
    const connecting = this.#members.some(({ state }) => state === "connecting");
    if (this.#stale) {
      if (!connecting) this.#resolve();
      return;
    }
    const idle = this.#members.filter(({ state }) => state === "idle");
    if (idle.length > 0) this.#connectNext(idle, connecting);
    else if (!connecting) this.#failCalls();
  }

  #openCalls(members: readonly Member[], whateverHealth: boolean): void {
    let refusals = 0;
    for (const call of this.#waiting) {
      if (call.whateverHealth !== whateverHealth) continue;
      while (refusals < members.length) {
        this.#turn = (this.#turn + 1) % members.length;
        const { link } = members[this.#turn]!.subchannel;
        if (link !== undefined && call.open(link)) {
          this.#waiting.delete(call);
          break;
        }
        refusals += 1;
      }
      if (refusals === members.length) return;
    }
  }

  #connectNext(idle: readonly Member[], connecting: boolean): void {
    const now = performance.now();
    if (connecting && now < this.#nextAttemptAt) return;
    this.#nextAttemptAt = now + staggerMs;
    clearTimeout(this.#stagger);
    // Longer than the interval by a little, so that it is over when the timer fires.
    if (idle.length > 1) this.#stagger = setTimeout(() => this.#step(), staggerMs + 1);
    idle[0]!.subchannel.connect();
  }

  #connectAll(): void {
    for (const { subchannel } of this.#members) subchannel.connect();
  }

  /** The address is chosen; when it is lost, the name may have others by then. */
  #keepOnly(member: Member): void {
    clearTimeout(this.#stagger);
    if (this.#members.length > 1) this.#replaceMembers([member]);
    this.#stale = true;
  }

  /** Every address has failed: calls that do not wait are told why. */
  #failCalls(): void {
    const failed = this.#members.findLast(({ failure }) => failure !== undefined);
    this.#stale = !this.#members.some(({ state }) => state === "failed");
    this.#tellUnreachable(failed?.failure);
  }

  #tellUnreachable(cause: unknown): void {
    for (const call of this.#waiting) {
      if (!call.waitForReady) call.unreachable(cause);
    }
  }

  #resolve(): void {
    if (this.#resolveFailure !== undefined) {
      this.#tellUnreachable(this.#resolveFailure);
      return;
    }
    if (this.#resolving) return;
    this.#resolving = true;
    const { resolve = resolveTarget, target } = this.#options;
    resolve(target).then(
      (addresses) => this.#resolved(addresses),
      (cause: unknown) => this.#unresolved(cause),
    );
  }

  /** One of several was lost: its name may have others by now. Not more often than every 5 s. */
  #resolveAgain(): void {
    if (performance.now() - this.#resolvedAt >= leastResolveMs) this.#resolve();
  }

  #resolved(addresses: readonly Address[]): void {
    if (addresses.length === 0) {
      this.#unresolved(new Error("the name has no address"));
      return;
    }
    this.#resolving = false;
    if (this.#closed) return;
    this.#resolveBackOff.reset();
    this.#stale = false;
    this.#resolvedAt = performance.now();
    const { connector, keepalive } = this.#options;
    this.#replaceMembers(
      addresses.map((address) => new Member(shareSubchannel(connector, address, keepalive), this)),
    );
    this.#step();
  }

  #unresolved(cause: unknown): void {
    this.#resolving = false;
    this.#resolveFailure = cause;
    setTimeout(() => {
      this.#resolveFailure = undefined;
      this.#step();
    }, this.#resolveBackOff.next()).unref();
    this.#step();
  }

  /** Joins come before leaves, so that what is in both stays as it is, back-off included. */
  #replaceMembers(members: readonly Member[]): void {
    const left = this.#members.filter((member) => !members.includes(member));
    this.#members = members;
    for (const member of left) member.leave();
  }
}

const staggerMs = 250;
const leastResolveMs = 5_000;
