#!/bin/bash
# SPDX-License-Identifier: MIT
# nginx.sh - two workers under wrk: no failed response, a reload, a clean stop
port=${1:-$((20000 + $$ % 10000))} at=$PWD/nginx
rm -rf "$at" && mkdir -p "$at/html" || exit 1
seq 1 3000 >"$at/html/a.txt"
echo hello >"$at/html/index.html"
temp=
for t in client_body proxy fastcgi uwsgi scgi; do
	temp+="${t}_temp_path $at/$t;"
done
cat >"$at/conf" <<END
$([ "$(id -u)" != 0 ] || echo "user root;") worker_processes 2; pid $at/pid;
events { worker_connections 128; }
http { access_log off; sendfile on; $temp
  server { listen 127.0.0.1:$port; root $at/html; location /g { gzip on; gzip_types *; gzip_min_length 1; alias $at/html; } } }
END
nginx() { /usr/sbin/nginx -p "$at" -c "$at/conf" -e "$at/errors" "$@"; }
fetch() {
	exec 3<>"/dev/tcp/127.0.0.1/$port" || return
	printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&3
	sed '1,/^\r$/d' <&3
	exec 3>&-
}
load() { # what wrk says of failures, and whether there was anything else
	wrk -t1 -c8 -d1s "$@" >"$at/wrk" || echo "wrk $?"
	grep -e Non-2xx -e 'Socket errors' "$at/wrk"
	awk '/requests in/ { print "served:", ($1 > 50 ? "yes" : $1) }' "$at/wrk"
}

nginx
echo "start $?"
if command -v wrk >/dev/null; then
	load "http://127.0.0.1:$port/a.txt"
	load -H 'Accept-Encoding: gzip' "http://127.0.0.1:$port/g/a.txt"
fi
fetch /a.txt | md5sum
nginx -s reload
echo "reload $?"
fetch /
nginx -s quit
echo "quit $?"
for ((i = 0; i < 200; i++)); do
	[ -e "$at/pid" ] || break
	sleep 0.1
done
[ ! -e "$at/pid" ] || echo "still there"
grep -e emerg -e alert -e crit "$at/errors"
exit 0
