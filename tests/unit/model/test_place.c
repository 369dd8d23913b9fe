#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "model/place.h"

static struct config the_config;

static unsigned add_class(const char *name, enum unit_kind unit, const char *first, const char *second)
{
    struct config *c = &the_config;
    unsigned i = c->class_count - 1;
    struct class_config *class;

    c->classes[c->class_count++] = c->classes[i]; /* `other` stays the last one */
    class = &c->classes[i];
    class_config_init(class, name);
    class->unit = unit;
    memcpy(class->match[class->match_count++], first, strlen(first) + 1);
    if (second)
        memcpy(class->match[class->match_count++], second, strlen(second) + 1);
    return i;
}

static int setup(void **state)
{
    (void)state;
    config_init_defaults(&the_config);
    return 0;
}

/* A class alone: its patterns, and where `run` puts a group. */
static void test_places(void **state)
{
    static const struct {
        const char *first, *second, *suffix;
        enum place_result result;
        const char *path;
    } rows[] = {
        {"workload.slice/*", NULL, "", PLACE_FOUND, "workload.slice/run-7"},
        {"workload.slice/*", NULL, ".scope", PLACE_FOUND, "workload.slice/run-7.scope"},
        {"workload.slice/*.scope", NULL, ".scope", PLACE_FOUND, "workload.slice/run-7.scope"},
        {"workload.slice/*.scope", NULL, "", PLACE_FOUND, "workload.slice/run-7.scope"},
        {"jobs/task-*", NULL, "", PLACE_FOUND, "jobs/task-run-7"},
        {"jobs/*-?-*x", NULL, "", PLACE_FOUND, "jobs/run-7-x-x"},
        {"*", NULL, "", PLACE_FOUND, "run-7"},
        /* The second one does, where the first has no room for a name. */
        {"workload.slice/db.service", "workload.slice/*", "", PLACE_FOUND, "workload.slice/run-7"},
        {"workload.slice/*/*", "a/b/*", "", PLACE_FOUND, "a/b/run-7"},
        {"workload.slice/db.service", NULL, "", PLACE_FIXED, NULL},
        {"workload.slice/task-?", NULL, "", PLACE_FIXED, NULL},
        {"kubepods.slice/*/*", NULL, "", PLACE_FIXED, NULL},
        {"a?/*", NULL, "", PLACE_FIXED, NULL},
        /* Its name would have to end with both. */
        {"workload.slice/*.service", NULL, ".scope", PLACE_FIXED, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char path[CONFIG_PATH_MAX];
        unsigned class, taken_by = 99;

        config_init_defaults(&the_config);
        class = add_class("batch", UNIT_CGROUP, rows[i].first, rows[i].second);
        assert_int_equal(place_find(&the_config, class, "7", rows[i].suffix, path, &taken_by),
                         rows[i].result);
        assert_int_equal(taken_by, 99);
        if (!rows[i].path)
            continue;
        assert_string_equal(path, rows[i].path);
        assert_int_equal(config_class_of(&the_config, path), class);
    }
}

static void test_of_no_use(void **state)
{
    char path[CONFIG_PATH_MAX], longest[CONFIG_PATH_MAX];
    unsigned taken_by, class;

    (void)state;
    assert_int_equal(place_find(&the_config, 0, "7", "", path, &taken_by), PLACE_NO_MATCH);
    class = add_class("ray", UNIT_PROCESS, "workload.slice/*", NULL);
    assert_int_equal(place_find(&the_config, class, "7", "", path, &taken_by), PLACE_PROCESSES);
    assert_int_equal(place_find_of_user(&the_config, class, "7", 1000, path, &taken_by), PLACE_PROCESSES);
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 2] = '*';
    longest[sizeof(longest) - 1] = '\0';
    class = add_class("long", UNIT_CGROUP, longest, NULL);
    assert_int_equal(place_find(&the_config, class, "7", "", path, &taken_by), PLACE_FIXED);
}

/* What would be another class's is not the place; a later pattern may be one. */
static void test_taken(void **state)
{
    unsigned first, second, taken_by = 99;
    char path[CONFIG_PATH_MAX];

    (void)state;
    first = add_class("all", UNIT_CGROUP, "workload.slice/*", NULL);
    second = add_class("tasks", UNIT_CGROUP, "workload.slice/task-*", NULL);
    assert_int_equal(place_find(&the_config, second, "7", "", path, &taken_by), PLACE_TAKEN);
    assert_int_equal(taken_by, first);
    second = add_class("more", UNIT_CGROUP, "workload.slice/task-*", "jobs/*");
    assert_int_equal(place_find(&the_config, second, "7", "", path, &taken_by), PLACE_FOUND);
    assert_string_equal(path, "jobs/run-7");
}

static void test_of_a_user(void **state)
{
    char path[CONFIG_PATH_MAX];
    unsigned taken_by, class;

    (void)state;
    class = add_class("desk", UNIT_CGROUP, "user.slice/user-*.slice/user@*.service/app.slice/*", NULL);
    assert_int_equal(place_find_of_user(&the_config, class, "7", 1000, path, &taken_by), PLACE_FOUND);
    assert_string_equal(path, "user.slice/user-1000.slice/user@1000.service/app.slice/run-7.scope");
    assert_int_equal(place_find(&the_config, class, "7", ".scope", path, &taken_by), PLACE_FIXED);
    class = add_class("batch", UNIT_CGROUP, "workload.slice/*", NULL);
    assert_int_equal(place_find_of_user(&the_config, class, "7", 1000, path, &taken_by), PLACE_TAKEN);
}

static void test_parent(void **state)
{
    char parent[CONFIG_PATH_MAX];

    (void)state;
    place_parent("a/b/run-7", parent);
    assert_string_equal(parent, "a/b");
    place_parent("run-7", parent);
    assert_string_equal(parent, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_places, setup), cmocka_unit_test_setup(test_of_no_use, setup),
        cmocka_unit_test_setup(test_taken, setup),  cmocka_unit_test_setup(test_of_a_user, setup),
        cmocka_unit_test_setup(test_parent, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
