/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pool of pages: a free list threaded through the pages themselves, which are zero but for the link. */
#include "fs/page.h"

#include "common/secret.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define SLAB_PAGES 128u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t *free_pages; /* protected by lock */

static void push_locked(uint8_t *p)
{
	memcpy(p, &free_pages, sizeof free_pages);
	free_pages = p;
}

/* Slabs are never unmapped: the pool is as large as its greatest use, which the caches bound. */
static bool more_locked(void)
{
	size_t len = (size_t)SLAB_PAGES * CL_PAGE;
	uint8_t *slab = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (slab == MAP_FAILED)
		return false;
	(void)madvise(slab, len, MADV_DONTDUMP); /* dumps are off for the process as well */
	for (unsigned i = SLAB_PAGES; i > 0; i--)
		push_locked(slab + (size_t)(i - 1) * CL_PAGE);
	return true;
}

uint8_t *page_new(void)
{
	uint8_t *p = NULL;

	pthread_mutex_lock(&lock);
	if (free_pages || more_locked()) {
		p = free_pages;
		memcpy(&free_pages, p, sizeof free_pages);
		memset((void *)p, 0, sizeof(void *));
	}
	pthread_mutex_unlock(&lock);
	return p;
}

void page_free(uint8_t *p)
{
	if (!p)
		return;
	secret_wipe(p, CL_PAGE);
	pthread_mutex_lock(&lock);
	push_locked(p);
	pthread_mutex_unlock(&lock);
}
