/** A lean client of the Connect protocol: what a benchmark spends on itself is taken from the server on a small machine. */
import { Agent, request } from "node:http";
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";

export interface Method<I extends DescMessage, O extends DescMessage> {
  name: string;
  parent: { typeName: string };
  input: I;
  output: O;
}

export interface Wire {
  /** Rejects with the server's code and message. */
  unary<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    input: MessageShape<I>,
  ): Promise<MessageShape<O>>;
  /** Ends when the server ends the stream or `signal` is aborted. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    input: MessageShape<I>,
    signal: AbortSignal,
  ): AsyncGenerator<MessageShape<O>>;
  metrics(): Promise<Map<string, number>>;
  close(): void;
}

export function connectWire(endpoint: string): Wire {
  const { hostname, port } = new URL(endpoint);
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const path = (method: Method<DescMessage, DescMessage>) => `/${method.parent.typeName}/${method.name}`;

  function send(target: string, type: string, body: Uint8Array): Promise<{ status: number; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const headers = { "content-type": type, "content-length": body.length, "connect-protocol-version": "1" };
      const call = request({ agent, hostname, port, path: target, method: "POST", headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
        response.on("error", reject);
      });
      call.on("error", reject);
      call.end(body);
    });
  }

  return {
    async unary(method, input) {
      const answer = await send(path(method), "application/proto", toBinary(method.input, input));
      if (answer.status !== 200) throw new Error(`${path(method)}: ${answer.status} ${answer.body.toString("utf8")}`);
      return fromBinary(method.output, answer.body);
    },
    async *stream(method, input, signal) {
      const message = toBinary(method.input, input);
      const body = Buffer.alloc(5 + message.length);
      body.writeUInt32BE(message.length, 1);
      body.set(message, 5);
      const response = await fetch(`${endpoint}${path(method)}`, {
        method: "POST",
        headers: { "content-type": "application/connect+proto", "connect-protocol-version": "1" },
        body,
        signal,
      });
      let rest = Buffer.alloc(0);
      for await (const chunk of response.body ?? []) {
        rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
        let at = 0;
        while (rest.length - at >= 5) {
          const length = rest.readUInt32BE(at + 1);
          if (rest.length - at - 5 < length) break;
          const payload = rest.subarray(at + 5, at + 5 + length);
          if ((rest[at] ?? 0) & 2) {
            const end = JSON.parse(payload.toString("utf8")) as { error?: { code: string; message: string } };
            if (end.error) throw new Error(`${path(method)}: ${end.error.code}: ${end.error.message}`);
            return;
          }
          yield fromBinary(method.output, payload);
          at += 5 + length;
        }
        rest = rest.subarray(at);
      }
    },
    async metrics() {
      return samplesOf(await (await fetch(`${endpoint}/metrics`)).text());
    },
    close: () => agent.destroy(),
  };
}

/** Of the text format of Prometheus: values by name and labels. */
export function samplesOf(text: string): Map<string, number> {
  const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    samples.map((line) => {
      const space = line.lastIndexOf(" ");
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}
