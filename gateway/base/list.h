/* base/list.h -- doubly linked lists whose links live inside their members. A member is in one list or in none
 * (then it points to itself). */
#ifndef PERIGEE_BASE_LIST_H
#define PERIGEE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

/* The struct that contains `member`. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }

static inline void list_append(struct list *head, struct list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

/* Takes the item out of whatever list it is in; harmless when it is in none. */
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

/* The first member, taken out, or NULL. */
static inline struct list *list_shift(struct list *head)
{
    if (list_empty(head)) return NULL;
    struct list *item = head->next;
    list_remove(item);
    return item;
}

/* Moves all members of `from` to the end of `to`; `from` is empty after. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
