/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inode table of the benchmark's passthrough: chunked array by node number, chained hash by (dev, ino). */
#include "tests/bench/ptnode.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK_BITS 12
#define CHUNK_NODES (1u << CHUNK_BITS)
#define MAX_CHUNKS 1024u /* 4 Mi nodes: more than there can be descriptors */
#define HASH_BITS 20     /* fixed: short chains up to a few million nodes, and no rehash in a timed phase */

struct node {
	dev_t dev;
	ino_t ino;
	uint64_t refs;
	uint32_t next; /* in the hash chain, or in the free list; 0 ends both */
	int fd;
};

/*
 * A chunk never moves once published, so a request reads its node without the lock: the kernel sends no request for a
 * number it has forgotten. Everything else here is protected by lock.
 */
static struct node *chunks[MAX_CHUNKS];
static uint32_t *buckets;
static uint32_t n_nodes = PTNODE_ROOT; /* numbers handed out so far, 0 not being one */
static uint32_t free_list;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct node *node_at(uint64_t id)
{
	return &chunks[id >> CHUNK_BITS][id & (CHUNK_NODES - 1)];
}

static uint32_t *bucket_of(dev_t dev, ino_t ino)
{
	uint64_t key = ((uint64_t)ino ^ ((uint64_t)dev << 48)) * 0x9e3779b97f4a7c15u; /* Fibonacci hashing */

	return &buckets[key >> (64 - HASH_BITS)];
}

static uint32_t new_number_locked(void)
{
	uint32_t id = free_list;

	if (id) {
		free_list = node_at(id)->next;
		return id;
	}
	id = n_nodes;
	if (id >> CHUNK_BITS >= MAX_CHUNKS)
		return 0;
	if (!chunks[id >> CHUNK_BITS]) {
		struct node *chunk = calloc(CHUNK_NODES, sizeof(*chunk));

		if (!chunk)
			return 0;
		__atomic_store_n(&chunks[id >> CHUNK_BITS], chunk, __ATOMIC_RELEASE);
	}
	n_nodes++;
	return id;
}

static int get_locked(int *fd, const struct stat *st, uint64_t *ret_id)
{
	uint32_t *bucket = bucket_of(st->st_dev, st->st_ino);
	struct node *node;
	uint32_t id;

	for (id = *bucket; id; id = node->next) {
		node = node_at(id);
		if (node->ino == st->st_ino && node->dev == st->st_dev) {
			node->refs++;
			*ret_id = id;
			return 0;
		}
	}
	id = new_number_locked();
	if (!id)
		return -ENOMEM;
	node = node_at(id);
	*node = (struct node){ .dev = st->st_dev, .ino = st->st_ino, .refs = 1, .next = *bucket, .fd = *fd };
	*bucket = id;
	*fd = -1;
	*ret_id = id;
	return 0;
}

int ptnode_get(int fd, const struct stat *st, uint64_t *ret_id)
{
	int err;

	pthread_mutex_lock(&lock);
	err = get_locked(&fd, st, ret_id);
	pthread_mutex_unlock(&lock);
	if (fd >= 0)
		close(fd);
	return err;
}

void ptnode_forget(uint64_t id, uint64_t n)
{
	struct node *node;
	uint32_t *link;
	int fd = -1;

	if (ptnode_fd(id) < 0 || id == PTNODE_ROOT)
		return;
	pthread_mutex_lock(&lock);
	node = node_at(id);
	node->refs -= CL_MIN(n, node->refs);
	if (!node->refs) {
		for (link = bucket_of(node->dev, node->ino); *link != id; link = &node_at(*link)->next)
			;
		*link = node->next;
		/* Closed only once out of the hash: till then the descriptor keeps the inode number from reuse. */
		fd = node->fd;
		node->fd = -1;
		node->next = free_list;
		free_list = (uint32_t)id;
	}
	pthread_mutex_unlock(&lock);
	if (fd >= 0)
		close(fd);
}

int ptnode_fd(uint64_t id)
{
	struct node *chunk;

	if (!id || id >> CHUNK_BITS >= MAX_CHUNKS)
		return -1;
	chunk = __atomic_load_n(&chunks[id >> CHUNK_BITS], __ATOMIC_ACQUIRE);
	if (!chunk || !chunk[id & (CHUNK_NODES - 1)].refs)
		return -1;
	return chunk[id & (CHUNK_NODES - 1)].fd;
}

int ptnode_init(const char *path)
{
	struct stat st;
	uint64_t id;
	int fd;

	buckets = calloc((size_t)1 << HASH_BITS, sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return ptnode_get(fd, &st, &id); /* the first number is PTNODE_ROOT */
}

void ptnode_done(void)
{
	uint32_t i;

	for (i = PTNODE_ROOT; i < n_nodes; i++)
		if (node_at(i)->refs)
			close(node_at(i)->fd);
	for (i = 0; i < MAX_CHUNKS; i++)
		free(chunks[i]);
	free(buckets);
}
