/**
 * Names that Kubernetes takes, made of names that it might not. Pure and deterministic: the same attempt has the same
 * name after any restart, and no two attempts of a control plane share one, whatever their projects.
 */
import { createHash } from "node:crypto";
import type { ActionRef } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";

/** A DNS label: names of containers and host names take no more. */
const MAX_NAME = 63;
const MAX_LABEL = 63;

/**
 * The name of the object that stands for an action: a DNS label short enough for attempts to be numbered behind it. The
 * run's key at its end tells runs of the same name in different projects apart.
 *
 * @example objectName(ref) // "r1-a0-7"
 */
export function objectName(ref: ActionRef): string {
  const key = ref.runKey.toString(36);
  const plain = `${ref.run}-${ref.name}`;
  const room = MAX_NAME - key.length - "-".length - "-4294967295".length;
  if (plain.length <= room && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(plain)) return `${plain}-${key}`;
  const hash = createHash("sha256").update(`${ref.run}/${ref.name}`).digest("hex").slice(0, 10);
  const slug = trimmed(plain.toLowerCase().replace(/[^-a-z0-9]+/g, "-"), room - hash.length - 1);
  return `${slug === "" ? "x" : slug}-${hash}-${key}`;
}

/** The pod of an attempt (counted from 1). */
export function podName(ref: ActionRef, attempt: number): string {
  return `${objectName(ref)}-${attempt - 1}`;
}

/** Any text as the value of a label: what is not allowed becomes a dash, what is too long is cut. */
export function labelValue(text: string): string {
  return trimmed(text.replace(/[^-A-Za-z0-9_.]/g, "-"), MAX_LABEL);
}

/** A key of a label or annotation; undefined when nothing of it can be one. */
export function labelKey(text: string): string | undefined {
  const slash = text.indexOf("/");
  const prefix = slash < 0 ? "" : text.slice(0, slash);
  const name = labelValue(text.slice(slash + 1));
  if (name === "") return undefined;
  if (slash < 0) return name;
  const domain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
  return prefix.length <= 253 && domain.test(prefix) ? `${prefix}/${name}` : labelValue(text);
}

/** Cut to a length, beginning and ending with a letter or digit. */
function trimmed(text: string, length: number): string {
  return text
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, length)
    .replace(/[^A-Za-z0-9]+$/, "");
}
