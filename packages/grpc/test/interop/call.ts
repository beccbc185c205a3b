// A call as the interoperability cases see it, whatever client makes it.
import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";

/** A message as protobuf-es takes it to make one. */
export type InteropRequest = Record<string, unknown>;

/** A client that the cases can use. */
export interface InteropClient extends AsyncDisposable {
  call(method: DescMethod, options?: InteropCallOptions): InteropCall;
}

export interface InteropCallOptions {
  readonly deadlineMs?: number;
  /** Whether to send the two entries of the custom metadata case. */
  readonly withMetadata?: boolean;
}

/** A call of any shape. One with a single request begins when that is sent. */
export interface InteropCall {
  send(request: InteropRequest): void;
  end(): void;
  /** The next response; undefined at the end, however the call ended. */
  next(): Promise<MessageShape<DescMessage> | undefined>;
  cancel(): void;
  readonly ended: Promise<Ended>;
}

/** How a call ended. */
export interface Ended {
  readonly code: string;
  readonly message: string;
  /** What came back of the custom metadata. */
  readonly initial: string | undefined;
  readonly trailing: readonly number[] | undefined;
}

export const initialEntry = {
  name: "x-grpc-test-echo-initial",
  value: "test_initial_metadata_value",
} as const;
export const trailingEntry = {
  name: "x-grpc-test-echo-trailing-bin",
  value: [0xab, 0xab, 0xab],
} as const;

/** Items on their way from one side to the other; one reader. */
export interface Pipe<Item> extends AsyncIterable<Item> {
  push(item: Item): void;
  end(): void;
  next(): Promise<Item | undefined>;
}

export function createPipe<Item>(): Pipe<Item> {
  const items: Item[] = [];
  let ended = false;
  let wake = (): void => undefined;
  const pipe: Pipe<Item> = {
    push(item) {
      items.push(item);
      wake();
    },
    end() {
      ended = true;
      wake();
    },
    async next() {
      while (items.length === 0 && !ended) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return items.shift();
    },
    async *[Symbol.asyncIterator]() {
      for (let item = await pipe.next(); item !== undefined; item = await pipe.next()) yield item;
    },
  };
  return pipe;
}
