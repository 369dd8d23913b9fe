#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "model/config.h"

static struct config the_config;

static void add_match(struct class_config *c, const char *pattern)
{
    memcpy(c->match[c->match_count++], pattern, strlen(pattern) + 1);
}

/* Classes 0 … 3 as in a file, `other` last. */
static int setup(void **state)
{
    struct config *c = &the_config;
    struct class_config other;

    config_init_defaults(c);
    other = c->classes[0];
    class_config_init(&c->classes[0], "latency");
    add_match(&c->classes[0], "workload.slice/web-*");
    add_match(&c->classes[0], "workload.slice/db.service");
    class_config_init(&c->classes[1], "batch");
    add_match(&c->classes[1], "workload.slice/*");
    class_config_init(&c->classes[2], "pods");
    add_match(&c->classes[2], "kubepods.slice/*/kubepods-*-pod?.slice");
    class_config_init(&c->classes[3], "shadowed");
    add_match(&c->classes[3], "workload.slice/web-2");
    c->classes[4] = other;
    c->class_count = 5;
    *state = c;
    return 0;
}

static const struct {
    const char *path, *class;
} rows[] = {
    {"workload.slice/web-1", "latency"},
    {"workload.slice/web-", "latency"},
    {"workload.slice/db.service", "latency"},
    {"workload.slice/task-1", "batch"},
    /* The first class in the file's order wins, not the one that fits best. */
    {"workload.slice/web-2", "latency"},
    /* A star does not cross '/', and a pattern is of the whole path: what is inside a group is that group. */
    {"workload.slice/task-1/inner", "other"},
    {"workload.slice", "other"},
    {"workload.slicer/task-1", "other"},
    {"x/workload.slice/task-1", "other"},
    {"/workload.slice/task-1", "other"},
    {"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod7.slice", "pods"},
    {"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod77.slice", "other"},
    {"kubepods.slice/kubepods-besteffort.slice", "other"},
    {"", "other"},
};

static void test_rows(void **state)
{
    const struct config *c = *state;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        unsigned class = config_class_of(c, rows[i].path);

        assert_true(class < c->class_count);
        if (strcmp(c->classes[class].name, rows[i].class) != 0)
            fail_msg("%s is of class %s, not %s", rows[i].path, c->classes[class].name, rows[i].class);
    }
}

/* `other` has no pattern of its own: it is what is left, and it is always there. */
static void test_defaults_have_only_other(void **state _unused_)
{
    static struct config c;

    config_init_defaults(&c);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(config_class_of(&c, rows[i].path), 0);
    assert_string_equal(c.classes[0].name, CONFIG_CLASS_OTHER);
}

/* A pattern in `other` would be no pattern: it is not looked at. */
static void test_patterns_of_other_are_not_asked(void **state _unused_)
{
    static struct config c;

    config_init_defaults(&c);
    class_config_init(&c.classes[1], CONFIG_CLASS_OTHER);
    add_match(&c.classes[0], "a/*");
    add_match(&c.classes[1], "b/*");
    c.class_count = 2;
    assert_int_equal(config_class_of(&c, "a/x"), 0);
    assert_int_equal(config_class_of(&c, "b/x"), 1);
    assert_int_equal(config_class_of(&c, "c/x"), 1);
}

/* What lies deeper than a group belongs to the group's class; a sibling of a longer name does not. */
static void test_around(void **state _unused_)
{
    static struct config c;

    config_init_defaults(&c);
    class_config_init(&c.classes[0], "batch");
    add_match(&c.classes[0], "workload.slice/*");
    class_config_init(&c.classes[1], CONFIG_CLASS_OTHER);
    c.class_count = 2;
    assert_int_equal(config_class_around(&c, "workload.slice/task"), 0);
    assert_int_equal(config_class_around(&c, "workload.slice/task/a/b"), 0);
    assert_int_equal(config_class_around(&c, "workload.slice"), 1);
    assert_int_equal(config_class_around(&c, "workload.slicer/task/a"), 1);
    assert_int_equal(config_class_around(&c, ""), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_rows, setup),
        cmocka_unit_test(test_defaults_have_only_other),
        cmocka_unit_test(test_patterns_of_other_are_not_asked),
        cmocka_unit_test(test_around),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
