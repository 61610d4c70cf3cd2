/** Bounds of the data proxy, with the defaults of `dataProxyService`. */
export interface DataProxyLimits {
  /** Largest content a client may announce for an upload. */
  maxUploadBytes: number;
  /** Most bytes of inputs and outputs together in one GetActionData. */
  maxActionDataBytes: number;
  /** Life of a signed upload when the client names none, and the most it can get. */
  uploadSeconds: number;
  maxUploadSeconds: number;
  /** The same for downloads. */
  downloadSeconds: number;
  maxDownloadSeconds: number;
  /** Most log lines in one message. */
  logLinesPerMessage: number;
  /** How long the first line of an attempt is waited for. */
  firstLineMs: number;
}

const MiB = 1024 * 1024;

export const defaultLimits: DataProxyLimits = {
  maxUploadBytes: 100 * MiB,
  maxActionDataBytes: 20 * MiB,
  uploadSeconds: 900,
  maxUploadSeconds: 3600,
  downloadSeconds: 3600,
  maxDownloadSeconds: 7 * 24 * 3600,
  logLinesPerMessage: 100,
  firstLineMs: 20_000,
};
