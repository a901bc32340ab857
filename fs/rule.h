/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The rules that keep commits safe (doc/DESIGN "Commit"), by name. tests/sim switches them off one at a time, in a build of the engine of
 * its own, and must find a power cut that shows it. In every other build RULE is true and costs nothing.
 */
#ifndef CLOISON_FS_RULE_H
#define CLOISON_FS_RULE_H

enum rule {
	RULE_SYNC_FRESH,      /* data written home is durable before the record that shows it */
	RULE_SYNC_FOLDERS,    /* names of new lower files are durable before what needs them */
	RULE_SYNC_RECORD,     /* a record is durable before the commit is told */
	RULE_SYNC_HOME,       /* pages are durable at home before the journal's tail moves behind them */
	RULE_SYNC_HEADER,     /* the two copies of the journal's header are never written at the same time */
	RULE_OLD_THROUGH_JOURNAL, /* a page that the committed state references is never overwritten in place */
	RULE_FREED_IS_USED,   /* what was freed since the last commit counts as referenced */
	RULE_MENTIONED,       /* what a record mentions, or a range of an operation in one, is not written in place */
	RULE_ROOT_IN_RECORD,  /* the root page comes home after the record, not before */
	RULE_OPS_AFTER,       /* space is given back after the record is durable */
	RULE_DOUBT_FOLDERS,   /* recovery syncs folders whose new names the killed session may not have synced */
	RULE_CHECKSUM,        /* a torn record is none */
	RULE_SETTLE,          /* what recovery found is made durable before it is acted upon */
	RULE_LEFT_BEHIND,     /* an inode whose data is not durable shows its last committed contents */
	RULE_NAMED,           /* but not when it was put in the place of another */
	RULE_ALL
};

#ifdef CLOISON_MUTANTS
extern unsigned rule_off; /* the one that is off; RULE_ALL: none */
#define RULE(x) (rule_off != (unsigned)(x))
#else
#define RULE(x) true
#endif

#endif
