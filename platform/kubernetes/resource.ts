/**
 * The verbs of one kind of object, typed by what the caller knows of it.
 *
 *     const leases = client.resource<Lease>({ group: "coordination.k8s.io", version: "v1", plural: "leases", namespaced: true });
 *
 * Promise: names are encoded, so that no name can reach another path; every failure names verb, resource and object.
 */
import type { IncomingMessage } from "node:http";
import type { KubernetesClient, Query, Request } from "./client.ts";
import type { Target, Verb } from "./errors.ts";
import type { KubeObject, ObjectList, Status } from "./objects.ts";

export interface ResourceDefinition {
  /** Empty for the core group. */
  group: string;
  version: string;
  plural: string;
  namespaced: boolean;
}

export interface Place {
  /** The client's own when absent; unused for kinds without one. */
  namespace?: string;
  signal?: AbortSignal;
}

export interface Selection extends Omit<Place, "namespace"> {
  /** All namespaces when absent. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
}

export interface ListOptions extends Selection {
  limit?: number;
  continue?: string;
}

export interface WatchOptions extends Selection {
  resourceVersion: string;
  timeoutSeconds?: number;
}

export interface WriteOptions {
  signal?: AbortSignal;
  dryRun?: boolean;
  fieldManager?: string;
}

export interface ApplyOptions extends WriteOptions {
  fieldManager: string;
  /** Takes fields from other managers. */
  force?: boolean;
  subresource?: "status";
}

export interface DeleteOptions extends Place {
  propagation?: "Background" | "Foreground" | "Orphan";
  gracePeriodSeconds?: number;
  /** Refused with Conflict when it is another object by now. */
  preconditions?: { uid?: string; resourceVersion?: string };
}

/** RFC 7396: what is named is replaced, null removes. */
export type MergePatch<T> = {
  [K in keyof T]?: T[K] extends object | undefined ? MergePatch<T[K]> | null : T[K] | null;
};

export interface Resource<T extends KubeObject> {
  readonly definition: ResourceDefinition;
  get(name: string, place?: Place): Promise<T>;
  /** One page. */
  list(options?: ListOptions): Promise<ObjectList<T>>;
  create(object: T, options?: WriteOptions): Promise<T>;
  /** Replaces; with a resourceVersion only that version, or Conflict. */
  replace(object: T, options?: WriteOptions & { subresource?: "status" }): Promise<T>;
  /** Server-side apply: apiVersion, kind and name are needed. */
  apply(object: T, options: ApplyOptions): Promise<T>;
  patch(
    name: string,
    patch: MergePatch<T>,
    options?: Place & { subresource?: "status"; fieldManager?: string },
  ): Promise<T>;
  patchStatus(name: string, patch: MergePatch<T>, options?: Place & { fieldManager?: string }): Promise<T>;
  /** What is being deleted (with finalizers or a grace period), or a Status when it is gone. */
  delete(name: string, options?: DeleteOptions): Promise<T | Status>;
  /** The raw stream of events; `listWatch` is what to use. */
  watch(options: WatchOptions): Promise<IncomingMessage>;
}

export function resource<T extends KubeObject>(client: KubernetesClient, definition: ResourceDefinition): Resource<T> {
  const { group, version, plural, namespaced } = definition;
  const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;

  function at(verb: Verb, namespace: string | undefined, name?: string, subresource?: string) {
    const inside = namespaced && namespace ? namespace : undefined;
    const space = inside ? `/namespaces/${encodeURIComponent(inside)}` : "";
    const which = name === undefined ? "" : `/${encodeURIComponent(name)}`;
    const target: Target = {
      verb,
      resource: subresource ? `${plural}/${subresource}` : plural,
      group,
      ...(inside ? { namespace: inside } : {}),
      ...(name === undefined ? {} : { name }),
    };
    return { path: `${root}${space}/${plural}${which}${subresource ? `/${subresource}` : ""}`, target };
  }

  const own = (namespace: string | undefined) => namespace ?? client.namespace;
  const aborted = ({ signal }: { signal?: AbortSignal }) => (signal ? { signal } : {});
  const call = <A>(request: Request) => client.request<A>(request);

  const verbs: Resource<T> = {
    definition,
    get: (name, place = {}) => call({ method: "GET", ...at("get", own(place.namespace), name), ...aborted(place) }),
    list(options = {}) {
      const query: Query = { ...selection(options), limit: options.limit, continue: options.continue };
      return call({ method: "GET", ...at("list", options.namespace), query, ...aborted(options) });
    },
    create(object, options = {}) {
      const { path, target } = at("create", own(object.metadata.namespace));
      const named = object.metadata.name ? { ...target, name: object.metadata.name } : target;
      return call({ method: "POST", path, target: named, query: writing(options), body: object, ...aborted(options) });
    },
    replace(object, options = {}) {
      const where = at("update", own(object.metadata.namespace), object.metadata.name, options.subresource);
      return call({ method: "PUT", ...where, query: writing(options), body: object, ...aborted(options) });
    },
    apply(object, options) {
      const where = at("patch", own(object.metadata.namespace), object.metadata.name, options.subresource);
      const query = { ...writing(options), force: options.force };
      const contentType = "application/apply-patch+yaml";
      return call({ method: "PATCH", ...where, query, body: object, contentType, ...aborted(options) });
    },
    patch(name, patch, options = {}) {
      const where = at("patch", own(options.namespace), name, options.subresource);
      const query = { fieldManager: options.fieldManager };
      const contentType = "application/merge-patch+json";
      return call({ method: "PATCH", ...where, query, body: patch, contentType, ...aborted(options) });
    },
    patchStatus: (name, patch, options) => verbs.patch(name, patch, { ...options, subresource: "status" }),
    delete(name, options = {}) {
      const body = {
        kind: "DeleteOptions",
        apiVersion: "v1",
        propagationPolicy: options.propagation ?? "Background",
        gracePeriodSeconds: options.gracePeriodSeconds,
        preconditions: options.preconditions,
      };
      return call({ method: "DELETE", ...at("delete", own(options.namespace), name), body, ...aborted(options) });
    },
    watch(options) {
      const query = {
        ...selection(options),
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion: options.resourceVersion,
        timeoutSeconds: options.timeoutSeconds,
      };
      return client.stream({ method: "GET", ...at("watch", options.namespace), query, ...aborted(options) });
    },
  };
  return verbs;
}

function selection({ labelSelector, fieldSelector }: Selection): Query {
  return { labelSelector, fieldSelector };
}

/** Strict: a field that the schema does not know is an error, not silently dropped. */
function writing({ dryRun, fieldManager }: WriteOptions): Query {
  return { fieldManager, dryRun: dryRun ? "All" : undefined, fieldValidation: "Strict" };
}
