import { pingPurposes } from "./core.ts";
import type { Core } from "./core.ts";
import { errorCodeName, errorCodes } from "./errors.ts";
import { ConnectionFault } from "./fault.ts";
import {
  appendFrameHeader,
  appendPing,
  appendSettings,
  appendUint32Frame,
  flags,
  frameKind,
  frameTypes,
  largestInt31,
  largestMaxFrameSize,
  readUint31,
  readUint32,
  settingIds,
  smallestMaxFrameSize,
} from "./frames.ts";
import {
  countFlood,
  creditStream,
  cutStream,
  finishShutdown,
  forceReset,
  startDraining,
} from "./lifecycle.ts";
import { unblock, unblockAll } from "./send.ts";

// The frames that steer: each function reads one type, its octets from `start` to `end`.

/** Whether a stream has not been opened by either side (RFC 9113 section 5.1). */
export function isIdle(core: Core, id: number): boolean {
  if (id % 2 === 0) {
    // Only pushes have even numbers, and there are none.
    return true;
  }
  return core.isServer ? id > core.lastPeerStream : id >= core.nextOwnStream;
}

/** RFC 9113 sections 5.3 and 6.3: priorities are ignored, but for what makes them wrong. */
export function receivePriority(core: Core, bytes: Uint8Array, start: number, end: number): void {
  const id = core.frameStream;
  if (id === 0) {
    throw new ConnectionFault(errorCodes.PROTOCOL_ERROR, "PRIORITY on stream 0 (6.3)");
  }
  countFlood(core, "priorityFrames");
  let fault: { readonly code: number; readonly reason: string };
  if (end - start !== 5) {
    fault = { code: errorCodes.FRAME_SIZE_ERROR, reason: "PRIORITY not of 5 octets (6.3)" };
  } else if (readUint31(bytes, start) === id) {
    fault = {
      code: errorCodes.PROTOCOL_ERROR,
      reason: "a stream that depends on itself (RFC 7540 5.3.1)",
    };
  } else {
    return;
  }
  if (isIdle(core, id)) {
    // No RST_STREAM may be sent on an idle stream (RFC 9113 section 6.4).
    throw new ConnectionFault(fault.code, fault.reason);
  }
  forceReset(core, id, fault);
}

/** RFC 9113 section 6.4, and rapid reset (CVE-2023-44487). */
export function receiveReset(core: Core, bytes: Uint8Array, start: number, end: number): void {
  const id = core.frameStream;
  if (end - start !== 4) {
    throw new ConnectionFault(errorCodes.FRAME_SIZE_ERROR, "RST_STREAM not of 4 octets (6.4)");
  }
  if (id === 0 || isIdle(core, id)) {
    throw new ConnectionFault(
      errorCodes.PROTOCOL_ERROR,
      "RST_STREAM on stream 0 or an idle stream (6.4)",
    );
  }
  const code = readUint32(bytes, start);
  // A client's streams are its own: that a server resets them costs no work that matters.
  if (core.isServer) {
    countFlood(core, "peerResets");
  }
  const stream = core.streams.get(id);
  if (stream === undefined) {
    return;
  }
  const unprocessed = !core.isServer && code === errorCodes.REFUSED_STREAM;
  cutStream(core, stream, {
    code,
    by: "peer",
    unprocessed,
    reason: `peer sent RST_STREAM ${errorCodeName(code)}`,
  });
}

/** RFC 9113 section 6.5. */
export function receiveSettings(core: Core, bytes: Uint8Array, start: number, end: number): void {
  const length = end - start;
  if (core.frameStream !== 0) {
    throw new ConnectionFault(errorCodes.PROTOCOL_ERROR, "SETTINGS on a stream (6.5)");
  }
  if ((core.frameFlags & flags.ACK) !== 0) {
    if (length !== 0) {
      throw new ConnectionFault(errorCodes.FRAME_SIZE_ERROR, "SETTINGS ACK with payload (6.5)");
    }
    receiveSettingsAck(core);
    return;
  }
  if (length % 6 !== 0) {
    throw new ConnectionFault(errorCodes.FRAME_SIZE_ERROR, "SETTINGS not of 6-octet entries (6.5)");
  }
  countFlood(core, "settingsFrames");
  if (length > core.options.maxSettingsEntries * 6) {
    throw new ConnectionFault(
      errorCodes.ENHANCE_YOUR_CALM,
      `limit maxSettingsEntries: more than ${core.options.maxSettingsEntries}`,
    );
  }
  const isFirst = !core.peerSettingsReceived;
  core.peerSettingsReceived = true;
  core.handshakeDeadline = Infinity;
  if (isFirst) {
    core.peerMaxStreams = largestInt31;
  }
  for (let at = start; at < end; at += 6) {
    applySetting(core, (bytes[at]! << 8) | bytes[at + 1]!, readUint32(bytes, at + 2));
  }
  appendFrameHeader(core.output, 0, frameKind(frameTypes.SETTINGS, flags.ACK), 0);
}

