/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A backing directory as an image in memory: copied at the price of its list of files, changed as an attacker would
 * change it, and opened as a store. For tests that open hundreds of thousands of variants. One thread.
 */
#ifndef CLOISON_TESTS_EVIL_IMAGE_H
#define CLOISON_TESTS_EVIL_IMAGE_H

#include "common/base.h"
#include "fs/store.h"

#define IMAGE_COMPS 2u

struct image_page {
	unsigned refs;
	uint8_t bytes[CL_PAGE];
};

/* A lower file. Pages are shared between copies until they are written; NULL: zeros. */
struct image_file {
	unsigned refs;             /* of the image, and of open handles */
	int comp;                  /* whose folder it is in: 0 .. IMAGE_COMPS - 1 */
	int folder;                /* 0 .. 255; -1: the compartment's own */
	char name[STORE_NAME_MAX]; /* below the compartment's folder */
	uint64_t size;
	struct image_page **pages;
	size_t n_pages;
	uint8_t *read; /* for each page, whether it was read; NULL: nobody wants to know */
};

struct image {
	char comps[IMAGE_COMPS][STORE_NAME_MAX]; /* names of their folders; "" = none */
	struct image_file **files;
	size_t n, cap;
};

struct image *image_new(void);
struct image *image_copy(const struct image *from);
void image_free(struct image *im);
/* The image as the store of a volume. It is borrowed; the store is freed by its own free. */
struct store *image_store(struct image *im);

/* From now on the pages that are read are marked. */
void image_trace(struct image *im);

/* NULL: no such file. */
struct image_file *image_find(const struct image *im, int comp, const char *name);
/* Takes a file out of the image. */
void image_remove(struct image *im, int comp, const char *name);
/* Puts a copy of file there under a name of that compartment, in the place of what is there. */
void image_put(struct image *im, int comp, const char *name, const struct image_file *file);
/* The contents of two names for each other. */
void image_swap(struct image_file *a, struct image_file *b);

/* The byte at off, to be changed for a moment and set back; NULL behind the end. A page of zeros is made real for that. */
uint8_t *image_byte(struct image_file *f, uint64_t off);
void image_write(struct image_file *f, const void *buf, size_t n, uint64_t off);
size_t image_read(const struct image_file *f, void *buf, size_t n, uint64_t off);
void image_cut(struct image_file *f, uint64_t size);
bool image_same(const struct image_file *a, const struct image_file *b);

#endif
