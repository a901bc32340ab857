/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Whether jansson ran out of memory. It takes that for a mistake in the text that it reads, and when it writes an object
 * it may leave a key out and go on.
 */
#include "keyring/model.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

static _Thread_local bool no_memory;

static void *json_alloc(size_t n)
{
	void *p = malloc(n);

	no_memory = no_memory || !p;
	return p;
}

static void use_json_alloc(void)
{
	json_set_alloc_funcs(json_alloc, free);
}

void keyring_json_start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, use_json_alloc);
	no_memory = false;
}

bool keyring_json_no_memory(void)
{
	return no_memory;
}
