/**
 * Where an action's data lies. On the wire an inputs or outputs URI is either a folder or the object itself, depending on
 * who wrote it: uploads give the folder, a parent task and a trace the full path.
 *
 *     inputsObjectUri("s3://b/run/a1")            // s3://b/run/a1/inputs.pb
 *     inputsObjectUri("s3://b/run/a1/inputs.pb")  // the same
 */

export const inputsObjectUri = (uri: string): string => objectIn(uri, "inputs.pb");
export const outputsObjectUri = (uri: string): string => objectIn(uri, "outputs.pb");

function objectIn(uri: string, name: string): string {
  return uri.endsWith(".pb") ? uri : `${uri.replace(/\/+$/, "")}/${name}`;
}
