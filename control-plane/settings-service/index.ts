/** Settings of everything, a domain or a project. */
export { type SettingsServiceDependencies, settingsService } from "./service.ts";
export { resolveSettings, type SettingsScope, settingsLevels } from "./settings.ts";