/** RFC 9113 section 6.5.2. */
function applySetting(core: Core, id: number, value: number): void {
  switch (id) {
    case settingIds.HEADER_TABLE_SIZE:
      core.encoder.setPeerCapacity(value);
      break;
    case settingIds.ENABLE_PUSH:
      if (value > 1 || (value === 1 && !core.isServer)) {
        throw new ConnectionFault(
          errorCodes.PROTOCOL_ERROR,
          `SETTINGS_ENABLE_PUSH is ${value} (6.5.2)`,
        );
      }
      break;
    case settingIds.MAX_CONCURRENT_STREAMS:
      core.peerMaxStreams = value;
      break;
    case settingIds.INITIAL_WINDOW_SIZE:
      applyInitialWindow(core, value);
      break;
    case settingIds.MAX_FRAME_SIZE:
      if (value < smallestMaxFrameSize || value > largestMaxFrameSize) {
        throw new ConnectionFault(
          errorCodes.PROTOCOL_ERROR,
          `SETTINGS_MAX_FRAME_SIZE is ${value} (6.5.2)`,
        );
      }
      core.peerMaxFrameSize = value;
      break;
    case settingIds.MAX_HEADER_LIST_SIZE:
      core.peerMaxHeaderListSize = value;
      break;
    default:
    // Unknown settings are ignored.
  }
}

/** Windows of open streams move with the setting and may become negative (RFC 9113 section 6.9.2). */
function applyInitialWindow(core: Core, value: number): void {
  if (value > largestInt31) {
    throw new ConnectionFault(
      errorCodes.FLOW_CONTROL_ERROR,
      "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1 (6.5.2)",
    );
  }
  const delta = value - core.peerInitialWindow;
  core.peerInitialWindow = value;
  for (const stream of core.streams.values()) {
    if (stream.sendWindow + delta > largestInt31) {
      throw new ConnectionFault(
        errorCodes.FLOW_CONTROL_ERROR,
        "SETTINGS_INITIAL_WINDOW_SIZE makes a window larger than 2^31-1 (6.9.2)",
      );
    }
    stream.sendWindow += delta;
    if (delta > 0) {
      unblock(core, stream);
    }
  }
}

function receiveSettingsAck(core: Core): void {
  const acknowledged = core.unacknowledgedSettings.shift();
  if (acknowledged === undefined) {
    countFlood(core, "emptyFrames");
  } else {
    core.decoder.allowCapacity(core.options.headerTableSize);
    shiftStreamWindows(core, Math.min(0, acknowledged.streamWindow - core.streamWindow));
  }
}

/** RFC 9113 section 6.7. */
export function receivePing(core: Core, bytes: Uint8Array, start: number, end: number): void {
  if (end - start !== 8) {
    throw new ConnectionFault(errorCodes.FRAME_SIZE_ERROR, "PING not of 8 octets (6.7)");
  }
  if (core.frameStream !== 0) {
    throw new ConnectionFault(errorCodes.PROTOCOL_ERROR, "PING on a stream (6.7)");
  }
  const high = readUint32(bytes, start);
  const low = readUint32(bytes, start + 4);
  if ((core.frameFlags & flags.ACK) !== 0) {
    receivePong(core, high);
    return;
  }
  if (!core.pings.take(core.now)) {
    const { minIntervalMs, maxStrikes } = core.options.pings;
    throw new ConnectionFault(
      errorCodes.ENHANCE_YOUR_CALM,
      `too_many_pings: more than ${maxStrikes} within ${minIntervalMs} ms of another, and no data`,
    );
  }
  appendPing(core.output, flags.ACK, high, low);
}

function receivePong(core: Core, purpose: number): void {
  if (purpose === pingPurposes.probe && core.tuner.probing) {
    finishProbe(core);
  } else if (purpose === pingPurposes.goaway && core.goawayDeadline !== Infinity) {
    finishShutdown(core);
  } else if (purpose === pingPurposes.application && core.applicationPingAt >= 0) {
    const roundTrip = core.now - core.applicationPingAt;
    core.applicationPingAt = -1;
    core.events.onPong(roundTrip);
  } else if (purpose !== pingPurposes.keepalive) {
    countFlood(core, "emptyFrames");
  }
}

