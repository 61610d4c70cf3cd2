/** The port through which plugins get the values of tasks' secrets. */

export interface SecretRef {
  group: string;
  key: string;
  version: string;
}

export interface SecretScope {
  project: string;
  domain: string;
}

/** Where the values of tasks' secrets come from. */
export interface SecretValues {
  /** One value for each reference, in order; undefined where there is none. Throws when nobody can tell now. */
  read(scope: SecretScope, refs: readonly SecretRef[]): Promise<(Uint8Array | undefined)[]>;
}
