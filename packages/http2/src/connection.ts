import type { ClientConnection, ClientOptions, ServerConnection, ServerOptions } from "./api.ts";
import { Core } from "./core.ts";
import type { CoreEvents } from "./core.ts";
import {
  appendUint32Frame,
  clientPreface,
  frameTypes,
  protocolInitialWindow,
  settingIds,
  smallestMaxFrameSize,
} from "./frames.ts";
import { defaultNeverIndexed, defaultSeldomRepeated, defaultTableSize } from "./hpack-encoder.ts";
import { resolveOptions } from "./limits.ts";
import { Machine } from "./machine.ts";
import { announceSettings } from "./receive-control.ts";

/**
 * Creates the machine for one connection. Its first output (the preface and SETTINGS) is there at once.
 *
 * @throws TypeError for settings that RFC 9113 section 6.5.2 does not allow
 */
export function createConnection<Call>(options: ServerOptions<Call>): ServerConnection;
export function createConnection<Call>(options: ClientOptions<Call>): ClientConnection<Call>;
export function createConnection<Call>(
  options: ServerOptions<Call> | ClientOptions<Call>,
): ServerConnection | ClientConnection<Call> {
  return new Machine(createCore(options));
}

/** The state of a new connection, its preface sent. */
export function createCore<Call>(options: ServerOptions<Call> | ClientOptions<Call>): Core {
  const isServer = options.role === "server";
  const resolved = resolveOptions(options.settings, options.limits, options.timing);
  const core = new Core(isServer, completeEvents(options), {
    options: resolved,
    encoder: {
      tableSize: defaultTableSize,
      neverIndexed: defaultNeverIndexed,
      seldomRepeated: defaultSeldomRepeated,
      huffman: true,
      ...options.compression,
    },
    now: options.now,
    firstStreamId: options.role === "client" ? (options.firstStreamId ?? 1) : 2,
  });
  sendPreface(core);
  return core;
}

/** The connection preface of RFC 9113 section 3.4: settings that differ from the protocol's initial values. */
function sendPreface(core: Core): void {
  const { options, output } = core;
  if (!core.isServer) {
    output.append(clientPreface);
  }
  const settings: [id: number, value: number][] = [
    core.isServer
      ? [settingIds.MAX_CONCURRENT_STREAMS, options.maxConcurrentStreams]
      : [settingIds.ENABLE_PUSH, 0],
    [settingIds.MAX_HEADER_LIST_SIZE, options.maxHeaderListSize],
  ];
  if (options.headerTableSize !== defaultTableSize) {
    settings.push([settingIds.HEADER_TABLE_SIZE, options.headerTableSize]);
  }
  if (options.streamWindow !== protocolInitialWindow) {
    settings.push([settingIds.INITIAL_WINDOW_SIZE, options.streamWindow]);
  }
  if (options.maxFrameSize !== smallestMaxFrameSize) {
    settings.push([settingIds.MAX_FRAME_SIZE, options.maxFrameSize]);
  }
  announceSettings(core, settings, options.streamWindow);
  if (options.connectionWindow > protocolInitialWindow) {
    const increment = core.window.growTo(options.connectionWindow);
    appendUint32Frame(output, frameTypes.WINDOW_UPDATE, 0, increment);
  }
}

/** Events of either role as one shape; those of the other role never come. */
function completeEvents<Call>(options: ServerOptions<Call> | ClientOptions<Call>): CoreEvents {
  const events = options.events as Partial<CoreEvents>;
  const bound = (name: keyof CoreEvents): never =>
    (events[name] as ((...rest: unknown[]) => unknown) | undefined)?.bind(options.events) as never;
  return {
    onRequest: bound("onRequest"),
    onResponse: bound("onResponse"),
    onInformational: bound("onInformational") ?? nothing,
    onData: bound("onData"),
    onTrailers: bound("onTrailers"),
    onReset: bound("onReset"),
    onDrain: bound("onDrain") ?? nothing,
    onClose: bound("onClose"),
    onDraining: bound("onDraining") ?? nothing,
    onAvailable: bound("onAvailable") ?? nothing,
    onPong: bound("onPong") ?? nothing,
  };
}

function nothing(): void {
  // An event that nobody asked for.
}
