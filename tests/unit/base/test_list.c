/* Lists: order, membership, splicing. */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int number;
    struct list link;
};

static int shift(struct list *head)
{
    struct list *link = list_shift(head);
    return link ? container_of(link, struct item, link)->number : 0;
}

static void keeps_order(void **state)
{
    struct list head;
    struct item a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
    list_init(&head);
    assert_true(list_empty(&head));
    list_append(&head, &a.link);
    list_append(&head, &b.link);
    list_append(&head, &c.link);
    list_remove(&b.link);
    list_remove(&b.link); /* in no list: harmless */
    assert_int_equal(shift(&head), 1);
    assert_int_equal(shift(&head), 3);
    assert_int_equal(shift(&head), 0);
    assert_true(list_empty(&head) && list_empty(&a.link));
}

static void splices(void **state)
{
    struct list to, from;
    struct item a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
    list_init(&to);
    list_init(&from);
    list_splice(&to, &from);
    assert_true(list_empty(&to));
    list_append(&to, &a.link);
    list_append(&from, &b.link);
    list_append(&from, &c.link);
    list_splice(&to, &from);
    assert_true(list_empty(&from));
    assert_int_equal(shift(&to), 1);
    assert_int_equal(shift(&to), 2);
    assert_int_equal(shift(&to), 3);
    assert_true(list_empty(&to));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_order), cmocka_unit_test(splices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
