#!/bin/sh
# Installs kedge, upgrades it, or changes how it is started (docs/operations/install.md).
#   curl -sfL URL/install.sh | sh -                                                 a server
#   curl -sfL URL/install.sh | KEDGE_URL=https://HOST:6443 KEDGE_TOKEN=K1... sh -   a node of it
#   curl -sfL URL/install.sh | sh -s - server --tls-san edge.example.org            with arguments
# KEDGE_* are kedge's options, kept with the arguments for later runs; an empty one is dropped.
# INSTALL_KEDGE_* are for this script:
#   FROM      URL or folder with kedge-linux-ARCH and sha256sums.txt (default: the server)
#   VERSION   install this version or nothing      EXEC      arguments, before those given
#   BIN_DIR   for programs (/usr/local/bin)        NAME      one more kedge here: kedge-NAME
#   WAIT      seconds for it to get ready (180)    SYMLINK   skip or force kubectl, crictl, ctr
#   SKIP_DOWNLOAD, SKIP_PACKAGES, SKIP_CHECK, SKIP_ENABLE, SKIP_START, FORCE_RESTART: true
# shellcheck disable=SC1090,SC1091 # what is sourced is one of ours
set -eu # and everything is in functions, so that half a script does nothing
umask 022 && PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin # su and cron have less
SERVED_URL=''
SERVED_PIN=''
newline=$(printf '\nx') && newline=${newline%x}
say() { printf '[kedge] %s\n' "$*"; }
die() { printf '[kedge] error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
on() { case $1 in true | yes | 1) ;; *) return 1 ;; esac; }

