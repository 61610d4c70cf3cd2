{{- define "flyte-ts.controlPlane.config" -}}
{{- $store := include "flyte-ts.objectStore" . | fromYaml -}}
{{- if not $store.url }}{{ fail "a control plane needs a bucket: give objectStore.url (s3://…)" }}{{ end -}}
{{- $base := dict "host" "0.0.0.0" "port" 8642 "open" true "objectStore" $store "drainSeconds" .Values.controlPlane.drainSeconds -}}
{{- toYaml (mustMergeOverwrite $base (deepCopy .Values.controlPlane.config)) -}}
{{- end -}}
