{{/* Name of the application, for labels. */}}
{{- define "zanith.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of everything the chart makes: the release's, with the application's unless it is in there already. */}}
{{- define "zanith.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "zanith.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "zanith.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "zanith.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "zanith.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "zanith.selectorLabels" -}}
app.kubernetes.io/name: {{ include "zanith.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "zanith.labels" -}}
{{ include "zanith.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The image, by digest where there is one. */}}
{{- define "zanith.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What the operator may do in a namespace whose migrations it runs. */}}
{{- define "zanith.rules" -}}
- apiGroups: [zanith.io]
  resources: [zanithmigrations]
  verbs: [get, list, watch]
- apiGroups: [zanith.io]
  resources: [zanithmigrations/status]
  verbs: [patch]
{{- /* Where the admission plug-in OwnerReferencesPermissionEnforcement is on (OpenShift), a Job may be owned by a
migration only by leave of this; no such subresource is served, so it lets nothing be changed. */}}
- apiGroups: [zanith.io]
  resources: [zanithmigrations/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.allSecrets }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}
{{- end -}}
