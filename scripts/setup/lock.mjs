// One set-up at a time in a checkout. The lock is a file with the holder's pid that the holder touches while it works;
// it is stale when the holder is gone or has not touched it for a minute (a pid may have been given to another process).

import { closeSync, mkdirSync, openSync, rmSync, statSync, utimesSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { readText } from "./stamp.mjs";

const TOUCH_MS = 5_000;
const STALE_MS = 60_000;
const POLL_MS = 100;

/**
 * Runs `work` while holding the lock; waits for another holder first and says so once.
 * @template T @param {string} file @param {(text: string) => void} say @param {() => Promise<T>} work @returns {Promise<T>}
 */
export async function withLock(file, say, work) {
  mkdirSync(dirname(file), { recursive: true });
  let told = false;
  while (!take(file)) {
    if (isStale(file)) {
      breakLock(file);
      continue;
    }
    if (!told) say(`another set-up is running (pid ${readText(file) ?? "?"}); waiting for it`);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const touching = setInterval(() => utimesSync(file, new Date(), new Date()), TOUCH_MS);
  const release = () => {
    if (readText(file) === String(process.pid)) rmSync(file, { force: true });
  };
  process.once("exit", release);
  try {
    return await work();
  } finally {
    clearInterval(touching);
    process.off("exit", release);
    release();
  }
}

/** @param {string} file */
function take(file) {
  try {
    const fd = openSync(file, "wx");
    writeSync(fd, String(process.pid));
    closeSync(fd);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

/** @param {string} file */
function isStale(file) {
  const age = ageOf(file);
  if (age === undefined) return false;
  if (age > STALE_MS) return true;
  const pid = Number(readText(file));
  // An empty file is a holder between opening and writing; give it a moment.
  if (!Number.isInteger(pid) || pid <= 0) return age > 2_000;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

// Two that find the same stale lock must not both remove it: the second would remove the first one's new lock. So a
// remover holds a lock of its own, and looks again.
/** @param {string} file */
function breakLock(file) {
  const guard = `${file}.breaking`;
  if (!take(guard)) {
    if ((ageOf(guard) ?? 0) > STALE_MS) rmSync(guard, { force: true });
    return;
  }
  try {
    if (isStale(file)) rmSync(file, { force: true });
  } finally {
    rmSync(guard, { force: true });
  }
}

/** Milliseconds since the file was last touched; undefined when it is gone. @param {string} file */
function ageOf(file) {
  try {
    return Date.now() - statSync(file).mtimeMs;
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}
