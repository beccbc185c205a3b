import { protocolInitialWindow } from "./frames.ts";

/**
 * One receiving window (RFC 9113 section 6.9): what the peer may still send, and what the application has
 * consumed and the peer has not been told of yet. Windows open on consumption, not on receipt: what is
 * received and not consumed never exceeds `target`.
 */
export class ReceiveWindow {
  /** Octets the peer may still send. */
  left: number = protocolInitialWindow;
  /** Octets it may have sent beyond what was consumed. */
  target: number = protocolInitialWindow;
  /** Octets consumed and not announced. */
  uncredited: number = 0;

  /** Counts received octets; false if the peer had no right to them. */
  receive(length: number): boolean {
    if (length > this.left && length > 0) {
      return false;
    }
    this.left -= length;
    return true;
  }

  /** Counts consumed octets; returns the increment to announce now, or 0 while it is not worth a frame. */
  consume(length: number): number {
    this.uncredited += length;
    return this.uncredited * 2 >= this.target ? this.#announce() : 0;
  }

  /** Sets a larger target and returns the increment that announces it. */
  growTo(target: number): number {
    this.uncredited += target - this.target;
    this.target = target;
    return this.#announce();
  }

  /** The target changed by SETTINGS, which the peer applies by itself (RFC 9113 section 6.9.2). */
  shift(delta: number): void {
    this.left += delta;
    this.target += delta;
  }

  /** Begins anew for another stream. */
  reset(target: number): void {
    this.left = target;
    this.target = target;
    this.uncredited = 0;
  }

  #announce(): number {
    const increment = this.uncredited;
    this.uncredited = 0;
    this.left += increment;
    return increment;
  }
}

/**
 * Measures the bandwidth-delay product: a ping goes out when data comes in fast enough to open a window,
 * and what arrives until its answer is what one round trip carries. When that nearly fills the window,
 * and the bandwidth is the best so far, the window was the brake, and it doubles.
 */
export class WindowTuner {
  /** Whether a probe is under way. */
  probing: boolean = false;
  readonly #maxWindow: number;
  #estimate: number;
  #sample: number = 0;
  #sentAt: number = 0;
  #bestBandwidth: number = 0;

  constructor(window: number, maxWindow: number) {
    this.#estimate = window;
    this.#maxWindow = maxWindow;
  }

  /** Whether to send a probe now. */
  get wantsProbe(): boolean {
    return !this.probing && this.#estimate < this.#maxWindow;
  }

  /** The probe has been sent. */
  begin(now: number): void {
    this.probing = true;
    this.#sample = 0;
    this.#sentAt = now;
  }

  /** Counts received data. */
  count(length: number): void {
    this.#sample += length;
  }

  /** The probe was answered; returns the window that the path asks for, as far as is known. */
  finish(now: number): number {
    this.probing = false;
    const bandwidth = this.#sample / Math.max(now - this.#sentAt, shortestRoundTripMs);
    if (this.#sample * 3 >= this.#estimate * 2 && bandwidth > this.#bestBandwidth) {
      this.#bestBandwidth = bandwidth;
      this.#estimate = Math.min(this.#maxWindow, Math.max(this.#estimate, this.#sample * 2));
    }
    return this.#estimate;
  }
}

const shortestRoundTripMs = 0.01;
