#!/bin/bash
# SPDX-License-Identifier: MIT
# postgres.sh - initdb, start, queries, pgbench, stop
set -o pipefail
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
export PATH=$bin:$PATH LC_ALL=C PGHOST=$PWD/sock PGPORT=5544 PGUSER=pg
rm -rf data sock && mkdir sock || exit 1
initdb -D data -U pg -A trust --no-sync >/dev/null 2>&1
echo "initdb $?"
pg_ctl -D data -l log -w -t 100 -o "-c listen_addresses='' -c unix_socket_directories='$PGHOST' -c fsync=off" start >/dev/null
echo "start $?"
psql -d postgres -qAt <<'END'
CREATE TABLE t AS SELECT i, i*7%1000 AS b, 'row'||i AS c FROM generate_series(1,50000) i;
CREATE INDEX x ON t(b);
SELECT b%7, count(*), sum(length(c)) FROM t GROUP BY 1 ORDER BY 1;
END
pgbench -i -s 1 -q postgres >/dev/null 2>&1
echo "init $?"
pgbench -c 3 -j 2 -t 150 postgres 2>/dev/null | grep -e processed -e failed
psql -d postgres -qAtc 'SELECT count(*) FROM pgbench_history' -c 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) - (SELECT sum(delta) FROM pgbench_history)'
pg_ctl -D data -m fast -w -t 100 stop >/dev/null
echo "stop $?"
grep -e PANIC -e FATAL -e 'terminated by' log
exit 0
