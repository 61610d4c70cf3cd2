/** `ProjectService`: projects with the domains of the configuration in each of them. */

import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  DomainSchema,
  type ProjectService,
  ProjectState,
} from "@flyte-ts/contract/flyteidl2/project/project_service_pb.ts";
import { alreadyExists, parseListRequest } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import { projectNotFound } from "./known-projects.ts";
import { DEFAULT_DOMAINS, type DomainConfig, projectMessage, projectRow } from "./project.ts";
import { parseProjectFilters } from "./project-filter.ts";
import { insertProjects, listProjects, projectColumns, readProject, updateProject } from "./store.ts";

export interface ProjectServiceDependencies {
  database: Database;
  domains?: readonly DomainConfig[];
}

/** Not shown by a list that filters nothing. */
const ARCHIVED: readonly number[] = [ProjectState.ARCHIVED, ProjectState.SYSTEM_ARCHIVED];

export function projectService(dependencies: ProjectServiceDependencies): ServiceImpl<typeof ProjectService> {
  const { database } = dependencies;
  const domains = (dependencies.domains ?? DEFAULT_DOMAINS).map((domain) => create(DomainSchema, domain));
  return {
    async createProject({ project }) {
      const row = projectRow(project);
      if ((await insertProjects(database, [row])) === 0) {
        throw alreadyExists(`project ${row.id} already exists; update it, or choose another id`);
      }
      return {};
    },

    async updateProject({ project }) {
      const row = projectRow(project);
      if (!(await updateProject(database, row))) throw projectNotFound(row.id);
      return {};
    },

    async getProject({ id }) {
      const raw = await readProject(database, id);
      if (!raw) throw projectNotFound(id);
      return { project: projectMessage(raw, domains) };
    },

    async listProjects({ limit, token, filters: text, sortBy }) {
      const filters = parseProjectFilters(text);
      const query = parseListRequest(
        { limit, token, filters, sortBy },
        {
          columns: projectColumns,
          defaultOrder: [{ field: "created_at", descending: false }],
          tieBreak: { field: "id", column: { sql: "id", type: "text", notNull: true } },
          defaultLimit: "all",
          maxLimit: "any",
        },
      );
      const page = await listProjects(database, query, filters.length > 0 ? [] : ARCHIVED);
      return {
        projects: { projects: page.rows.map((row) => projectMessage(row.raw, domains)), token: page.token },
      };
    },
  };
}