settings() {
	began=$(date +%s) wait=${INSTALL_KEDGE_WAIT:-180} part='' new='' keep_part='' brought='' made='' finished=''
	[ "$(id -u)" = 0 ] || die 'this must run as root: become root first (sudo -i), then the same line'
	case $(uname -s)/$(uname -m) in
	Linux/x86_64) arch=amd64 ;; Linux/aarch64 | Linux/arm64) arch=arm64 ;;
	*) die "there is no kedge for $(uname -s) on $(uname -m), only for Linux on x86_64 and aarch64" ;; esac
	known='FROM|VERSION|EXEC|NAME|BIN_DIR|SYMLINK|WAIT|SKIP_(DOWNLOAD|PACKAGES|CHECK|ENABLE|START)|FORCE_RESTART'
	v=$(env | sed -n 's/^INSTALL_KEDGE_\([A-Za-z_]*\)=.*/\1/p' | grep -vxE "$known" | head -n 1)
	[ -z "$v" ] || die "INSTALL_KEDGE_$v is nothing that this script knows: its head lists what there is"
	service=kedge${INSTALL_KEDGE_NAME:+-$INSTALL_KEDGE_NAME}
	case $service in *[!a-z0-9-]*) die "INSTALL_KEDGE_NAME=$INSTALL_KEDGE_NAME: use a-z, 0-9 and -" ;; esac
	env_file=/etc/kedge/$service.env tmp=/run/$service-install
	started=/etc/kedge/$service.started # the sum of what it was last started with, whoever changed what since
	bin_dir=${INSTALL_KEDGE_BIN_DIR:-$(kept KEDGE_INSTALL_BIN_DIR)} && bin_dir=${bin_dir:-/usr/local/bin} program=${bin_dir:-/usr/local/bin}/kedge
	case $bin_dir in *[!A-Za-z0-9/._-]* | [!/]*) die "INSTALL_KEDGE_BIN_DIR=$bin_dir: use a plain absolute path" ;; esac
	words=$(printf '%s\n' "${INSTALL_KEDGE_EXEC:-}" | xargs printf '%s\n') || die "INSTALL_KEDGE_EXEC=$INSTALL_KEDGE_EXEC: a quote is not closed"
	# shellcheck disable=SC2086 # they are arguments, one a line
	set -f && IFS=$newline && set -- $words "$@" && set +f && unset IFS
	for k in HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy; do eval "v=\${$k-\$(kept $k)}" && { [ -z "$v" ] || export "$k=$v"; }; done
	arguments "$@"
	(mkdir -p /run && umask 077 && mkdir "$tmp") 2>/dev/null || ! kill -0 "$(cat "$tmp/pid" 2>/dev/null || echo none)" 2>/dev/null ||
		die "another installation runs (process $(cat "$tmp/pid"))"
	trap leave EXIT && trap 'exit 130' INT TERM HUP && rm -rf "${tmp:?}"/* && echo $$ >"$tmp/pid"
}

# kept NAME: a setting of an earlier run.
kept() { [ ! -f "$env_file" ] || (set +eu && unset "$1" && . "$env_file" && eval "printf %s \"\${$1:-}\""); }

# arguments ARG...: what kedge is started with: these, or those of an earlier run.
arguments() {
	role='' exec_line='' data_dir='' config='' was=$(kept KEDGE_INSTALL_EXEC) was_in=$(kept KEDGE_INSTALL_DATA_DIR)
	[ $# -gt 0 ] || [ "${was%% *}${KEDGE_URL:+ joins}" = 'server joins' ] || eval "set -- $was" # a server's are not meant for joining
	case ${1:-} in server | agent) role=$1 && shift ;; esac
	while [ $# -gt 0 ]; do
		case $1 in --*=*) v=${1#*=} n=1 ;; *) v=${2:-} n=2 ;; esac
		case ${1%%=*} in # every user of the host can read the arguments of a process
		-t | --token) export KEDGE_TOKEN="${v:?--token needs a value}" && shift $n && continue ;;
		-s | --server) export KEDGE_URL="${v:?--server needs a value}" && shift $n && continue ;;
		--data-dir) data_dir=$v ;;
		-c | --config) config=$v ;;
		esac
		case $1 in
		*[\"\'\\\$\`]* | *"$newline"*) die "argument $1: quotes, \$ and \\ cannot be kept; put it into /etc/kedge/config.yaml" ;;
		*[!A-Za-z0-9_./:=,@%+-]* | '') exec_line="$exec_line \"$1\"" ;;
		*) exec_line="$exec_line $1" ;;
		esac
		shift
	done
	config=${config:-${KEDGE_CONFIG:-${KEDGE_CONFIG_FILE:-$(kept KEDGE_CONFIG)$(kept KEDGE_CONFIG_FILE)}}} && config=${config:-/etc/kedge/config.yaml}
	data_dir=${data_dir:-${KEDGE_DATA_DIR:-$(kept KEDGE_DATA_DIR)}}
	data_dir=${data_dir:-$(sed -n "s/^data-dir: *[\"']\{0,1\}\([^\"' ]*\).*/\1/p" "$config" "$config".d/*.y*ml 2>/dev/null | tail -n 1)} && data_dir=${data_dir:-/var/lib/kedge} && data_dir=${data_dir%/}
	url=${KEDGE_URL-$(kept KEDGE_URL)} token=${KEDGE_TOKEN-$(kept KEDGE_TOKEN)}
	[ -n "$url$role" ] || [ -z "$token" ] || export KEDGE_URL="$SERVED_URL" url="$SERVED_URL" # a script from a server joins that one
	[ -n "$role$url$exec_line" ] || [ -z "$SERVED_URL" ] || [ -z "${SUDO_USER:-}${DOAS_USER:-}" ] ||
		die 'sudo takes variables away: write them behind it (... | sudo KEDGE_URL=... KEDGE_TOKEN=... sh -), or "sudo sh -s - server" for one more server. Nothing was changed'
	[ -n "$role" ] || { [ -n "$url" ] && role=agent; } || role=server
	[ -z "$was" ] || [ "${was%% *}" = "$role" ] || die "kedge is installed here as ${was%% *}, which $role cannot go on from: take it off first, with $bin_dir/$service-uninstall.sh. Nothing was changed"
	[ "${was_in:-$data_dir}" = "$data_dir" ] || [ ! -e "$was_in" ] || die "the data of this node is in $was_in, not in $data_dir: move it there, or add --data-dir $was_in. Nothing was changed"
	exec_line=$role$exec_line
	from=${INSTALL_KEDGE_FROM:-${url:-$SERVED_URL}} from=${from%/} url=${url%/}
	case $from in '' | /* | https://*) ;; *) die "$from: a URL must begin with https://, a folder with /" ;; esac
}

# leave: after a failure nothing stays that was not there, but the start of a download that was cut.
leave() {
	code=$?
	if [ -z "$finished" ]; then
		[ -n "$keep_part" ] || rm -f "$part"
		[ -z "$brought" ] || eval "remove_packages $brought" >/dev/null 2>&1 || true
		[ "${made#*data}" = "$made" ] || rm -rf "$data_dir"
		[ "${made#*bin}" = "$made" ] || rmdir "$bin_dir" 2>/dev/null || true
	fi
	rm -rf "$tmp"; exit $code
}

# find_key: makes $tmp/ca.pem of the one authority whose key the token names. What -k fetched is
# believed in nothing: the certificate is written anew from the bytes that were looked at.
find_key() {
	pins=$(printf '%s\n' "$token" | sed -n 's/^K1\([0-9a-f]\{64\}\)::.*/\1/p')
	[ -n "$pins" ] && [ -n "${KEDGE_TOKEN:-}" ] || pins="$pins $SERVED_PIN" # a kept token may be older than the authority
	[ "$pins" != ' ' ] || die "KEDGE_TOKEN is missing or cut: it says which key the server at $from has (make one there: kedge token create)"
	curl -sSk --connect-timeout 20 --max-time 60 --max-filesize 65536 -o "$tmp/cacerts" "$from/cacerts" ||
		die "the server at $from does not answer. Check the address and what lies in between. Nothing was changed"
	awk -v dir="$tmp" '/^-----BEGIN CERTIFICATE-----/ { n++; on = 1; next } /^-----/ { on = 0 }
		on && /^[A-Za-z0-9+\/=]+\r?$/ { sub(/\r/, ""); print > (dir "/ca." n) }' "$tmp/cacerts"
	for f in "$tmp"/ca.[0-9]*; do
		base64 -d "$f" >"$tmp/der" 2>/dev/null || continue
		key=$(od -An -v -tx1 "$tmp/der" | tr -d ' \n' | public_key) || continue
		case " $pins " in *" $(printf %b "$key" | sha256sum | cut -c 1-64) "*) ;; *) continue ;; esac
		{ echo '-----BEGIN CERTIFICATE-----' && base64 "$tmp/der" && echo '-----END CERTIFICATE-----'; } >"$tmp/ca.pem" && mkdir "$tmp/none" && return
	done
	die "the server at $from does not have the key that the token names: the address or the token is of another cluster, the token is older than the cluster's authority (make a new one), or somebody is in between. Nothing was changed"
}

