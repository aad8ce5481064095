# SPDX-License-Identifier: MIT
# shell.sh - what every shell of ours shall do: bash, dash, busybox ash, zsh
i=0
while [ $i -lt 30 ]; do
	echo line $i | tr a-z A-Z | cut -c1-6
	i=$((i + 1))
done | sort | uniq -c | wc -l
(cd /; pwd; x=inner; trap 'echo left $x' EXIT; (exit 3); echo $?)
trap 'echo usr1' USR1
kill -USR1 $$
for x in a b c; do
	(echo in $x; exit 7) &
	wait $!
	echo $?
done
sleep 100 &
kill -TERM $!
wait $!
echo killed $?
cat <<END | tr -d '\t' | wc -c
	here $i $(echo sub; echo stitution)
END
mkfifo fifo 2>/dev/null
(cat fifo; echo read) &
echo through a fifo >fifo
wait
rm -f fifo
seq 1 100000 | head -3 | tail -1
yes | head -1000 | wc -l
f() { [ $1 -le 1 ] && echo 1 || echo $(($(f $(($1 - 1))) + $1)); }
f 12
sh -c 'kill -9 $$'
echo $?
set -- one 'two three' four
echo $# "$2"
{ echo out; echo err >&2; } 2>&1 | sort
trap 'echo bye $?' EXIT
exit 5
