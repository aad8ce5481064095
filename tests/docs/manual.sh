#!/bin/bash
# SPDX-License-Identifier: MIT
# manual.sh - what the library exports and what section 3 of the manual describes is the same, the pages are sound, and they name each other rightly
cd "$(dirname "$0")/../.." || exit 1
n=0 bad=0
result() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; bad=1; fi; }

exported() { sed -n '/global:/,/local:/p' lib/libsoftfault.map | grep -o 'sf_[a-z_]*' | sort -u; }
macros() { grep -o '^#define sf_[a-z_]*(' include/softfault.h | grep -o 'sf_[a-z_]*[a-z]' | sort -u; }
# The names before the dash in NAME.
named() { sed -n '/^\.SH NAME/,/^\.SH SYNOPSIS/p' "$@" | grep -v '^\.SH' | sed 's/\\-.*//' | grep -o 'sf_[a-z_]*' | sort -u; }
prototypes() { sed -n '/^\.SH SYNOPSIS/,/^\.SH DESCRIPTION/p' "$1" | grep -o '\bsf_[a-z_]*(' | tr -d '(' | sort -u; }

gone=$(comm -3 <({ exported; macros; } | sort -u) <(named man/*.3))
[ -z "$gone" ]; result $? "each exported call and macro has a page, and each page's names exist${gone:+:} $(echo $gone)"

missing=$(for f in man/*.3; do for s in $(named "$f"); do prototypes "$f" | grep -qx "$s" || echo "$s"; done; done)
[ -z "$missing" ]; result $? "each name has its prototype in the page's synopsis${missing:+:} $(echo $missing)"

lost=$(named man/*.3 | while read -r s; do grep -q "'$s'" lib/meson.build || echo "$s"; done)
[ -z "$lost" ]; result $? "each name is installed${lost:+:} $(echo $lost)"

lost=$(grep -ho '^\.BR sf_[a-z_]* (3)' man/*.3 man/*.7 | sed 's/^.BR //; s/ (3)//' | sort -u | comm -23 - <(named man/*.3))
[ -z "$lost" ]; result $? "each page referred to exists${lost:+:} $(echo $lost)"

if command -v mandoc >/dev/null; then
	said=$(mandoc -T lint man/*.3 man/*.7 2>&1 | grep -v -e "outdated mandoc.db" -e "referenced manual not found")
	[ -z "$said" ]; result $? "mandoc has nothing to say"
	[ -z "$said" ] || sed 's/^/# /' <<<"$said"
else
	n=$((n + 1)); echo "ok $n # SKIP mandoc is not installed"
fi
echo "1..$n"
exit $bad
