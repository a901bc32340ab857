/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading /proc/self/mountinfo. */
#include "tools/common/mtab.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* \040 and the like, in place. */
static void unescape(char *s)
{
	char *out = s;
	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

/* 36 35 98:0 /root /target options tag:1 - type source super-options */
int mtab_parse(char *line, struct mtab_entry *e)
{
	char *save = NULL, *field[6];
	for (size_t i = 0; i < 6; i++) {
		field[i] = strtok_r(i ? NULL : line, " \n", &save);
		if (!field[i])
			return -EUCLEAN;
	}
	char *tag;
	do {
		tag = strtok_r(NULL, " \n", &save);
		if (!tag)
			return -EUCLEAN;
	} while (strcmp(tag, "-"));
	char *type = strtok_r(NULL, " \n", &save);
	if (!type || !save)
		return -EUCLEAN;
	/* The source may be empty, so that two blanks stand together: no strtok here. */
	char *source = strsep(&save, " ");
	char *options = save ? save : source + strlen(source);
	options[strcspn(options, "\n")] = '\0';
	*e = (struct mtab_entry){ .target = field[4], .source = source, .type = type, .options = options };
	if (sscanf(field[2], "%u:%u", &e->major, &e->minor) != 2)
		return -EUCLEAN;
	e->read_only = !strncmp(field[5], "ro", 2) && (field[5][2] == ',' || !field[5][2]);
	e->read_only |= !strncmp(options, "ro", 2) && (options[2] == ',' || !options[2]);
	unescape(e->target);
	unescape(e->source);
	unescape(e->options);
	return 0;
}

int mtab_each(bool (*fn)(void *arg, const struct mtab_entry *e), void *arg)
{
	FILE *in = fopen("/proc/self/mountinfo", "re");
	if (!in)
		return -errno;
	char *line = NULL;
	size_t cap = 0;
	int err = 0;
	while (errno = 0, getline(&line, &cap, in) > 0) {
		struct mtab_entry e;
		if (!mtab_parse(line, &e) && !fn(arg, &e))
			break;
	}
	if (ferror(in))
		err = errno ? -errno : -EIO;
	free(line);
	fclose(in);
	return err;
}

void mtab_entry_done(struct mtab_entry *e)
{
	free(e->target);
	free(e->source);
	free(e->type);
	free(e->options);
	*e = (struct mtab_entry){ 0 };
}

struct search {
	const char *target, *source;
	unsigned major, minor;
	size_t count;
	struct mtab_entry found;
	int err;
};

static int keep(struct search *s, const struct mtab_entry *e)
{
	struct mtab_entry copy = *e;
	copy.target = strdup(e->target);
	copy.source = strdup(e->source);
	copy.type = strdup(e->type);
	copy.options = strdup(e->options);
	mtab_entry_done(&s->found);
	s->found = copy;
	return copy.target && copy.source && copy.type && copy.options ? 0 : -ENOMEM;
}

static bool match(void *arg, const struct mtab_entry *e)
{
	struct search *s = arg;
	/* The last match stays: later mounts cover earlier ones. */
	if ((s->target && !strcmp(s->target, e->target)) ||
	    (s->source && !strcmp(e->type, MTAB_TYPE) && !strcmp(s->source, e->source)))
		s->err = keep(s, e);
	return !s->err;
}

static int search(struct search *s, struct mtab_entry *ret)
{
	int err = mtab_each(match, s);
	if (!err)
		err = s->err;
	if (!err && !s->found.target)
		err = -ENOENT;
	if (err) {
		mtab_entry_done(&s->found);
		return err;
	}
	*ret = s->found;
	return 0;
}

int mtab_find(const char *target, struct mtab_entry *ret)
{
	struct search s = { .target = target };
	return search(&s, ret);
}

int mtab_find_source(const char *dir, struct mtab_entry *ret)
{
	struct search s = { .source = dir };
	return search(&s, ret);
}

uid_t mtab_owner(const struct mtab_entry *e)
{
	const char *p = strstr(e->options, "user_id=");
	return p ? (uid_t)strtoul(p + 8, NULL, 10) : 0;
}

static bool count(void *arg, const struct mtab_entry *e)
{
	struct search *s = arg;
	s->count += e->major == s->major && e->minor == s->minor;
	return true;
}

int mtab_count(unsigned major, unsigned minor, size_t *ret)
{
	struct search s = { .major = major, .minor = minor };
	int err = mtab_each(count, &s);
	if (!err)
		*ret = s.count;
	return err;
}

int mtab_canonical(const char *path, char **ret)
{
	char *copy1 = strdup(path), *copy2 = strdup(path), *dir = NULL, *out = NULL;
	int err = -ENOMEM;
	if (!copy1 || !copy2)
		goto out;
	const char *base = basename(copy1);
	if (!strcmp(base, "/") || !strcmp(base, ".") || !strcmp(base, "..")) {
		out = realpath(path, NULL);
		err = out ? 0 : -errno;
		goto out;
	}
	dir = realpath(dirname(copy2), NULL);
	if (!dir) {
		err = -errno;
		goto out;
	}
	err = asprintf(&out, "%s/%s", strcmp(dir, "/") ? dir : "", base) < 0 ? -ENOMEM : 0;
out:
	free(copy1);
	free(copy2);
	free(dir);
	if (!err)
		*ret = out;
	return err;
}
