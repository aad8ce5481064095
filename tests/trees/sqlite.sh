#!/bin/bash
# SPDX-License-Identifier: MIT
# sqlite.sh - several processes on one database with a write-ahead log
rm -f w.db*
q() { sqlite3 -cmd '.timeout 60000' w.db "$@"; }
q 'PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, who, b); CREATE INDEX x ON t(b)'
for who in 1 2 3; do
	for part in 1 2 3 4; do
		q "BEGIN IMMEDIATE; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2500)
			INSERT INTO t(who, b) SELECT $who, (i*7919+$part)%10007 FROM n; COMMIT" || echo "writer $who failed"
	done &
done
while [ -n "$(jobs -r)" ]; do
	q 'SELECT count(*) % 2500 FROM t' >seen
	[ "$(<seen)" = 0 ] || echo "a part of a transaction was seen: $(<seen)"
	jobs >/dev/null
done
wait
q 'SELECT who, count(*), sum(b) FROM t GROUP BY who; PRAGMA integrity_check; PRAGMA wal_checkpoint(TRUNCATE)'
