#!/bin/bash
# SPDX-License-Identifier: MIT
# redis.sh - snapshots and rewrites of the log by forked children while clients write; then the data from both files
port=${1:-$((20000 + $$ % 10000))} at=$PWD/redis
rm -rf "$at" && mkdir "$at" || exit 1
cli() { redis-cli -p "$port" "$@"; }
start() {
	redis-server --port "$port" --bind 127.0.0.1 --dir "$at" --save '' --enable-debug-command yes --appendonly "$1" --appendfsync no >"$at/log" &
	server=$!
	for ((i = 0; i < 300; i++)); do
		[ "$(cli ping 2>/dev/null)" != PONG ] || return 0
		sleep 0.1
	done
}
stop() {
	cli shutdown "$1"
	wait $server
	echo "stop $?"
}
finished() { # FIELD: wait until the child is through
	for ((i = 0; i < 600; i++)); do
		cli info persistence | grep -q "^$1:0" && return
		sleep 0.1
	done
	echo "$1 does not end"
}
status() { cli info persistence | tr -d '\r' | grep -e ^rdb_last_bgsave_status -e ^aof_last_bgrewrite_status; }

start no
cli debug populate 20000 key 100
redis-benchmark -p "$port" -n 20000 -r 1000 -c 8 -q -t set,lpush,hset >"$at/bench" &
load=$!
cli bgsave
finished rdb_bgsave_in_progress
wait $load
echo "load $?"
cli config set appendonly yes
finished aof_rewrite_in_progress
redis-benchmark -p "$port" -n 10000 -r 1000 -c 8 -q -t incr >"$at/bench" &
load=$!
cli bgrewriteaof
finished aof_rewrite_in_progress
wait $load
status
cli set last word
want=$(cli debug digest)
stop nosave
start yes
[ "$(cli debug digest)" = "$want" ] && echo "the log has it all"
cli get last
cli get key:777 | cut -c1-40
stop nosave
