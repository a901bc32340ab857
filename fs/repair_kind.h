/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What fsck can repair: the kinds, and what a finding says of its repair. See fs/repair.h. */
#ifndef CLOISON_FS_REPAIR_KIND_H
#define CLOISON_FS_REPAIR_KIND_H

#include "common/base.h"

enum repair_kind {
	REPAIR_NONE,
	/* Step 0, without a key: lower files. name is the file's, in the compartment's folder. */
	REPAIR_MODE,    /* a: a folder */
	REPAIR_FOLDER,  /* those of the 256 that are missing */
	REPAIR_LEASE,   /* missing */
	REPAIR_SIZE,    /* a: bytes that it must have */
	REPAIR_UNSHARE, /* it has other names */
	REPAIR_STRAY,   /* not ours: out of the way */
	REPAIR_TEMP,    /* left by a repair that was cut off */
	REPAIR_JOURNAL_CUT,
	REPAIR_JOURNAL_NEW,
	/* Step 1, of step 0's kind: before the compartment can be opened. */
	REPAIR_ROOT_PAGE, /* both copies lost */
	/* Step 2: who owns which object. */
	REPAIR_NEXT_OBJECT, /* a: first number that may be given out */
	REPAIR_SHARED,      /* ino's contents (b: attributes) are object a, which another inode has as well */
	/* Step 3: the inode table and directories. */
	REPAIR_COMMIT,      /* any commit mends it */
	REPAIR_TOUCH,       /* copy b of object a has no lower file */
	REPAIR_COPY,        /* pages a - b of copy ino & 1 of object ino >> 1 */
	REPAIR_TABLE,       /* leaves a - b of the inode table cannot be read */
	REPAIR_FREE_RECORD, /* records a - b are free but not empty */
	REPAIR_RECORD,      /* ino's is malformed */
	REPAIR_ROOT_DIR,    /* there is none */
	REPAIR_DIR_LOST,    /* leaves a - b of directory ino cannot be read */
	REPAIR_DIR_GONE,    /* nor any of it */
	REPAIR_DIR_PAGE,    /* leaf a is malformed */
	REPAIR_DIR_BEHIND,  /* pages behind its end */
	REPAIR_ENTRY,       /* of directory ino at a is to go */
	REPAIR_GATE,        /* of directory ino at a: right compartment, wrong otherwise */
	/* Step 4: what follows from the others, so only when all names are known. */
	REPAIR_RUBBISH, /* lower files of nobody */
	REPAIR_BITMAP,  /* leaves a - b of bitmap ino cannot be read */
	REPAIR_COUNTS,  /* bitmaps and the root page's counts disagree with the table */
	REPAIR_PARENT,  /* of directory ino is a */
	REPAIR_ENTRIES, /* of directory ino are a */
	REPAIR_DIR_STORED,
	REPAIR_NLINK,   /* of ino is a; of a directory, what its entries say */
	REPAIR_CONNECT, /* inodes a - b have no names */
	REPAIR_ORPHANS,
	/* Step 5: contents. */
	REPAIR_DATA,      /* leaves a - b of ino cannot be read */
	REPAIR_DATA_GONE, /* nor any of it */
	REPAIR_STORED,
	REPAIR_TAIL,       /* not zero behind the end */
	REPAIR_BEHIND,     /* pages behind the end */
	REPAIR_TO_FILE,    /* contents of what has none */
	REPAIR_LINK,       /* no target */
	REPAIR_XATTRS,     /* cannot be read */
	REPAIR_XATTR_LIST, /* is written again */
	REPAIR_FIELDS,
	REPAIR_N
};

struct repair {
	enum repair_kind kind;
	uint64_t ino, a, b;
	const char *name; /* borrowed by repair_want */
};

#endif
