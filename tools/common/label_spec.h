/* SPDX-License-Identifier: GPL-3.0-or-later */
/* mkfs.cloison's --label: text, way to unlock, name of the gate. */
#ifndef CLOISON_TOOLS_LABEL_SPEC_H
#define CLOISON_TOOLS_LABEL_SPEC_H

#include "common/base.h"
#include "common/fault.h"
#include "keyring/keyring.h"

#define LABEL_SPEC_DEFAULT "UNCLASSIFIED" /* the one label of a volume made without --label */

struct label_spec {
	char *text; /* owned */
	char *dir;  /* owned; NULL: the lowest label, or not chosen yet */
	enum keyring_unlock unlock;
};
struct label_spec_list {
	struct label_spec *v;
	size_t n;
};

/*
 * Appends LABEL[,unlock=host|pin][,dir=NAME]. The text may hold commas ("S//REL USA,FRA"): it ends at the first comma
 * with a name and '=' behind. -EINVAL with a sentence.
 */
int label_spec_add(struct label_spec_list *l, const char *arg, struct fault *f) CL_MUST_USE;
/*
 * After the last: gives the default label to an empty list, and each label but the first a gate: dir=, or its level
 * alone (the text before "//", without "@policy:"), in lower case, blanks and slashes as '-', with -2, -3, ... where
 * that name is taken. -EINVAL with a sentence: a label or dir= given twice, dir= for the first label, too many labels.
 */
int label_spec_finish(struct label_spec_list *l, struct fault *f) CL_MUST_USE;
bool label_spec_needs_pin(const struct label_spec_list *l);
void label_spec_done(struct label_spec_list *l);

#endif
