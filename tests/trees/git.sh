#!/bin/bash
# SPDX-License-Identifier: MIT
# git.sh [FILES] - init, add, commit, log, gc, clone of a repository
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z' HOME=$PWD
rm -rf repo copy && mkdir repo && cd repo || exit 1
awk -v n="${1:-2000}" 'BEGIN { for (i = 0; i < n; i++) { d = "d" i % 40; if (i < 40) system("mkdir " d); f = d "/f" i ".txt";
	for (k = 0; k < 1 + i % 9; k++) print "line", k, "of", i > f; close(f) } }'
git -c init.defaultBranch=main init -q . && git add . && git commit -qm one
for f in d7/*; do
	echo more >>"$f"
done
git status --short | wc -l
git commit -qam two
git log --format='%H %s'
git -c gc.autoDetach=false gc -q
git fsck 2>&1
git count-objects -v | grep -e in-pack -e ^count
git clone -q . ../copy && diff -r -x .git . ../copy && echo same
git diff --stat HEAD~1 | tail -1
