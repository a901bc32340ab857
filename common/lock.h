/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Mutexes that are held for a few hundred nanoseconds: a waiter spins for a moment before it sleeps. */
#ifndef CLOISON_COMMON_LOCK_H
#define CLOISON_COMMON_LOCK_H

#include <pthread.h>

/*
 * For locks under which no I/O is done, and nothing is waited for but, now and then, memory (a slab, a larger hash table). To put a thread to sleep and to wake it costs ten times what such a
 * lock is held for (futex(2)); glibc's adaptive kind tries for as long as earlier tries took, then sleeps.
 */
static inline void lock_init_short(pthread_mutex_t *m)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(m, &attr);
	pthread_mutexattr_destroy(&attr);
}

#endif
