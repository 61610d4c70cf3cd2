{{- define "flyte-ts.executor.config" -}}
{{- with .Values.executor -}}
{{- $base := dict "cluster" .cluster "controlPlane" (include "flyte-ts.controlPlaneUrl" $) -}}
{{- $_ := set $base "namespace" (include "flyte-ts.tasksNamespace" $) -}}
{{- $_ := set $base "namespaceMode" .tasks.mode -}}
{{- if eq .tasks.mode "template" }}{{ $_ := set $base "namespaceTemplate" .tasks.template }}{{ end -}}
{{- if .taskEndpoint }}{{ $_ := set $base "taskEndpoint" .taskEndpoint }}{{ end -}}
{{- if $.Values.objectStore.url }}{{ $_ := set $base "objectStore" (include "flyte-ts.objectStore" $ | fromYaml) }}{{ end -}}
{{- $_ := set $base "leaderElection" true -}}
{{- $_ := set $base "health" (dict "host" "0.0.0.0" "port" (int .healthPort)) -}}
{{- $_ := set $base "drainSeconds" .drainSeconds -}}
{{- /* The same image brings files to and from tasks that know nothing of Flyte. */ -}}
{{- $_ := set $base "pods" (dict "copilotImage" (include "flyte-ts.image" $)) -}}
{{- toYaml (mustMergeOverwrite $base (deepCopy .config)) -}}
{{- end -}}
{{- end -}}
