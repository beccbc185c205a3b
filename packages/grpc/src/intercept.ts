import type { DescMessage, MessageShape } from "@bufbuild/protobuf";

/** A message of whatever type. */
export type AnyMessage = MessageShape<DescMessage>;

/** Lets an interceptor see the messages of a call; one that throws ends the call with what it threw. */
export interface MessageTaps {
  /** Called with each request message: on a server before the handler has it, on a client before it is sent. */
  request?(message: AnyMessage): void;
  /** Called with each response message: on a server before it is sent, on a client before the caller has it. */
  response?(message: AnyMessage): void;
}

/** Runs what is listed after an interceptor. */
export type Next = (taps?: MessageTaps) => Promise<void>;

/** Runs the interceptors in the order listed, `innermost` last, with the taps of all. */
export function intercept<Call>(
  interceptors: readonly ((call: Call, next: Next) => Promise<void>)[],
  call: Call,
  innermost: (taps: readonly MessageTaps[]) => Promise<void>,
): Promise<void> {
  if (interceptors.length === 0) return innermost([]);
  const run = (index: number, taps: readonly MessageTaps[]): Promise<void> => {
    const interceptor = interceptors[index];
    if (interceptor === undefined) return innermost(taps);
    return interceptor(call, (added) =>
      run(index + 1, added === undefined ? taps : [...taps, added]),
    );
  };
  return run(0, []);
}
