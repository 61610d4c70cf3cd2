#!/usr/bin/env node
// Makes the container image's file system: a folder for the Dockerfile, or an archive (OCI) of an image for a cluster
// without a registry. Both hold the same files. Plain JavaScript, for any Node ≥ 18.

import { resolve } from "node:path";
import { cachedArchive } from "./image/archive.mjs";
import { buildFileSystem } from "./image/file-system.mjs";
import { bringNode, findPinnedNode } from "./setup/node.mjs";
import { teller } from "./setup/tell.mjs";
import { orExplain, ROOT, setup } from "./setup.mjs";

const USAGE = `usage: node scripts/image.mjs --out DIR | --archive
  --out DIR   make the file system in this new folder
  --archive   make an image archive, kept by what is in it; prints {"ref", "archive"}
`;

/** @param {string[]} argv */
async function main(argv) {
  const [word, out] = argv;
  const wanted = word === "--out" ? out !== undefined && argv.length === 2 : word === "--archive" && argv.length === 1;
  if (!wanted) {
    process.stderr.write(USAGE);
    return 2;
  }
  const tell = teller();
  await setup({ tell });
  const node = findPinnedNode(ROOT) ?? (await bringNode(ROOT, tell));
  const build = (folder) => buildFileSystem({ root: ROOT, out: folder, node, tell });
  if (word === "--out") await build(resolve(out));
  else process.stdout.write(`${JSON.stringify(await cachedArchive({ root: ROOT, node, tell, build }))}\n`);
  return 0;
}

await orExplain(() => main(process.argv.slice(2)), true);
