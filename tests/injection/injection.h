/*
 * What the injector (injector.c, in the processes under test) and its driver (tests/inject) share:
 * one file of this layout, mapped by all of them. The driver packs and unpacks it by itself, so a
 * change here is a change there.
 */
#ifndef GENIE_TESTS_INJECTION_H
#define GENIE_TESTS_INJECTION_H

#include <stdint.h>

/* Calls are counted by what a process is, not by which one it is. */
enum injection_role {
	INJECTION_CLIENT,     /* libgenie.so in a program */
	INJECTION_SUPERVISOR, /* genied as it was started */
	INJECTION_GREETER,    /* its children that shake hands */
	INJECTION_WORKER,     /* and those that serve */
	INJECTION_ROLES
};

#define INJECTION_NAME  24
#define INJECTION_TRACE 4 /* callers by which one site is told from another */
#define INJECTION_SITES 16384

/* A place that calls something that may fail. */
struct injection_site {
	_Atomic uint64_t hash; /* 0: free */
	uint32_t role;
	_Atomic uint32_t calls;
	uint64_t trace[INJECTION_TRACE]; /* addresses in the file, innermost first */
	char name[INJECTION_NAME];       /* what it calls */
};

struct injection {
	/* Written by the driver. */
	uint32_t role;   /* whose call fails */
	uint32_t at;     /* which one, from 1; 0: none */
	uint64_t site;   /* or the first one from this site */
	uint32_t record; /* keep the sites */

	/* Written by the processes. */
	_Atomic uint32_t counts[INJECTION_ROLES];
	_Atomic uint32_t hits;
	char name[INJECTION_NAME]; /* of the call that failed */
	uint64_t trace[INJECTION_TRACE];
	struct injection_site sites[INJECTION_SITES];
};

#endif
