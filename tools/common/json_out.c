/* SPDX-License-Identifier: GPL-3.0-or-later */
/* JSON on stdout. */
#include "tools/common/json_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *json_out_text(const char *text)
{
	if (!text)
		return json_null();
	json_t *v = json_string(text);
	if (v)
		return v;
	char *copy = strdup(text);
	if (!copy)
		return NULL;
	for (char *p = copy; *p; p++)
		if (*p & 0x80)
			*p = '?';
	v = json_string(copy);
	free(copy);
	return v;
}

int json_out(json_t *v)
{
	if (!v)
		return -ENOMEM;
	int err = json_dumpf(v, stdout, JSON_INDENT(2)) ? -EIO : 0;
	json_decref(v);
	if (!err && putchar('\n') == EOF)
		err = -EIO;
	return err;
}
