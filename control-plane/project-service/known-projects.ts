/** What other rooms ask about projects: is there one with this id? */

import { create } from "@bufbuild/protobuf";
import { ProjectSchema } from "@flyte-ts/contract/flyteidl2/project/project_service_pb.ts";
import { type AppError, notFound } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { projectRow } from "./project.ts";
import { insertProjects, projectExists } from "./store.ts";

/** Throws `not_found` unless the project exists, archived or not. */
export type RequireProject = (sql: Sql, id: string) => Promise<void>;

export const requireProject: RequireProject = async (sql, id) => {
  if (!(await projectExists(sql, id))) throw projectNotFound(id);
};

/** `requireProject` with a memory: projects are never deleted, so one that was seen needs no second look. */
export function rememberProjects(): RequireProject {
  const known = new Set<string>();
  return async (sql, id) => {
    if (known.has(id)) return;
    await requireProject(sql, id);
    known.add(id);
  };
}

/** Creates the projects that do not exist yet; safe to repeat, and from several replicas at once. */
export async function seedProjects(sql: Sql, ids: readonly string[]): Promise<void> {
  // In one order everywhere, so that replicas that start together wait for each other and never in a circle.
  const rows = [...new Set(ids)].sort().map((id) => projectRow(create(ProjectSchema, { id, name: id })));
  if (rows.length > 0) await insertProjects(sql, rows);
}

export function projectNotFound(id: string): AppError {
  return notFound(`project ${JSON.stringify(id)} not found; list the projects to see what exists, or create it`);
}
