/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Repair (fsck -p, -y): what the checker has found is held together with what mends it; then the compartment is
 * opened for writing, under the checker's own lease, and each is mended in transactions of the engine. doc/DESIGN
 * "Repair" has the rules.
 *
 * A compartment is repaired in rounds: check until something is found that can be repaired, in the order of the steps
 * below, repair that, and check again. So nothing is decided on what is damaged itself, and contents are read in full
 * only when all the rest is sound. A round in which nothing can be repaired is the last; what is left is then told by
 * an ordinary check.
 *
 * Findings that are held take memory: when there are too many, the rest waits for the next round.
 */
#ifndef CLOISON_FS_REPAIR_H
#define CLOISON_FS_REPAIR_H

#include "fs/check.h"
#include "fs/room.h"

enum {
	REPAIR_STEP_LOWER,
	REPAIR_STEP_ROOT,
	REPAIR_STEP_OBJECTS,
	REPAIR_STEP_TREE,
	REPAIR_STEP_COUNTS,
	REPAIR_STEP_CONTENTS
};

/* What mends the finding that is told next. */
void repair_want(struct check_comp *cc, const struct repair *r);
#define REPAIR_WANT(cc, k, ...) repair_want(cc, &(struct repair){ .kind = (k), ##__VA_ARGS__ })
/* Only what is known to be damage: a disk that gives errors may give the page another time. */
static inline bool repair_is_damage(int err)
{
	return err == -EBADMSG;
}
/*
 * In a round: true when the finding is held, or left for later; false when it must be told now. Takes the wanted
 * repair.
 */
bool repair_hold(struct check_comp *cc, enum check_kind kind, const char *path, const char *text);
/* True when findings of a step up to this one are held. */
bool repair_any(const struct check_comp *cc, unsigned last_step);
/*
 * Repairs what is held of the lowest step, if that is no later than last_step, and tells it; forgets the rest.
 * *ret_changed: something was repaired. Returns 0 or what ends the check.
 */
int repair_run(struct check_comp *cc, unsigned last_step, bool *ret_changed, struct fault *f) CL_MUST_USE;
void repair_forget(struct check_comp *cc);
/* Says what was done about the finding at hand. */
void repair_note(struct check_comp *cc, const char *fmt, ...) CL_PRINTF(2, 3);
/* A gate to compartment `at` of the list in the volume's root directory, which is cc's. */
int repair_add_gate(struct check_comp *cc, size_t at, bool *ret_done, struct fault *f) CL_MUST_USE;

/* How each kind is mended: 0, or why it cannot be. */
typedef int repair_fn(struct check_comp *cc, const struct repair *r);
/* repair_lower.c */
repair_fn repair_mode, repair_folder, repair_lease, repair_size, repair_unshare, repair_stray, repair_temp,
	repair_journal_cut, repair_journal_new, repair_root_page, repair_touch, repair_copy, repair_rubbish;
/* repair_table.c */
repair_fn repair_next_object, repair_commit, repair_table, repair_free_record, repair_record, repair_root_dir,
	repair_bitmap, repair_counts;
/* repair_dir.c */
repair_fn repair_dir_lost, repair_dir_gone, repair_dir_page, repair_dir_behind, repair_entry, repair_gate,
	repair_parent, repair_entries, repair_stored, repair_nlink, repair_connect, repair_orphans;
/* repair_data.c */
repair_fn repair_data, repair_data_gone, repair_tail, repair_behind, repair_to_file, repair_link, repair_xattrs,
	repair_xattr_list, repair_fields, repair_shared;

#define REPAIR_TEMP_NAME "unshare.tmp" /* in a compartment's folder */

/*
 * Shared by these. An inode about to be changed, in a transaction that repair_end ends; of a directory with its
 * entries counted.
 */
int repair_begin(struct check_comp *cc, uint64_t ino, struct inode **ret) CL_MUST_USE; /* ROOM_CHANGE */
int repair_begin_kind(struct check_comp *cc, enum room_kind kind, uint64_t ino, struct inode **ret) CL_MUST_USE;
int repair_end(struct inode *i, int err) CL_MUST_USE;
/* Leaves first .. last become holes, although they cannot be read, nor perhaps the index pages above them. */
int repair_make_hole(struct tree *t, uint64_t first, uint64_t last, uint64_t *io_stored) CL_MUST_USE;
int repair_count_stored(struct inode *i) CL_MUST_USE;
/* Gives inode i (in repair_begin_kind, ROOM_NEW) a name in lost+found, which it must have none besides. out: the path, for people. */
#define REPAIR_PATH_MAX 600u
int repair_put_lost(struct check_comp *cc, struct inode *i, char out[static REPAIR_PATH_MAX]) CL_MUST_USE;
/* Takes all names of n inodes away (sorted by number) but those in lost+found. */
int repair_remove_names(struct check_comp *cc, const uint64_t *inos, size_t n) CL_MUST_USE;
/* Files whose contents are damaged: out of everybody's reach before their contents are touched. */
int repair_quarantine(struct check_comp *cc, uint64_t ino, char out[static REPAIR_PATH_MAX]) CL_MUST_USE;
/* Another inode that was in use when the compartment was checked has the same object. */
bool repair_is_shared(const struct check_comp *cc, uint64_t object);

#endif