# public_key: the subjectPublicKeyInfo of a certificate (RFC 5280, 4.1), from digits of od to those of printf.
# Each tag must be the one that stands there and each length definite: every later reader finds the same key.
public_key() {
	awk 'function byte(p) { return 16 * index(digits, substr(h, p, 1)) + index(digits, substr(h, p + 1, 1)) - 17 }
	function element(p, tag,   l, n) {
		l = byte(p + 2); body = p + 4
		if (substr(h, p, 2) != tag || l == 128 || l > 131) exit 1
		if (l > 128) { n = l - 128; for (l = 0; n > 0; n--) { l = 256 * l + byte(body); body += 2 } }
		after = body + 2 * l
		if (after > length(h) + 1) exit 1
	}
	{ h = $0; digits = "0123456789abcdef"; bad = 1
		element(1, "30"); if (after != length(h) + 1) exit 1; element(body, "30"); element(body, "a0")
		n = split("02 30 30 30 30", tags, " "); for (i = 1; i <= n; i++) element(after, tags[i])
		key = after; element(key, "30"); for (p = key; p < after; p += 2) printf "\\0%03o", byte(p)
		bad = 0 }
	END { exit bad }'
}

# get NAME FILE [OPTION...]: one of the install files.
get() {
	name=$1 file=$2 rc=0 && shift 2
	case $from in /*) cp "$from/$name" "$file" 2>"$tmp/said" && return || return 23 ;; esac
	[ -f "$tmp/ca.pem" ] || { fetch -L "$@" -o "$file" "$from/$name" && return || return; }
	set -- --cacert "$tmp/ca.pem" --capath "$tmp/none" "$@" -o "$file" # without it, the host's own authorities count too
	fetch "$@" "$from/v1-kedge/dist/$name" || rc=$?
	case $rc in 51 | 60) ;; *) return "$rc" ;; esac # its certificate does not have this address, but kedge's name for servers
	port=${from##*:} at=${from#https://}
	case $port in *[!0-9]*) port=443 ;; esac
	fetch "$@" --connect-to "::${at%:"$port"}:$port" "https://server.kedge.internal:$port/v1-kedge/dist/$name"
}
fetch() { curl -fsS --proto =https --connect-timeout 20 --speed-limit 1 --speed-time 60 "$@" 2>"$tmp/said"; }
sum_of() { [ ! -f "$1" ] || sha256sum "$1" | cut -c 1-64; }
size_of() { if [ -f "$1" ]; then wc -c <"$1"; else echo 0; fi; }

# download: puts the checked program into $part, unless it is installed already.
download() {
	[ -n "$from" ] || die 'where from? Set KEDGE_URL and KEDGE_TOKEN to join a server, or INSTALL_KEDGE_FROM to a URL or folder with a release'
	if [ "$from" = "$url" ] || [ "$from" = "$SERVED_URL" ]; then find_key; fi
	get sha256sums.txt "$tmp/sums" || die "$from gives no list of programs (sha256sums.txt): $(cat "$tmp/said"). Nothing was changed. The clock here says $(date -u)"
	sum=$(awk -v f="kedge-linux-$arch" '$2 == f || $2 == "*" f { print $1 }' "$tmp/sums")
	[ ${#sum} = 64 ] || die "$from has no kedge for $arch: put kedge-linux-$arch of its release there (on a server into DATA-DIR/server/dist). Nothing was changed"
	[ "$(sum_of "$program")" != "$sum" ] || return 0
	part=$bin_dir/.kedge-$sum tries=0 busy=0
	[ -d "$bin_dir" ] || { mkdir -p "$bin_dir" && made="$made bin"; }
	(: >>"$part") || die "$bin_dir cannot be written, see above: give another folder by INSTALL_KEDGE_BIN_DIR. Nothing was changed"
	for f in "$bin_dir"/.kedge-*; do [ "$f" = "$part" ] || rm -f "$f"; done
	say "fetching kedge for $arch from $from"
	until [ "$(sum_of "$part")" = "$sum" ]; do
		tries=$((tries + 1)) size=$(size_of "$part") rc=0
		get "kedge-linux-$arch" "$part" -C - || rc=$?
		[ "$(size_of "$part")" -le "$size" ] || [ $rc = 0 ] || tries=1 # it got on
		case $rc in
		0) [ "$(sum_of "$part")" = "$sum" ] || { rm -f "$part" && [ $tries -lt 2 ]; } || die 'what came is not what the list of programs names, and was thrown away' ;;
		23) die "kedge cannot be put into $bin_dir ($(cat "$tmp/said")): is there no room? Nothing was changed" ;;
		22 | 33 | 36) if grep -q 'error: 503' "$tmp/said" && [ $busy -lt 360 ]; then # an hour
				[ $busy -gt 0 ] || say 'the server is busy with other machines: waiting'; busy=$((busy + 1)) tries=0 && sleep 10 && continue
			fi
			[ $tries = 1 ] || rm -f "$part" ;; # it cannot be resumed
		esac
		[ $rc = 0 ] || [ $tries -lt 6 ] || { keep_part=1 && die "the download was cut: $(cat "$tmp/said"). The same command goes on at byte $(size_of "$part")"; }
		[ $rc = 0 ] || sleep $((2 * tries))
	done
	chmod 755 "$part"
}

# packages PROGRAM...: brings what is missing.
packages() {
	missing='' names='' manager='' rc=0
	for p in "$@"; do have "$p" || missing="$missing $p"; done
	[ -n "$missing" ] || return 0
	for p in apt-get apk dnf zypper; do [ -n "$manager" ] || ! have $p || manager=$p; done
	for p in $missing; do
		case $p/$manager in nft/*) p=nftables ;; iptables/dnf) p=iptables-nft ;; mount/apk | mount/dnf | mount/zypper) p=util-linux ;; esac
		names="$names $p"
	done
	! on "${INSTALL_KEDGE_SKIP_PACKAGES:-}" || die "programs are missing:$missing. Install them (packages:$names) and try again. Nothing was changed"
	say "installing packages:$names"
	eval "set -- $names"
	installed >"$tmp/before"
	case $manager in
	apt-get) export DEBIAN_FRONTEND=noninteractive && { apt-get update -qq || true; } && apt-get install -y -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" ;;
	apk) apk add "$@" ;;
	dnf) dnf install -y "$@" ;;
	zypper) zypper -n install "$@" ;;
	*) echo 'no package manager that is known' && false ;;
	esac >"$tmp/said" 2>&1 </dev/null || rc=$?
	for p in $(installed | grep -vxF -f "$tmp/before"); do ! grep -qwF -e "$p" "$tmp/said" || brought="${brought:+$brought }$p"; done # and not by somebody else meanwhile
	for p in $missing; do have "$p" || die "$p is missing and no package could be installed ($rc: $(tail -n 2 "$tmp/said")). Install$missing and try again. Nothing was changed"; done
}
installed() { if have dpkg-query; then dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' | sed -n 's/^ii //p'; elif have apk; then apk info -q; elif have rpm; then rpm -qa --qf '%{NAME}\n'; fi | sort; }
remove_packages() { if have dpkg; then dpkg --purge "$@"; elif have apk; then apk del -q "$@"; else rpm -e "$@"; fi; }

# environment: what the service gets: settings of earlier runs, and over them those of this one.
environment() {
	export KEDGE_INSTALL_EXEC="$exec_line" KEDGE_INSTALL_BIN_DIR="$bin_dir" KEDGE_INSTALL_DATA_DIR="$data_dir"
	names=$(awk 'BEGIN { for (k in ENVIRON) if (k ~ /^(KEDGE_[A-Z0-9_]+|(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy)$/ && k != "KEDGE_LAUNCHER") printf "%s ", k }')
	[ ! -f "$env_file" ] || awk -F = -v names="$names" 'BEGIN { n = split(names, a, " "); for (i = 1; i <= n; i++) over[a[i]] } !($1 in over)' "$env_file"
	for k in $names; do
		eval "v=\${$k-}"
		case $v in *\'* | *"$newline"*) die "$k holds a quote or a line break, which cannot be kept: put it into /etc/kedge/config.yaml" ;; esac
		[ -z "$v" ] || printf "%s='%s'\n" "$k" "$v"
	done
}

# check: may it start here, with what it will be given?
check() {
	(set -a && . "$tmp/env" && set +a && eval "set -- $exec_line" && shift && export KEDGE_DATA_DIR="$data_dir" && exec "$new" check --role "$role" -- "$@") >"$tmp/check" 2>&1 ||
		{ cat "$tmp/check" >&2 && die "this host or these options are not fit for kedge, see above. Nothing was changed"; }
}

# write FILE MODE COMMAND...: what the command prints becomes the file, whole and only if it differs.
write() {
	file=$1 mode=$2 && shift 2
	(umask 077 && "$@" >"$tmp/new") || die "$* does not work"
	[ "$(sum_of "$tmp/new")" != "$(sum_of "$file")" ] || return 0
	{ mkdir -p "${file%/*}" && (umask 077 && cat "$tmp/new" >"$file.new"); } || die "$file cannot be written: run this again when that is mended"
	chmod "$mode" "$file.new" && put "$file.new" "$file"
}
put() { { sync "$1" 2>/dev/null || sync; } && mv -f "$1" "$2"; } # a power cut leaves the old or the new one
unit() { "$program" unit "$1" --name "$service" --bin-dir "$bin_dir" --data-dir "$data_dir"; }

# service start|runs|enable|log, by whatever starts services here.
service() {
	case $init/$1 in
	systemd/runs) case $(systemctl is-active "$service") in active | activating) ;; *) return 1 ;; esac ;;
	systemd/start) systemctl stop "$service" && systemctl start --no-block "$service" ;;
	systemd/enable) systemctl daemon-reload && systemctl -q enable "$service" ;;
	systemd/log) journalctl -q --no-pager -o cat -n 4 -u "$service" ;;
	openrc/runs) rc-service -q "$service" status >/dev/null 2>&1 ;;
	openrc/start) rc-service "$service" restart >&2 ;;
	openrc/enable) rc-update -q add "$service" default ;;
	supervisor/runs) "$unit_file" status >/dev/null ;;
	supervisor/start) "$unit_file" stop && "$unit_file" start ;;
	supervisor/enable) say "nothing starts services on this host: let it run '$unit_file start' at boot" ;;
	*/log) tail -n 4 "/var/log/$service.log" ;;
	esac
}

