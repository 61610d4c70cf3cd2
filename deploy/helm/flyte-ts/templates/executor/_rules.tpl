{{/* What the executor does where tasks are; the calls are in data-plane/plugins and data-plane/task-action. */}}
{{- define "flyte-ts.taskRules" -}}
- apiGroups: [flyte.org]
  resources: [taskactions]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [flyte.org]
  resources: [taskactions/status]
  verbs: [update, patch]
# Asked for where pods may only be owned by what one may hold up (OwnerReferencesPermissionEnforcement).
- apiGroups: [flyte.org]
  resources: [taskactions/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# Made for one attempt, and removed with it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [podtemplates]
  verbs: [get]
{{- $kinds := dict
  "jobset" (list "jobset.x-k8s.io" "jobsets")
  "ray" (list "ray.io" "rayjobs")
  "spark" (list "sparkoperator.k8s.io" "sparkapplications")
  "dask" (list "kubernetes.dask.org" "daskjobs")
  "kubeflow" (list "kubeflow.org" "pytorchjobs" "tfjobs" "mpijobs")
}}
{{- range $name, $on := .Values.executor.jobOperators }}
{{- if $on }}
{{- $kind := get $kinds $name }}
- apiGroups: [{{ first $kind }}]
  resources: [{{ join ", " (rest $kind) }}]
  verbs: [get, list, watch, create, delete]
{{- end }}
{{- end }}
{{- end -}}
