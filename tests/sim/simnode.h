/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside of the simulated disk: what simdisk.c (files, log, power cuts) and simstore.c (the store's calls) share. */
#ifndef CLOISON_TESTS_SIM_SIMNODE_H
#define CLOISON_TESTS_SIM_SIMNODE_H

#include "tests/sim/simdisk.h"

#define SIM_NAME 40u
#define SIM_NOBODY UINT32_MAX

/* Bytes that several disks share and nobody changes but their only holder. */
struct sim_blob {
	unsigned refs;
	uint8_t bytes[];
};

/* A page of a file that is not all zeros, perhaps. */
struct sim_page {
	uint64_t no;
	struct sim_blob *blob;
};

struct sim_entry {
	char name[SIM_NAME];
	uint32_t node;
};

/* A file or a folder. Its number is its place in the disk's array, the same in all disks that come from one another. */
struct sim_node {
	bool is_dir;
	uint64_t size;
	struct sim_page *pages; /* ascending */
	size_t n_pages, cap_pages;
	struct sim_entry *entries; /* of a folder */
	size_t n_entries, cap_entries;
};

enum sim_kind { SIM_WRITE, SIM_TRUNCATE, SIM_PUNCH, SIM_LINK, SIM_UNLINK, SIM_RENAME, SIM_SYNC, SIM_SYNC_DIR, SIM_SYNC_ALL };

struct sim_op {
	enum sim_kind kind;
	bool folder;         /* LINK: the child is one */
	uint32_t node;       /* the file; of operations on names the folder */
	uint32_t child;      /* LINK, RENAME */
	char name[SIM_NAME], to[SIM_NAME];
	uint64_t off, len;
	struct sim_blob *data; /* WRITE */
	uint64_t mark;
};

struct sim_nodes {
	struct sim_node *v;
	size_t n, cap;
};

struct simdisk {
	struct sim_nodes now;  /* as processes see it */
	struct sim_nodes base; /* when the log began */
	struct sim_op *log;
	size_t n_log, cap_log;
	uint64_t mark;
	bool recording;
	bool full;
};

/* True when all pages of a range of a file are stored. */
bool simnode_has(const struct sim_nodes *t, uint32_t node, uint64_t off, uint64_t len);

/* Node of that name in a folder, or SIM_NOBODY. */
uint32_t simnode_find(const struct sim_nodes *t, uint32_t dir, const char *name);
/* Number of a node that is made; it has no name yet. */
uint32_t simnode_new(struct sim_nodes *t, bool is_dir);
void simnode_read(const struct sim_nodes *t, uint32_t node, void *buf, size_t n, uint64_t off);
/* Does op to the disk as processes see it, and logs it. op->data is taken over. */
void simdisk_do(struct simdisk *d, const struct sim_op *op);

#endif
