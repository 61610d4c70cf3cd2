/**
 * `flyte-ts version`: which flyte-ts, which wire contract, which Node.
 */
import { readdir, readFile } from "node:fs/promises";
import type { Verb } from "../verb.ts";

const ROOT = new URL("../../../", import.meta.url);

export const verb: Verb = {
  name: "version",
  summary: "print the versions of flyte-ts, of its wire contract and of Node",
  usage: "version [--json]",
  options: { json: { type: "boolean", help: "as one line of JSON" } },
  async run({ flags }, io) {
    const versions = {
      "flyte-ts": await ownVersion(),
      flyteidl2: await contractVersion(),
      node: process.versions.node,
    };
    if (flags.json) io.stdout(`${JSON.stringify(versions)}\n`);
    else for (const [name, version] of Object.entries(versions)) io.stdout(`${name} ${version}\n`);
    return 0;
  },
};

async function ownVersion(): Promise<string> {
  const manifest: { version: string } = JSON.parse(await readFile(new URL("package.json", ROOT), "utf8"));
  return manifest.version;
}

/** The version is part of the name of the descriptor set the bindings are made from. */
async function contractVersion(): Promise<string> {
  const files = await readdir(new URL("contract/descriptors/", ROOT));
  const versions = files.map((file) => /^flyteidl2-(.+)\.binpb$/.exec(file)?.[1]);
  return versions.find((version) => version !== undefined) ?? "unknown";
}
