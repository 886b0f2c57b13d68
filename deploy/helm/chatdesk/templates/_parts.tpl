{{- define "chatdesk.check" -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" .Release.Name) }}
{{- fail (printf "\nThe release is named %q: names of Services start with a letter and have letters, digits and hyphens only." .Release.Name) }}
{{- end }}
{{- $missing := list }}
{{- if not .Values.image.repository }}
{{- $missing = append $missing "image.repository: where the image of deploy/Dockerfile was pushed to" }}
{{- end }}
{{- if not .Values.kafka.bootstrap }}
{{- $missing = append $missing "kafka.bootstrap: host:port[,host:port…] of Kafka" }}
{{- end }}
{{- if not .Values.database.existingSecret }}
{{- $missing = append $missing "database.existingSecret: the secret with PostgreSQL's URL" }}
{{- end }}
{{- if not .Values.redis.existingSecret }}
{{- $missing = append $missing "redis.existingSecret: the secret with Redis' URL" }}
{{- end }}
{{- if $missing }}
{{- fail (printf "\nPlease set:\n  %s" (join "\n  " $missing)) }}
{{- end }}
{{- end }}

{{/* Labels of an object of one part of the release: (dict "root" $ "part" "routing"). */}}
{{- define "chatdesk.labels" -}}
{{ include "chatdesk.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: chatdesk
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- end }}

{{/* What tells a part's pods from all others; a Deployment's can never be changed. */}}
{{- define "chatdesk.selector" -}}
app.kubernetes.io/name: chatdesk
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{/* What every pod says beside its containers. None calls the Kubernetes API, so none gets a token for it;
the variables Kubernetes would add for each Service of the namespace are left out: they could pass for settings. */}}
{{- define "chatdesk.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  # Which user is the image's to say (10001 in deploy/Dockerfile); only root is refused.
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
{{- end }}

{{/* What every container says: (dict "root" $ "resources" …). */}}
{{- define "chatdesk.container" -}}
image: {{ printf "%s:%s" .root.Values.image.repository (.root.Values.image.tag | default .root.Chart.AppVersion) | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "chatdesk.kafka" -}}
- name: CHATDESK_KAFKA
  value: {{ .Values.kafka.bootstrap | quote }}
- name: CHATDESK_TOPIC_PREFIX
  value: {{ .Values.kafka.topicPrefix | quote }}
{{- with .Values.kafka.partitions }}
- name: CHATDESK_TOPIC_PARTITIONS
  value: {{ toJson . | quote }}
{{- end }}
{{- end }}

{{- define "chatdesk.database" -}}
- name: CHATDESK_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret }}
      key: {{ .Values.database.key }}
{{- end }}

{{- define "chatdesk.redis" -}}
- name: CHATDESK_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.existingSecret }}
      key: {{ .Values.redis.key }}
{{- end }}
