/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading --label, and names for the gates. */
#include "tools/common/label_spec.h"

#include "tools/common/opts.h"

#include <ctype.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

void label_spec_done(struct label_spec_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].text);
		free(l->v[i].dir);
	}
	free(l->v);
	*l = (struct label_spec_list){ 0 };
}

static int no_memory(struct fault *f)
{
	return fault_set(f, -ENOMEM, CL_EXIT_FAILED, "out of memory");
}

/* Where the items begin: at a comma with "name=" behind, outside quotes; NULL: nowhere. */
static const char *find_items(const char *s)
{
	bool quoted = false;
	for (; *s; s++) {
		if (*s == '\\' && s[1])
			s++;
		else if (*s == '"')
			quoted = !quoted;
		else if (*s == ',' && !quoted) {
			const char *p = s + 1;
			while (islower((unsigned char)*p) || *p == '-')
				p++;
			if (*p == '=' && p > s + 1)
				return s;
		}
	}
	return NULL;
}

/* Drops quotes and backslashes as opts_list_next does for values, in place. */
static void unquote(char *s)
{
	char *out = s;
	for (; *s; s++) {
		if (*s == '\\' && (s[1] == ',' || s[1] == '"' || s[1] == '\\'))
			*out++ = *++s;
		else if (*s != '"')
			*out++ = *s;
	}
	*out = '\0';
}

static int check_dir(const char *dir, struct fault *f)
{
	size_t n = strlen(dir);
	if (n == 0 || n > KEYRING_DIR_MAX || strchr(dir, '/') || !strcmp(dir, ".") || !strcmp(dir, ".."))
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "--label: dir=%s is no name for a directory", dir);
	return 0;
}

static int take_item(struct label_spec *s, const char *name, const char *value, struct fault *f)
{
	if (!strcmp(name, "unlock")) {
		if (value && !strcmp(value, "host"))
			s->unlock = KEYRING_HOST;
		else if (value && !strcmp(value, "pin"))
			s->unlock = KEYRING_PIN;
		else if (value && !strcmp(value, "two-person"))
			return fault_set(
				f, -EINVAL, CL_EXIT_USAGE,
				"--label: unlock=two-person is not available in this version; there are host and pin");
		else
			return fault_set(f, -EINVAL, CL_EXIT_USAGE,
					 "--label: unlock=%s is not known; there are host and pin", value ? value : "");
		return 0;
	}
	if (!strcmp(name, "dir")) {
		if (s->dir)
			return fault_set(f, -EINVAL, CL_EXIT_USAGE, "--label: dir= is given twice");
		int err = check_dir(value ? value : "", f);
		if (err)
			return err;
		s->dir = strdup(value);
		return s->dir ? 0 : no_memory(f);
	}
	return fault_set(f, -EINVAL, CL_EXIT_USAGE, "--label: unknown item %s; there are unlock= and dir=", name);
}

int label_spec_add(struct label_spec_list *l, const char *arg, struct fault *f)
{
	if (l->n >= KEYRING_MAX_LABELS)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "--label: more than %u labels", KEYRING_MAX_LABELS);
	struct label_spec *v = reallocarray(l->v, l->n + 1, sizeof *v);
	if (!v)
		return no_memory(f);
	l->v = v;
	struct label_spec *s = &v[l->n];
	*s = (struct label_spec){ 0 };

	const char *items = find_items(arg);
	s->text = items ? strndup(arg, (size_t)(items - arg)) : strdup(arg);
	if (!s->text)
		return no_memory(f);
	l->n++; /* from here on label_spec_done frees it */
	unquote(s->text);
	size_t n = strlen(s->text);
	if (n == 0 || n > KEYRING_LABEL_MAX)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "--label: the label's text must have 1 to %u bytes",
				 KEYRING_LABEL_MAX);
	if (!items)
		return 0;
	char *list = strdup(items + 1);
	if (!list)
		return no_memory(f);
	char *cursor = list, *name, *value;
	int got;
	while ((got = opts_list_next(&cursor, &name, &value, f)) > 0) {
		got = take_item(s, name, value, f);
		if (got)
			break;
	}
	free(list);
	return got;
}

/*
 * Lower case by Unicode where the C library knows it ("TRÈS SECRET"), by ASCII otherwise. out: room for max bytes and
 * NUL.
 */
static void lower(const char *in, size_t n, char *out, size_t max)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	locale_t was = utf8 ? uselocale(utf8) : (locale_t)0;
	mbstate_t from = { 0 }, to = { 0 };
	size_t o = 0;
	while (n) {
		wchar_t w;
		size_t len = mbrtowc(&w, in, n, &from);
		char buf[MB_LEN_MAX];
		size_t m;
		if (len == 0 || len > n) { /* not UTF-8: as it stands */
			len = 1;
			m = 1;
			buf[0] = *in;
			from = (mbstate_t){ 0 };
		} else {
			m = wcrtomb(buf, (wchar_t)towlower((wint_t)w), &to);
			if (m == (size_t)-1) {
				m = len;
				memcpy(buf, in, len);
			}
		}
		if (m == 1 && (isspace((unsigned char)buf[0]) || buf[0] == '/'))
			buf[0] = '-';
		if (o + m > max)
			break;
		memcpy(out + o, buf, m);
		o += m;
		in += len;
		n -= len;
	}
	out[o] = '\0';
	if (utf8) {
		uselocale(was);
		freelocale(utf8);
	}
}

static bool is_taken(const struct label_spec_list *l, const char *dir)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].dir && !strcmp(l->v[i].dir, dir))
			return true;
	return false;
}

static int choose_dir(const struct label_spec_list *l, struct label_spec *s, struct fault *f)
{
	const char *level = s->text;
	if (*level == '@' && strchr(level, ':'))
		level = strchr(level, ':') + 1;
	const char *end = strstr(level, "//");
	char base[KEYRING_DIR_MAX - 8];
	lower(level, end ? (size_t)(end - level) : strlen(level), base, sizeof base - 1);
	if (!base[0] || !strcmp(base, ".") || !strcmp(base, ".."))
		snprintf(base, sizeof base, "label");
	char dir[KEYRING_DIR_MAX + 1];
	snprintf(dir, sizeof dir, "%s", base);
	for (unsigned i = 2; is_taken(l, dir); i++)
		snprintf(dir, sizeof dir, "%s-%u", base, i);
	s->dir = strdup(dir);
	return s->dir ? 0 : no_memory(f);
}

int label_spec_finish(struct label_spec_list *l, struct fault *f)
{
	int err = l->n ? 0 : label_spec_add(l, LABEL_SPEC_DEFAULT, f);
	if (err)
		return err;
	if (l->v[0].dir)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE,
				 "--label: the first (lowest) label holds the volume's root and takes no dir=");
	for (size_t i = 0; i < l->n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(l->v[i].text, l->v[j].text))
				return fault_set(f, -EINVAL, CL_EXIT_USAGE, "--label: '%s' is given twice",
						 l->v[i].text);
			if (l->v[i].dir && l->v[j].dir && !strcmp(l->v[i].dir, l->v[j].dir))
				return fault_set(f, -EINVAL, CL_EXIT_USAGE, "--label: dir=%s is given twice",
						 l->v[i].dir);
		}
	}
	for (size_t i = 1; i < l->n && !err; i++)
		if (!l->v[i].dir)
			err = choose_dir(l, &l->v[i], f);
	return err;
}

bool label_spec_needs_pin(const struct label_spec_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].unlock == KEYRING_PIN)
			return true;
	return false;
}