/** The bandwidth was measured: larger windows, if they were what held the peer back. */
function finishProbe(core: Core): void {
  const estimate = core.tuner.finish(core.now);
  const connectionTarget = Math.min(core.options.maxWindow, estimate * 2);
  if (connectionTarget > core.window.target) {
    const increment = core.window.growTo(connectionTarget);
    appendUint32Frame(core.output, frameTypes.WINDOW_UPDATE, 0, increment);
  }
  if (estimate > core.streamWindow) {
    const delta = estimate - core.streamWindow;
    announceSettings(core, [[settingIds.INITIAL_WINDOW_SIZE, estimate]], estimate);
    shiftStreamWindows(core, delta);
  }
}

/** Our SETTINGS_INITIAL_WINDOW_SIZE moves the windows of all streams (RFC 9113 section 6.9.2). */
function shiftStreamWindows(core: Core, delta: number): void {
  if (delta !== 0) {
    core.streamWindow += delta;
    for (const stream of core.streams.values()) {
      stream.receiveWindow.shift(delta);
      // What was too little to announce of a larger window may be much of a smaller one.
      creditStream(core, stream, 0);
    }
  }
}

/** Sends SETTINGS, whose acknowledgement is then due (RFC 9113 section 6.5.3); `streamWindow` as it will be. */
export function announceSettings(
  core: Core,
  settings: readonly (readonly [id: number, value: number])[],
  streamWindow: number,
): void {
  appendSettings(core.output, settings);
  core.unacknowledgedSettings.push({
    deadline: core.now + core.options.settingsAckMs,
    streamWindow,
  });
}

/** RFC 9113 section 6.8. */
export function receiveGoaway(core: Core, bytes: Uint8Array, start: number, end: number): void {
  if (core.frameStream !== 0) {
    throw new ConnectionFault(errorCodes.PROTOCOL_ERROR, "GOAWAY on a stream (6.8)");
  }
  if (end - start < 8) {
    throw new ConnectionFault(errorCodes.FRAME_SIZE_ERROR, "GOAWAY of less than 8 octets (6.8)");
  }
  const last = readUint31(bytes, start);
  if (last > core.peerGoawayLast) {
    throw new ConnectionFault(
      errorCodes.PROTOCOL_ERROR,
      "GOAWAY with a higher last stream than before (6.8)",
    );
  }
  core.peerGoawayLast = last;
  core.peerGoawayCode = readUint32(bytes, start + 4);
  core.peerGoawayReceived = true;
  startDraining(core);
  if (core.isServer) {
    return;
  }
  for (const stream of core.streams.values()) {
    if (stream.id > last) {
      cutStream(core, stream, {
        code: errorCodes.REFUSED_STREAM,
        by: "peer",
        unprocessed: true,
        reason: `peer sent GOAWAY ${errorCodeName(core.peerGoawayCode)} and did not take the stream`,
      });
    }
  }
}

/** RFC 9113 section 6.9. */
export function receiveWindowUpdate(
  core: Core,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const id = core.frameStream;
  if (end - start !== 4) {
    throw new ConnectionFault(errorCodes.FRAME_SIZE_ERROR, "WINDOW_UPDATE not of 4 octets (6.9)");
  }
  if (core.dataFramesSent > 0) {
    core.bucket("windowUpdates").earn(core.dataFramesSent * 2);
    core.dataFramesSent = 0;
  }
  countFlood(core, "windowUpdates");
  const increment = readUint31(bytes, start);
  if (id === 0) {
    openConnectionWindow(core, increment);
    return;
  }
  if (isIdle(core, id)) {
    throw new ConnectionFault(errorCodes.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream (5.1)");
  }
  const stream = core.streams.get(id);
  if (stream === undefined) {
    return;
  }
  if (increment === 0) {
    forceReset(core, id, {
      code: errorCodes.PROTOCOL_ERROR,
      reason: "WINDOW_UPDATE by 0 (6.9)",
    });
  } else if (stream.sendWindow + increment > largestInt31) {
    forceReset(core, id, {
      code: errorCodes.FLOW_CONTROL_ERROR,
      reason: "WINDOW_UPDATE beyond 2^31-1 (6.9.1)",
    });
  } else {
    stream.sendWindow += increment;
    unblock(core, stream);
  }
}

function openConnectionWindow(core: Core, increment: number): void {
  if (increment === 0) {
    throw new ConnectionFault(errorCodes.PROTOCOL_ERROR, "WINDOW_UPDATE by 0 (6.9)");
  }
  if (core.sendWindow + increment > largestInt31) {
    throw new ConnectionFault(errorCodes.FLOW_CONTROL_ERROR, "WINDOW_UPDATE beyond 2^31-1 (6.9.1)");
  }
  core.sendWindow += increment;
  unblockAll(core);
}
