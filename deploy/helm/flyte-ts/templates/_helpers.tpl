{{- define "flyte-ts.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flyte-ts.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* { root, component } */}}
{{- define "flyte-ts.labels" -}}
{{ include "flyte-ts.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "flyte-ts.image" -}}
{{- $repository := required "image.repository is needed: where the image that deploy/Dockerfile builds was pushed to" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "flyte-ts.serviceAccount" -}}
{{- $default := printf "%s-%s" (include "flyte-ts.fullname" .root) .component -}}
{{- if .values.serviceAccount.create -}}
{{- default $default .values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "flyte-ts.databaseSecret" -}}
{{- if .Values.database.existingSecret -}}
{{- .Values.database.existingSecret -}}
{{- else if .Values.database.url -}}
{{- printf "%s-database" (include "flyte-ts.fullname" .) -}}
{{- else -}}
{{- fail "a control plane needs a PostgreSQL: give database.existingSecret or database.url" -}}
{{- end -}}
{{- end -}}

{{/* Empty where no keys are given. */}}
{{- define "flyte-ts.objectStoreSecret" -}}
{{- if .Values.objectStore.existingSecret -}}
{{- .Values.objectStore.existingSecret -}}
{{- else if .Values.objectStore.accessKeyId -}}
{{- printf "%s-object-store" (include "flyte-ts.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* Where payloads are, as both configuration files say it. */}}
{{- define "flyte-ts.objectStore" -}}
{{- with .Values.objectStore -}}
{{- $store := dict "url" .url -}}
{{- if .endpoint }}{{ $_ := set $store "endpoint" .endpoint }}{{ end -}}
{{- if .region }}{{ $_ := set $store "region" .region }}{{ end -}}
{{- toYaml $store -}}
{{- end -}}
{{- end -}}

{{- define "flyte-ts.tasksNamespace" -}}
{{- default (printf "%s-tasks" .Release.Namespace) .Values.executor.tasks.namespace -}}
{{- end -}}

{{- define "flyte-ts.controlPlaneUrl" -}}
{{- if .Values.executor.controlPlaneUrl -}}
{{- .Values.executor.controlPlaneUrl -}}
{{- else if .Values.controlPlane.enabled -}}
{{- printf "http://%s-control-plane.%s.svc.%s:%v" (include "flyte-ts.fullname" .) .Release.Namespace .Values.clusterDomain .Values.controlPlane.service.port -}}
{{- else -}}
{{- fail "an executor without a control plane in this release needs executor.controlPlaneUrl" -}}
{{- end -}}
{{- end -}}

{{/* Variables of both programs: keys of the object store, and what Kubernetes knows of the pod. { root, values } */}}
{{- define "flyte-ts.env" -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef: { fieldPath: metadata.namespace }
{{- with include "flyte-ts.objectStoreSecret" .root }}
- name: FLYTE_TS_OBJECT_STORE_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: { name: {{ . }}, key: {{ $.root.Values.objectStore.accessKeyIdKey }} }
- name: FLYTE_TS_OBJECT_STORE_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: { name: {{ . }}, key: {{ $.root.Values.objectStore.secretAccessKeyKey }} }
{{- end }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Nothing of this pod's own may be root, written to, or more than a process. */}}
{{- define "flyte-ts.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "flyte-ts.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Fields of a pod that people set. { root, values, component } */}}
{{- define "flyte-ts.podChoices" -}}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- if kindIs "slice" .values.topologySpreadConstraints }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints: {{- toYaml . | nindent 2 }}
{{- end }}
{{- else }}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "flyte-ts.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Changes when what a pod only reads at its start does. { root, config } */}}
{{- define "flyte-ts.checksum" -}}
{{- printf "%s %s %s" .config (toJson .root.Values.database) (toJson .root.Values.objectStore) | sha256sum -}}
{{- end -}}

{{- define "flyte-ts.probes" -}}
startupProbe:
  httpGet: { path: /healthz, port: {{ . }} }
  periodSeconds: 1
  failureThreshold: 120
livenessProbe:
  httpGet: { path: /healthz, port: {{ . }} }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: {{ . }} }
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}
