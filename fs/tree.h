/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The page tree of one object (doc/FORMAT section 3). Index pages and metadata leaves are nodes in the cache; the refs of
 * data leaves are slots of level-1 nodes, or, in a tree of height 0, the root ref alone.
 *
 * Lock: the owner's (an inode's, the inode table's). "Shared" is enough for what only reads; what changes needs it
 * exclusively, and a running transaction. tree_seal runs with all changes held off, and beside readers: what it changes
 * (slots of cached children, the root ref under a cached root) no reader looks at.
 */
#ifndef CLOISON_FS_TREE_H
#define CLOISON_FS_TREE_H

#include "common/base.h"
#include "fs/node.h"
#include "fs/pageio.h"

#define TREE_LEAVES_MAX ((uint64_t)1 << 35) /* 128^5 */

struct tree {
	struct pageio *io;
	struct node_cache *nodes;
	atomic_uint_fast64_t *dirty_pages; /* of the compartment; counts dirty nodes */
	uint64_t object;                   /* 0 = none yet; see tree_has_object */
	struct seal_key key;
	uint8_t height;
	struct seal_ref root;              /* as sealed last; counts only while the root is not cached dirty */
	bool root_fresh;                   /* height 0, data: the leaf was written home since the last commit */
	uint64_t fresh_gen;
	bool freed;                        /* since the last commit leaves became holes, or their lower pages are to be given back */
	size_t n_dirty;
	struct list dirty[PAGEIO_LEVELS + 1]; /* by level */
	struct pagemap_run run;            /* data pages that wait for the commit */
};

/* What the owner stores of a tree. */
struct tree_desc {
	uint64_t object;
	uint8_t height;
	struct seal_ref root;
	uint8_t key[SEAL_KEY_LEN];
};

void tree_init(struct tree *t, struct pageio *io, struct node_cache *nodes, atomic_uint_fast64_t *dirty_pages);
/* An existing tree. -EUCLEAN: height out of range. */
int tree_load(struct tree *t, const struct tree_desc *d) CL_MUST_USE;
/* A new, empty tree under a fresh random key. Forgets (does not free on disk) what was there. */
int tree_make(struct tree *t, uint64_t object) CL_MUST_USE;
/* Forgets dirty nodes and running pages; t is then as tree_init left it. */
void tree_discard(struct tree *t);
/* Puts src in the place of what dst has, which is forgotten; src is then as tree_init left it. Both owners' locks are held exclusively. */
void tree_move(struct tree *dst, struct tree *src);
/* Wipes the key of a tree that is not dirty. */
void tree_done(struct tree *t);
void tree_describe(const struct tree *t, struct tree_desc *ret);

/*
 * Referenced node of a metadata leaf (level 0) or an index page (level >= 1). Where the tree has a hole: NULL and 0, or with
 * create a new zero page (the tree grows as needed). tree_put gives it back.
 */
int tree_node(struct tree *t, uint32_t level, uint64_t index, bool create, struct node **ret) CL_MUST_USE;
void tree_put(struct tree *t, struct node *n);
/* Marks a node, and so its parents, to be sealed by the next commit. Before the content is changed. */
void tree_dirty(struct tree *t, struct node *n);

/* Refs of leaves first .. first + n - 1 (n at most 65536). */
int tree_get_refs(struct tree *t, uint64_t first, uint32_t n, struct seal_ref *ret) CL_MUST_USE;
/*
 * Sets them; n at most TREE_SET_MAX. *io_stored counts the tree's stored leaves. fresh: they were written home in place (else they are
 * running pages of the page map). old, unless NULL: what they were; to set these again cannot fail before the next commit. After an
 * error none is changed.
 */
#define TREE_SET_MAX 256u
int tree_set_refs(struct tree *t, uint64_t first, uint32_t n, const struct seal_ref *refs, bool fresh, struct seal_ref *old,
		  uint64_t *io_stored) CL_MUST_USE;
/*
 * Of leaves first .. first + n - 1, how many from first on can be written home in place (*ret_home = true), or how many
 * cannot (false): holes that the committed state does not reference, and that no journal record mentions. A leaf that was written home
 * since the commit is none: if a second write of it failed halfway, its first contents, which the application had been told are
 * stored, would be lost.
 */
int tree_run_kind(struct tree *t, uint64_t first, uint32_t n, bool *ret_home, uint32_t *ret_n) CL_MUST_USE;
/* Makes leaves first .. last holes. */
int tree_zero(struct tree *t, uint64_t first, uint64_t last, uint64_t *io_stored) CL_MUST_USE;
/* First leaf >= from that is stored (hole = false) or a hole (true), at most limit; limit when there is none. */
int tree_next(struct tree *t, uint64_t from, uint64_t limit, bool hole, uint64_t *ret) CL_MUST_USE;

/*
 * Commit: seals all dirty nodes bottom-up; emit gets each as ciphertext with its place, and takes over buf. The root ref
 * is then right. Starts a new generation of fresh leaves.
 */
typedef int tree_emit_fn(void *arg, uint64_t object, uint64_t lower, struct pagebuf *buf);
int tree_seal(struct tree *t, tree_emit_fn *emit, void *arg) CL_MUST_USE;
/* Without the lock: true when the tree has been made, so that its object and key can be used until somebody discards it. */
static inline bool tree_has_object(const struct tree *t)
{
	return __atomic_load_n(&t->object, __ATOMIC_ACQUIRE) != 0;
}
static inline bool tree_is_dirty(const struct tree *t)
{
	return t->n_dirty || t->run.n;
}

#endif
