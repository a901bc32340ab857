/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inode table of the benchmark's passthrough: node numbers for the kernel, O_PATH descriptors for us. */
#ifndef CLOISON_TESTS_BENCH_PTNODE_H
#define CLOISON_TESTS_BENCH_PTNODE_H

#include <stdint.h>
#include <sys/stat.h>

#include "common/base.h"

#define PTNODE_ROOT 1u

/* Opens path as node PTNODE_ROOT, which is never forgotten. Call once, before any other function. */
CL_MUST_USE int ptnode_init(const char *path);
void ptnode_done(void);

/* The O_PATH descriptor of a node that the kernel refers to, which is why this needs no lock; -1: no such node. */
int ptnode_fd(uint64_t id);

/*
 * Takes one reference on the node of the file that fd (O_PATH) is open on and st describes, making the node if needed.
 * Consumes fd, on failure too. -ENOMEM: no memory or no node left.
 */
CL_MUST_USE int ptnode_get(int fd, const struct stat *st, uint64_t *ret_id);

/* Drops n references; the last one closes the descriptor and frees the number. */
void ptnode_forget(uint64_t id, uint64_t n);

#endif
