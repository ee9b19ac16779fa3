{{/* What selects pods. It can never change, so it has nothing in it that could. (component) */}}
{{- define "weft.selector" -}}
app.kubernetes.io/name: weft
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The labels of pods. Without the chart's version: a change of the chart alone restarts nothing. (context, component) */}}
{{- define "weft.podLabels" -}}
{{ include "weft.selector" . }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
{{- end }}

{{/* The labels of objects. (context, component) */}}
{{- define "weft.labels" -}}
{{ include "weft.podLabels" . }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image. (context, image) */}}
{{- define "weft.image" -}}
{{ .image.repository }}:{{ .image.tag | default .context.Chart.AppVersion }}
{{- end }}

{{/* What every pod runs as: nobody in particular, with no rights. */}}
{{- define "weft.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "weft.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The settings that both programs have. */}}
{{- define "weft.environment" -}}
- {name: WEFT_NAMESPACE, value: {{ .Release.Namespace | quote }}}
- {name: WEFT_LOG, value: {{ .Values.logLevel | quote }}}
- {name: WEFT_LOG_FORMAT, value: {{ .Values.logFormat | quote }}}
{{- end }}

{{/* Where a pod may run. (the operator's or the proxy's values) */}}
{{- define "weft.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A duration such as 250ms, 5s or 2m in whole seconds, rounded up. */}}
{{- define "weft.seconds" -}}
{{- if hasSuffix "ms" . -}}
{{ div (add (trimSuffix "ms" . | int64) 999) 1000 }}
{{- else if hasSuffix "m" . -}}
{{ mul (trimSuffix "m" . | int64) 60 }}
{{- else -}}
{{ trimSuffix "s" . | int64 }}
{{- end -}}
{{- end }}

{{/* The rights at the cluster's DNS: the operator's to change it, the cleanup's to undo that. (context, reading) */}}
{{- define "weft.dnsRules" -}}
- apiGroups: [""]
  resources: [services, pods]
  verbs: {{ .reading | toJson }}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: {{ .context.Values.dns.configMapNames | toJson }}
  verbs: {{ append .reading "patch" | toJson }}
{{- with .context.Values.dns.workloadNames }}
- apiGroups: [apps]
  resources: [deployments, daemonsets]
  resourceNames: {{ . | toJson }}
  verbs: [get, patch]
# Between the DNS server's pods and its Deployment; the name of one changes with each rollout.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get]
{{- end }}
{{- end }}

{{/* Who may call whom, as JSON of one form, for acl may be true or false; helm warns of that where the chart's own values
     have a table or a truth value there, so they have neither. Every default that is a truth value is false: merge takes
     false for nothing. */}}
{{- define "weft.acl" -}}
{{- $defaults := dict "enabled" false "mode" "enforce" "crossNamespaceTargets" false "emptyRules" "deny" "networkPolicies" false -}}
{{- $given := .Values.acl | default dict -}}
{{- if kindIs "bool" $given -}}
{{- $given = dict "enabled" $given -}}
{{- end -}}
{{- merge (deepCopy $given) $defaults | toJson -}}
{{- end }}

{{/* The rights to delete the operator's NetworkPolicies. */}}
{{- define "weft.policiesRules" -}}
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, delete]
{{- end }}
