/** Which namespace of a cluster an action runs in, and that it is there. */
export {
  type NamespaceKeeper,
  type NamespaceKeeperOptions,
  NamespaceNotReadyError,
  namespaceKeeper,
} from "./namespace-keeper.ts";
export { type NamespaceMap, type NamespaceMapOptions, namespaceMap } from "./namespace-map.ts";
