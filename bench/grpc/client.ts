// One client under load, as a process: node client.ts FOLDER LIBRARY PORT '{"inFlight": 64, …}'
// It prints its calls, their latencies, and what processor time they cost it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createClient as createConnectClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Client, Metadata, credentials } from "@grpc/grpc-js";
import { createChannel, createClient as createNiceClient } from "nice-grpc";
import { createClient } from "@handfast/grpc";
import {
  createMutualTls,
  identityFromFiles,
  noRevocation,
  nobody,
  trustFromFile,
} from "@handfast/tls";
import type { BytesValue } from "@bufbuild/protobuf/wkt";
import { Echo, echoDefinition, messageOf } from "./echo.ts";
import { telemetryOf } from "./features.ts";

/** How much is asked for at a time, and how long. */
interface Load {
  readonly inFlight: number;
  readonly size: number;
  readonly milliseconds: number;
  readonly streaming?: boolean;
}

/** A client of any library. */
interface EchoClient {
  unary(message: BytesValue): Promise<BytesValue>;
  /** Opens a stream, and gives what sends one message and waits for its answer. */
  stream(): (message: BytesValue) => Promise<BytesValue>;
}

type Streaming = (requests: AsyncIterable<BytesValue>) => AsyncIterable<BytesValue>;

const [folder = "", library = "", port = "", load = "{}"] = process.argv.slice(2);
const target = `localhost:${port}`;
const read = (name: string): Buffer => readFileSync(join(folder, name));
const [ca, cert, key] = [read("ca.pem"), read("client.pem"), read("client-key.pem")];
await measure(await connect(), JSON.parse(load) as Load);
process.exit();

async function measure(client: EchoClient, plan: Load): Promise<void> {
  // Until the code is compiled, which takes a while on a machine that others use too.
  await run(client, { ...plan, milliseconds: Math.max(1_500, plan.milliseconds) });
  const before = process.cpuUsage();
  const start = performance.now();
  const latencies = await run(client, plan);
  const seconds = (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(before);
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
  const calls = latencies.length;
  console.log(
    JSON.stringify({
      calls,
      seconds,
      p50Micros: at(0.5) * 1_000,
      p99Micros: at(0.99) * 1_000,
      cpuSeconds: (user + system) / 1e6,
    }),
  );
}

async function run(client: EchoClient, plan: Load): Promise<number[]> {
  const message = messageOf(plan.size);
  const end = performance.now() + plan.milliseconds;
  const latencies: number[] = [];
  const repeat = async (call: (message: BytesValue) => Promise<BytesValue>): Promise<void> => {
    for (let start = performance.now(); start < end;) {
      const answer = await call(message);
      if (answer.value.length !== plan.size) throw new Error("the answer is another");
      const now = performance.now();
      latencies.push(now - start);
      start = now;
    }
  };
  await Promise.all(
    Array.from({ length: plan.inFlight }, () =>
      repeat(plan.streaming === true ? client.stream() : (request) => client.unary(request)),
    ),
  );
  return latencies;
}

function connect(): EchoClient | Promise<EchoClient> {
  switch (library) {
    case "handfast":
      return connectHandfast(new Set());
    case "handfast, all on":
      return connectHandfast(new Set(["metrics", "traces"]));
    case "grpc-js":
      return connectGrpcJs();
    case "nice-grpc":
      return connectNice();
    case "connect":
      return connectConnect();
    default:
      throw new TypeError(`no library ${library}`);
  }
}

async function connectHandfast(features: ReadonlySet<string>): Promise<EchoClient> {
  const mtls = await createMutualTls({
    identity: identityFromFiles({
      certFile: join(folder, "client.pem"),
      keyFile: join(folder, "client-key.pem"),
    }),
    trust: trustFromFile(join(folder, "ca.pem")),
    revocation: noRevocation(),
    admit: nobody(),
  });
  const client = createClient(Echo, {
    tls: mtls,
    target,
    limits: { maxReceiveMessageBytes: 8_388_608, maxSendMessageBytes: 8_388_608 },
    ...telemetryOf(features),
  }) as unknown as { unary: EchoClient["unary"]; stream: Streaming };
  return { unary: (message) => client.unary(message), stream: () => pingPong(client.stream) };
}

function connectGrpcJs(): EchoClient {
  const client = new Client(target, credentials.createSsl(ca, key, cert), {
    "grpc.max_receive_message_length": 8_388_608,
  });
  const { unary, stream } = echoDefinition;
  return {
    unary: (message) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          unary.path,
          unary.requestSerialize,
          unary.responseDeserialize,
          message,
          new Metadata(),
          { deadline: Date.now() + 30_000 },
          (error, answer) => (answer === undefined ? reject(error) : resolve(answer)),
        );
      }),
    stream() {
      const call = client.makeBidiStreamRequest(
        stream.path,
        stream.requestSerialize,
        stream.responseDeserialize,
      );
      let answered: (answer: BytesValue) => void = () => undefined;
      call.on("data", (answer: BytesValue) => answered(answer));
      return (message) =>
        new Promise((resolve) => {
          answered = resolve;
          call.write(message);
        });
    },
  };
}

function connectNice(): EchoClient {
  const channel = createChannel(target, credentials.createSsl(ca, key, cert), {
    "grpc.max_receive_message_length": 8_388_608,
  });
  const client = createNiceClient(echoDefinition, channel);
  return {
    unary: (message) => client.unary(message),
    stream: () => pingPong((requests) => client.stream(requests)),
  };
}

function connectConnect(): EchoClient {
  const transport = createGrpcTransport({
    baseUrl: `https://${target}`,
    nodeOptions: { ca: [ca], cert, key },
    defaultTimeoutMs: 30_000,
    readMaxBytes: 8_388_608,
  });
  const client = createConnectClient(Echo, transport) as unknown as {
    unary: EchoClient["unary"];
    stream: Streaming;
  };
  return { unary: (message) => client.unary(message), stream: () => pingPong(client.stream) };
}

/** Sends a message when asked to, and waits for its answer, on a stream of async iterables. */
function pingPong(open: Streaming): (message: BytesValue) => Promise<BytesValue> {
  let send: (message: BytesValue) => void = () => undefined;
  let next = new Promise<BytesValue>((resolve) => {
    send = resolve;
  });
  async function* requests(): AsyncGenerator<BytesValue> {
    for (;;) {
      const message = await next;
      next = new Promise((resolve) => {
        send = resolve;
      });
      yield message;
    }
  }
  const answers = open(requests())[Symbol.asyncIterator]();
  return async (message) => {
    send(message);
    const { value, done } = await answers.next();
    if (done === true) throw new Error("the stream has ended");
    return value;
  };
}
