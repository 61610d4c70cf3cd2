import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { gatherWrites } from "./gather-writes.ts";

test("an answer that ends in the turn of its last pieces is whole", async (t) => {
  const server = createServer((_, res) => {
    gatherWrites(res);
    res.writeHead(200);
    for (const piece of ["a", "b", "c"]) res.write(piece);
    setImmediate(() => {
      res.write("d");
      res.write("e");
      res.end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (let turn = 0; turn < 2; turn++) assert.equal(await (await fetch(url)).text(), "abcde");
  server.closeAllConnections();
});