# ready: waits until it is, or says why it is not.
ready() {
	[ "$wait" != 0 ] && ! "$program" status --data-dir "$data_dir" --wait "${wait}s" >"$tmp/said" 2>&1 || return 0
	{ cat "$tmp/said" && service log; } >&2 || true
	die "it is installed and not ready yet, see above and the end of its log. It goes on trying; look again with: $program status"
}

main() {
	settings "$@"
	environment >"$tmp/all"
	LC_ALL=C sort -u "$tmp/all" >"$tmp/env"
	have curl || packages curl
	on "${INSTALL_KEDGE_SKIP_DOWNLOAD:-}" || download
	[ -f "${new:=${part:-$program}}" ] || die "INSTALL_KEDGE_SKIP_DOWNLOAD is set, and there is no program $program: copy it there first"
	[ -e "$data_dir" ] || [ -L "$data_dir" ] || made="$made data"
	version=$(KEDGE_DATA_DIR=$data_dir "$new" version 2>"$tmp/said" | awk '$1 == "kedge" { print $2 }')
	[ -n "$version" ] || die "this kedge does not run here: $(head -n 3 "$tmp/said"). Nothing was changed"
	case ${INSTALL_KEDGE_VERSION:-} in '' | "$version" | "v$version") ;; *) die "$from has kedge $version, not $INSTALL_KEDGE_VERSION. Nothing was changed" ;; esac
	packages nft iptables mount
	[ "$(sum_of "$tmp/env")" = "$(sum_of "$env_file")" ] && [ -z "$part" ] || on "${INSTALL_KEDGE_SKIP_CHECK:-}" || check
	[ "$(df -Pk /etc | awk 'NR == 2 { print $4 }')" -gt 512 ] || die 'there is no room in /etc: make some and try again. Nothing was changed'
	finished=1 # from here on all is put in place; what cuts this off is mended by the next run
	[ -z "$part" ] || put "$part" "$program"
	[ -z "$brought" ] || { mkdir -p /etc/kedge && echo "$brought" >>"/etc/kedge/$service.packages"; }
	init=supervisor unit_file=$bin_dir/$service-service
	if [ -d /run/systemd/system ]; then init=systemd unit_file=/etc/systemd/system/$service.service; elif [ -x /sbin/openrc-run ]; then init=openrc unit_file=/etc/init.d/$service; fi
	ls /etc/kedge/*.env >/dev/null 2>&1 || { mkdir -p /etc/kedge; find /usr/libexec/kubernetes /var/log/pods /var/log/containers -maxdepth 3 ! -path '/var/log/*/*' -type d >/etc/kedge/folders 2>/dev/null || true; } # they stay
	write "$bin_dir/$service-uninstall.sh" 755 unit uninstall
	write "$bin_dir/$service-killall.sh" 755 unit killall
	write "$env_file" 600 cat "$tmp/env"
	write "$unit_file" "$([ $init = systemd ] && echo 644 || echo 755)" unit $init
	for tool in kubectl crictl ctr; do case ${INSTALL_KEDGE_SYMLINK:-} in skip) ;; force) ln -sf kedge "$bin_dir/$tool" ;; *) have $tool || [ -e "$bin_dir/$tool" ] || ln -s kedge "$bin_dir/$tool" ;; esac; done
	! on "${INSTALL_KEDGE_SKIP_ENABLE:-}" || { say "kedge $version is installed, neither enabled nor started" && return; }
	sum=$(cat "$program" "$unit_file" "$env_file" | sha256sum)
	[ "$(cat "$started" 2>/dev/null)" != "$sum" ] || on "${INSTALL_KEDGE_FORCE_RESTART:-}" || ! service runs || { ready && say "kedge $version is installed with these settings and runs: nothing was changed" && return; }
	service enable
	! on "${INSTALL_KEDGE_SKIP_START:-}" || { say "kedge $version is installed and not started" && return; }
	say "kedge $version is installed and starts"
	service start || die 'it is installed, and the service cannot be started: see above'
	echo "$sum" >"$started"
	[ "$wait" = 0 ] || { ready && say "ready after $(($(date +%s) - began)) s"; }
}

main "$@"
