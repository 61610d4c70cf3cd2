export { type RemoteControlLink, remoteControlLink } from "./remote-control-link.ts";
