/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A small volume with every structure in it, what must be found in it, and a reader that compares. The volume has two
 * labels; the lower compartment was written when the daemon was killed: its journal has records that are not home yet.
 */
#ifndef CLOISON_TESTS_EVIL_SCENE_H
#define CLOISON_TESTS_EVIL_SCENE_H

#include "common/secret.h"
#include "fs/fs.h"
#include "tests/evil/image.h"

enum { SCENE_ENTRIES = 96, SCENE_PAGES_MAX = 136, SCENE_NAMES = 34, SCENE_XATTR_LEN = 5000, SCENE_STAGES = 4 };

/* One name of the tree. */
struct scene_entry {
	char path[320];
	const char *name; /* last part of path */
	int parent;       /* entry of its directory; -1: this is the root */
	bool alias;       /* another name of an entry before it: contents are compared there */
	bool given_up;    /* changed, or given up, by the last transaction of the journal */
	struct fs_attr attr;
	uint32_t seed[SCENE_PAGES_MAX]; /* of each page's contents; 0 = a hole */
	uint32_t target;                /* length of a symlink's target */
	uint32_t xattr;                 /* length of the value of user.evil; 0 = there is none */
};

/* All that was there after one of the commits. */
struct scene_state {
	struct scene_entry e[SCENE_ENTRIES];
	size_t n;
};

/*
 * Stages: 0 = closed cleanly, everything home, journals empty; 1 = opened again (a record that says so) and changed once,
 * 2 and 3 = changed once more each. image[n] is what a kill behind stage n leaves, state[n] what it has. after: the
 * volume of the last stage, closed cleanly.
 */
struct scene {
	struct secret *keys[2];
	struct fs_compartment comps[2];
	struct image *image[SCENE_STAGES];
	struct scene_state state[SCENE_STAGES];
	struct image *after;
	uint64_t orphan; /* inode that was unlinked, and open, when the daemon was killed */
};

void scene_make(struct scene *s);
void scene_free(struct scene *s);
/* After the last one: gives back what the engine keeps, and aborts if a key is left. */
void scene_done(void);
/* What a session of the lower label alone sees of it. */
void scene_lower_only(const struct scene_state *from, struct scene_state *ret);

/* What damage may keep from being read; all zero: nothing. */
struct scene_loss {
	bool lookup; /* its name, or its inode */
	bool link, xattr, list;
	int first, last; /* pages of its contents */
	bool data;
};

/* What a reading found. */
struct scene_result {
	unsigned errors;          /* things that could not be read */
	bool lost[SCENE_ENTRIES]; /* of this entry something */
	char wrong[1024];         /* what differs from the expectation; "" = nothing */
};

enum {
	SCENE_EXACT = 1, /* each loss must be an error, and nothing else may be one; without it, all may */
	SCENE_PAGES = 2, /* every page of large files too, not a sample of their holes */
	SCENE_FOCUS = 4, /* only what has a loss, and a little that has none */
};
/* Reads everything and compares. loss: for each entry; NULL: none. */
void scene_read(const struct scene_state *state, struct fs *fs, const struct scene_loss *loss, unsigned how,
		struct scene_result *ret);

/* Contents of a page, and bytes of targets and values. */
const uint8_t *scene_page(uint32_t seed);
#define SCENE_LOST(err) ((err) == -EBADMSG || (err) == -EUCLEAN || (err) == -EIO)

/* Lines of the log by level, since scene_log_start. */
extern unsigned scene_lines[4];
extern char scene_last_line[1024];
void scene_log_start(void);

#endif
