#!/bin/bash
# SPDX-License-Identifier: MIT
# make.sh [FILES] - a C project built by two compilers at a time
n=${1:-100}
rm -rf proj && mkdir proj && cd proj || exit 1
for ((i = 0; i < n; i++)); do
	printf '#include <stdlib.h>\nint f%d(int a) { int s = 0; for (int k = 0; k < a; k++) s += abs(k * %d - a); return s; }\n' $i $i >f$i.c
done
{
	echo '#include <stdio.h>'
	for ((i = 0; i < n; i++)); do echo "int f$i(int);"; done
	echo 'int main(void) { long t = 0;'
	for ((i = 0; i < n; i++)); do echo "t += f$i($i);"; done
	echo 'printf("%ld\n", t); return 0; }'
} >main.c
printf 'all: prog\nO := $(patsubst %%.c,%%.o,$(wildcard *.c))\nprog: $(O)\n\tgcc -o $@ $(O)\n%%.o: %%.c\n\tgcc -O2 -Wall -c $< -o $@\n' >Makefile
make -j2 | sort | md5sum
./prog
make -j2
sed -i 's/abs/labs/' f3.c
make -s -j2 && ./prog
