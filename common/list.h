/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Intrusive doubly linked list. The lock of a list is the business of who holds its head. */
#ifndef CLOISON_COMMON_LIST_H
#define CLOISON_COMMON_LIST_H

#include "common/base.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *item)
{
	item->prev = head->prev;
	item->next = head;
	head->prev->next = item;
	head->prev = item;
}

static inline void list_add(struct list *head, struct list *item)
{
	list_add_tail(head->next, item);
}

/* Takes item out and leaves it as an empty list of its own, so that taking it out twice does no harm. */
static inline void list_del(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

/* Moves all of from to the end of to. */
static inline void list_splice_tail(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_item(ptr, type, member) CL_CONTAINER(ptr, type, member)

#endif
