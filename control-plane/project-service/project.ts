/**
 * A project: the first half of every address (the domain is the other). It is created, renamed and archived, never
 * deleted. What a client sent is stored whole, so fields we do not read survive; the columns beside it are for lists.
 */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Domain,
  type Project,
  ProjectSchema,
  ProjectState,
} from "@flyte-ts/contract/flyteidl2/project/project_service_pb.ts";
import { invalidArgument } from "@flyte-ts/core";

export interface ProjectRow {
  id: string;
  name: string;
  description: string;
  labels: Readonly<Record<string, string>>;
  state: number;
  raw: Uint8Array;
}

export interface DomainConfig {
  id: string;
  name: string;
}

/** Domains of a server that was not told others. */
export const DEFAULT_DOMAINS: readonly DomainConfig[] = [
  { id: "development", name: "Development" },
  { id: "staging", name: "Staging" },
  { id: "production", name: "Production" },
];

/** A DNS label, because it becomes part of host names and Kubernetes namespaces. */
const PROJECT_ID = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const MAX_NAME = 255;
const MAX_DESCRIPTION = 300;
const STATES: readonly number[] = Object.values(ProjectState);

/** What is stored for a project as received; throws `invalid` when a rule is broken. */
export function projectRow(project: Project | undefined): ProjectRow {
  if (!project?.id) throw invalidArgument("the project has no id; give it one such as my-project");
  const { id, name, description, state } = project;
  if (!PROJECT_ID.test(id)) {
    throw invalidArgument(
      `the project id ${JSON.stringify(id.slice(0, 80))} is not allowed: use at most 63 of a-z, 0-9 and "-", with no "-" at either end`,
    );
  }
  if (length(name) > MAX_NAME) throw invalidArgument(`the name of project ${id} is longer than ${MAX_NAME} characters`);
  if (length(description) > MAX_DESCRIPTION) {
    throw invalidArgument(`the description of project ${id} is longer than ${MAX_DESCRIPTION} characters`);
  }
  if (!STATES.includes(state)) throw invalidArgument(`project ${id}: ${state} is not a project state`);
  const labels = project.labels?.values ?? {};
  const texts = [name, description, ...Object.entries(labels).flat()];
  if (texts.some((text) => text.includes("\0"))) throw invalidArgument(`project ${id}: a text holds a NUL character`);
  // Domains come from the configuration and org has no meaning here: neither is the client's to store.
  const raw = toBinary(ProjectSchema, { ...project, domains: [], org: "" });
  return { id, name, description, labels, state, raw };
}

/** A stored project as clients see it. */
export function projectMessage(raw: Uint8Array, domains: readonly Domain[]): Project {
  const project = fromBinary(ProjectSchema, raw);
  project.domains = [...domains];
  return project;
}

function length(text: string): number {
  return [...text].length;
}
