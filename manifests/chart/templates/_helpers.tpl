{{- define "loden.ownLabels" -}}
app.kubernetes.io/name: loden
app.kubernetes.io/part-of: loden
{{- end }}

{{- define "loden.labels" -}}
k8s-app: flannel
{{ include "loden.ownLabels" . }}
{{ include "loden.helmLabels" . }}
{{- end }}

{{- define "loden.helmLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The name of an image: repository, tag and digest, the last two where they are set. */}}
{{- define "loden.image" -}}
{{- required "an image needs a repository" .repository -}}
{{- with .tag }}:{{ . }}{{ end -}}
{{- with .digest }}@{{ . }}{{ end -}}
{{- end }}

{{/* The image that the plugin is installed from. Another one has a digest of its own, or none. */}}
{{- define "loden.pluginImage" -}}
{{- $own := .Values.flannel.flannel_cni.image -}}
{{- $agent := .Values.flannel.image -}}
{{- $digest := ternary $own.digest $agent.digest (or $own.repository $own.tag $own.digest | not | not) -}}
{{- include "loden.image" (dict
  "repository" (default $agent.repository $own.repository)
  "tag" (default $agent.tag $own.tag)
  "digest" $digest
) -}}
{{- end }}

{{/* The backend in net-conf.json: its type, and the keys of that type which are set. */}}
{{- define "loden.backend" -}}
{{- $keys := dict -}}
{{- if or (eq .backend "vxlan") (eq .backend "auto") -}}
{{- $keys = dict "Port" "backendPort" "MTU" "mtu" "VNI" "vni" "GBP" "GBP" "DirectRouting" "directRouting" "MacPrefix" "macPrefix" -}}
{{- else if eq .backend "wireguard" -}}
{{- $keys = dict "ListenPort" "backendPort" "ListenPortV6" "backendPortv6" "MTU" "mtu" "PSK" "psk" "Mode" "tunnelMode" "PersistentKeepaliveInterval" "keepaliveInterval" -}}
{{- else if eq .backend "udp" -}}
{{- $keys = dict "Port" "backendPort" -}}
{{- else if or (eq .backend "host-gw") (eq .backend "alloc") (eq .backend "aws-vpc") -}}
{{- $keys = dict "MTU" "mtu" -}}
{{- end -}}
{{- $backend := dict "Type" .backend -}}
{{- range $key, $name := $keys -}}
{{- with get $ $name -}}
{{- $_ := set $backend $key (ternary (toString .) . (eq $key "PSK")) -}}
{{- end -}}
{{- end -}}
{{- if eq .backend "aws-vpc" -}}
{{- $backend = merge $backend .aws -}}
{{- end -}}
{{- toJson $backend -}}
{{- end }}

{{- define "loden.netConf" -}}
{{- if not (or .Values.podCidr .Values.podCidrv6) -}}
{{- fail "podCidr and podCidrv6 are empty: set one of them to the network that the cluster gives podCIDRs from" -}}
{{- end -}}
{{- $conf := dict
  "EnableNFTables" .Values.flannel.enableNFTables
  "Backend" (include "loden.backend" .Values.flannel | fromJson)
-}}
{{- if .Values.podCidr -}}
{{- $_ := set $conf "Network" .Values.podCidr -}}
{{- else -}}
{{- $_ := set $conf "EnableIPv4" false -}}
{{- end -}}
{{- if .Values.podCidrv6 -}}
{{- $_ := set $conf "EnableIPv6" true -}}
{{- $_ := set $conf "IPv6Network" .Values.podCidrv6 -}}
{{- end -}}
{{- with .Values.flannel.masqueradeExclude -}}
{{- $_ := set $conf "MasqueradeExclude" . -}}
{{- end -}}
{{- toPrettyJson $conf -}}
{{- end }}

{{/* Where kubelet asks: the address that the agent serves at, or the loopback where it serves at every one. */}}
{{- define "loden.probeHost" -}}
{{- ternary "127.0.0.1" . (has . (list "0.0.0.0" "::")) -}}
{{- end }}
