/**
 * Projects and domains as namespaces. Pure.
 *
 *     const map = namespaceMap({ mode: "template", template: "{project}-{domain}" });
 *     map.namespaceFor(lease); // "flytesnacks-development"
 *
 * Promise: a name is a DNS label, stays the same, and no two addresses that the template tells apart share one. Where the
 * plain name could be another address's, is too long, or is Kubernetes' own, a hash of the address is part of it.
 */
import { createHash } from "node:crypto";
import type { ActionRef } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";

export type NamespaceMapOptions =
  | { mode: "single"; namespace: string }
  /** Names `{project}`, `{domain}` or both. */
  | {
      mode: "template";
      template: string;
      /** Namespaces of others, such as the executor's own. Those of Kubernetes are never taken. */
      reserved?: readonly string[];
    };

export interface NamespaceMap {
  namespaceFor(lease: { readonly ref?: Pick<ActionRef, "project" | "domain"> | undefined }): string;
  /** Where the objects of this executor can be; undefined: anywhere, to be found by their labels. */
  readonly watched: readonly string[] | undefined;
}

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const maxLabel = 63;
const hashLength = 16;
const ofKubernetes = /^(kube-.*|default)$/;
const placeholder = /\{(\w*)\}/;

export function namespaceMap(options: NamespaceMapOptions): NamespaceMap {
  if (options.mode === "single") {
    const { namespace } = options;
    if (namespace.length > maxLabel || !label.test(namespace)) {
      throw new Error(
        `"${namespace}" can be no namespace: use at most ${maxLabel} lower-case letters, digits and dashes`,
      );
    }
    return { namespaceFor: () => namespace, watched: [namespace] };
  }
  const render = renderer(options.template, new Set(options.reserved));
  return {
    namespaceFor({ ref }) {
      if (!ref) throw new Error("a lease names no action: its `ref` is missing");
      return render(ref);
    },
    watched: undefined,
  };
}

type Field = "project" | "domain";

function renderer(template: string, others: ReadonlySet<string>): (ref: Record<Field, string>) => string {
  // Text and names of fields in turn.
  const parts = template.split(placeholder);
  const fields = parts.filter((_, index) => index % 2 === 1);
  const texts = parts.filter((_, index) => index % 2 === 0);
  const wrong = fields.find((field) => field !== "project" && field !== "domain");
  if (wrong !== undefined || fields.length === 0 || texts.some((text) => !/^[-a-z0-9]*$/.test(text))) {
    throw new Error(
      `the namespace template "${template}" is not usable: write {project}, {domain} or both, with lower-case letters, digits and dashes around them`,
    );
  }
  const names = fields as Field[];
  /** Takes as much as it can for the first field: of all addresses of one name, one is found in it. */
  const reading = new RegExp(`^${parts.map((part, index) => (index % 2 === 1 ? "(.+)" : part)).join("")}$`);
  const cache = new Map<string, string>();

  function fill(ref: Record<Field, string>): string {
    return parts.map((part, index) => (index % 2 === 1 ? ref[part as Field] : part)).join("");
  }

  function named(ref: Record<Field, string>): string {
    const plain = fill(ref);
    const read = reading.exec(plain)?.slice(1);
    const isItsOwn = read?.length === names.length && names.every((field, index) => read[index] === ref[field]);
    // Two dashes are the mark of a hash.
    const isTaken = others.has(plain) || ofKubernetes.test(plain);
    // Two dashes are the mark of a hash.
    if (isItsOwn && !isTaken && plain.length <= maxLabel && label.test(plain) && !plain.includes("--")) {
      return plain;
    }
    const address = JSON.stringify(names.map((field) => ref[field]));
    const hash = createHash("sha256").update(address).digest("hex").slice(0, hashLength);
    const slug = plain
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .slice(0, maxLabel - hashLength - 2)
      .replace(/^-+|-+$/g, "");
    return `${slug || "x"}--${hash}`;
  }

  return (ref) => {
    const address = names.map((field) => ref[field]).join("\n");
    const name = cache.get(address) ?? named(ref);
    cache.set(address, name);
    return name;
  };
}
