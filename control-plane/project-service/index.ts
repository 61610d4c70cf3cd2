/** Projects and domains: the address of everything. */

export { type RequireProject, rememberProjects, requireProject, seedProjects } from "./known-projects.ts";
export { DEFAULT_DOMAINS, type DomainConfig } from "./project.ts";
export { type ProjectServiceDependencies, projectService } from "./service.ts";
