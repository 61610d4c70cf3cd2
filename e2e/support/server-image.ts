/** The image that deploy/Dockerfile describes, as an archive: `scripts/image.mjs` makes the files of both. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const image = fileURLToPath(new URL("../../scripts/image.mjs", import.meta.url));

export interface ServerImage {
  ref: string;
  archive: string;
}

/** Made once of the same sources. */
export async function serverImage(): Promise<ServerImage> {
  const { stdout } = await promisify(execFile)(process.execPath, [image, "--archive"], { maxBuffer: 16 << 20 });
  return JSON.parse(stdout) as ServerImage;
}
