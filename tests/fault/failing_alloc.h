/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Allocations that fail, one or all from one on: malloc and its kin, mmap, the pools, what libraries allocate for their callers. */
#ifndef CLOISON_TESTS_FAULT_FAILING_ALLOC_H
#define CLOISON_TESTS_FAULT_FAILING_ALLOC_H

#include "common/base.h"

struct failing_alloc {
	bool armed;            /* else they work, and are not counted */
	unsigned long fail_at; /* number of the allocation that fails, from 1 on; 0 = none */
	bool from_then_on;
	unsigned long calls;   /* that were counted */
	unsigned long hits;    /* that failed */
};

/* One thread allocates at a time. */
extern struct failing_alloc failing_alloc;

#endif
