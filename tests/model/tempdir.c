/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Directories that tests make and remove. */
#include "tests/model/tempdir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *place(void)
{
	const char *dir = getenv("TMPDIR");

	if (dir && *dir)
		return dir;
	return access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
}

int tempdir_make(char path[static TEMPDIR_MAX])
{
	if (snprintf(path, TEMPDIR_MAX, "%s/cloison-test-XXXXXX", place()) >= (int)TEMPDIR_MAX)
		return -ENAMETOOLONG;
	return mkdtemp(path) ? 0 : -errno;
}

static void remove_below(int fd)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (e->d_type == DT_DIR) {
			int sub = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
			if (sub >= 0)
				remove_below(sub);
		}
		if (unlinkat(dirfd(dir), e->d_name, e->d_type == DT_DIR ? AT_REMOVEDIR : 0))
			perror(e->d_name);
	}
	if (dir)
		closedir(dir);
}

void tempdir_remove(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		remove_below(fd);
	if (rmdir(path))
		perror(path);
}
