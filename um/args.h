/* SPDX-License-Identifier: MIT */
/* args.h - short names for what a system call's arguments are (enum arg_kind), for tables of rows */
#ifndef SF_UM_ARGS_H
#define SF_UM_ARGS_H

#define INT           { ARG_VAL, 0, 0 }
#define FD            { ARG_FD, 0, 0 }
#define PATH          { ARG_PATH, 0, 0 }
#define PATHN         { ARG_PATHN, 0, 0 }
#define PATHF(flags)  { ARG_PATHF, flags, 0 }
#define STR           { ARG_STR, 0, 0 }
#define IN(n)         { ARG_IN, 0, n }
#define OUT(n)        { ARG_OUT, 0, n }
#define INOUT(n)      { ARG_INOUT, 0, n }
#define INB(len, n)   { ARG_INB, len, n }
#define OUTB(len, n)  { ARG_OUTB, len, n }
#define VRES(len, n)  { ARG_VRES, len, n }
#define SIZED(at, n)  { ARG_SIZED, at, n }

/* The fields of a struct syscall_desc that tell its arguments. */
#define ARGS(...) .nargs = sizeof((struct arg_desc[]){ __VA_ARGS__ }) / sizeof(struct arg_desc), .arg = { __VA_ARGS__ }

#endif
