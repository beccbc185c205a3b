import { pingPurposes } from "./core.ts";
import type { Core } from "./core.ts";
import { Http2Error, errorCodes } from "./errors.ts";
import {
  beginShutdown,
  cutStream,
  endConnection,
  failConnection,
  finishShutdown,
  sendOwnPing,
} from "./lifecycle.ts";

// Deadlines. The machine has no clock: the driver keeps one timer for `nextTickAt` and brings the time.

/** When the driver should bring the time next, at the latest; Infinity if nothing is due ever. */
export function nextTickAt(core: Core): number {
  if (core.phase === "closed") {
    return Infinity;
  }
  return Math.min(
    core.handshakeDeadline,
    core.frameDeadline,
    core.goawayDeadline,
    core.unacknowledgedSettings[0]?.deadline ?? Infinity,
    core.keepaliveDeadline,
    core.nextStallLook,
    core.slabDeadline,
    keepaliveDue(core),
    idleDue(core),
  );
}

/** Does what has fallen due. */
export function runDeadlines(core: Core, now: number): void {
  if (now >= core.handshakeDeadline) {
    fail(core, "no preface and SETTINGS within handshakeMs");
  } else if (now >= core.frameDeadline) {
    fail(core, "a frame or header block was begun and not completed within frameMs");
  } else if (now >= (core.unacknowledgedSettings[0]?.deadline ?? Infinity)) {
    failConnection(core, "PEER_TOO_SLOW", {
      code: errorCodes.SETTINGS_TIMEOUT,
      reason: "SETTINGS were not acknowledged within settingsAckMs (6.5.3)",
    });
  } else if (now >= core.keepaliveDeadline) {
    endConnection(
      core,
      new Http2Error(
        "PEER_SILENT",
        `peer sent nothing for ${core.options.keepaliveTimeoutMs} ms after a keepalive ping`,
      ),
    );
  }
  if (core.phase === "closed") {
    return;
  }
  if (now >= core.goawayDeadline) {
    finishShutdown(core);
  }
  if (now >= keepaliveDue(core)) {
    core.keepaliveDeadline = now + core.options.keepaliveTimeoutMs;
    sendOwnPing(core, pingPurposes.keepalive);
  }
  if (now >= idleDue(core)) {
    beginShutdown(core, now);
  }
  if (now >= core.slabDeadline) {
    core.slabDeadline = Infinity;
    core.output.shrink();
  }
  if (now >= core.nextStallLook) {
    lookForStalls(core, now);
  }
}

/** Output was taken: plans the next looks for what could stall and for memory that is no longer needed. */
export function planLooks(core: Core, now: number, hasTaken: boolean): void {
  if (hasTaken) {
    core.slabDeadline = now + quietMs;
  }
  const mayStall = core.queued > 0 || core.output.size > 0;
  if (!mayStall) {
    core.nextStallLook = Infinity;
  } else if (core.nextStallLook === Infinity) {
    core.nextStallLook = now + core.options.stallMs / 2;
  }
}

/** Queued data that has not moved, and output that nobody took: a peer that does not read. */
function lookForStalls(core: Core, now: number): void {
  const { stallMs } = core.options;
  if (core.output.size > 0) {
    core.outputStalledSince = core.outputStalledSince < 0 ? now : core.outputStalledSince;
    if (now - core.outputStalledSince >= stallMs) {
      fail(core, "output was not read within stallMs");
      return;
    }
  }
  for (const stream of core.streams.values()) {
    if (stream.queue.length === 0) {
      continue;
    }
    stream.stalledSince = stream.stalledSince < 0 ? now : stream.stalledSince;
    if (now - stream.stalledSince >= stallMs) {
      cutStream(core, stream, {
        code: errorCodes.CANCEL,
        by: "machine",
        unprocessed: false,
        reason: "queued data did not move within stallMs",
      });
    }
  }
  core.nextStallLook = now + stallMs / 2;
}

function fail(core: Core, reason: string): void {
  failConnection(core, "PEER_TOO_SLOW", { code: errorCodes.ENHANCE_YOUR_CALM, reason });
}

function keepaliveDue(core: Core): number {
  const { keepaliveMs, keepaliveWithoutStreams } = core.options;
  const wanted = keepaliveMs > 0 && (keepaliveWithoutStreams || core.streams.size > 0);
  return wanted && core.keepaliveDeadline === Infinity
    ? core.lastReceivedAt + keepaliveMs
    : Infinity;
}

function idleDue(core: Core): number {
  const { idleMs } = core.options;
  return idleMs > 0 && core.phase === "open" ? core.idleSince + idleMs : Infinity;
}

/** A connection that has sent nothing for so long keeps no memory to send from. */
const quietMs = 1_000;
